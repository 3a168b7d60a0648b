import ArgumentParser
import SwiftletMeasure
import SwiftletRuntime

struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Puts two models side by side: bytes, speed, memory, and with data their quality.",
        discussion: "The first is the parent. Speeds are measured in turns. Without data quality is left out.")

    @Argument(help: "The parent: a file, the folder of an encoder of texts, or the name of a pulled model.")
    var parent: String

    @Argument(help: "What was made of it.")
    var model: String

    @OptionGroup var comparison: ComparisonArguments

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() async throws {
        let lines = ProgressLines()
        let result = try comparison.compare(parent, model) { what, done, total in
            try Task.checkCancellation()
            lines.update(what, done: done, of: total, detail: what)
        }
        lines.finish()
        if json { try JSONOutput.print(result) } else { Console.write(ComparisonText.lines(result).joined(separator: "\n") + "\n") }
    }
}
