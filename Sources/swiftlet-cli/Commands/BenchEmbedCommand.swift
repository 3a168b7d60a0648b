import ArgumentParser
import Foundation
import SwiftletLanguage
import SwiftletModels
import SwiftletRuntime

struct BenchEmbedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "embed", abstract: "Measures how long a text encoder takes for a text of so many tokens, alone and in batches.")

    @Option(name: [.short, .long], help: ArgumentHelp("A folder or the name of a pulled model.", valueName: "folder-or-name"))
    var model = "minilm"

    @Option(parsing: .upToNextOption, help: "Lengths of texts, in tokens.")
    var tokens = [16, 128]

    @Option(help: "How often to measure each.")
    var repetitions = 50

    @Option(help: "Texts of a batch.")
    var batch = 32

    @Option(help: "Threads that compute (default: one a physical core).")
    var threads: Int?

    @Option(help: "Highest instruction set to use (default: the best this machine has, or $SWIFTLET_ISA).")
    var isa: InstructionSet?

    @Flag(help: "Print one JSON object.")
    var json = false

    private struct Row: Encodable {
        let tokens: Int
        /// Medians and smallest.
        let milliseconds, millisecondsMin, batchMillisecondsPerText: Double
    }

    private struct Report: Encodable {
        let model, isa: String
        let threads, batch, repetitions: Int
        let lengths: [Row]
    }

    func validate() throws {
        guard repetitions > 0, batch > 0, tokens.allSatisfy({ $0 > 2 }) else {
            throw ValidationError("--repetitions and --batch must be positive, --tokens more than 2.")
        }
        if let threads, !(1...512).contains(threads) { throw ValidationError("--threads must be between 1 and 512.") }
    }

    func run() async throws {
        let options = EncoderOptions(threads: threads, instructionSet: try InstructionSet.resolve(isa?.rawValue))
        let encoder = try await TextEncoder.load(ModelCache().resolveFolder(model), options: options)
        let word = encoder.tokens(of: "word")
        let rows = try tokens.map { count in
            let text = [word[0]] + Array(repeating: word[1], count: count - 2) + [word[word.count - 1]]
            let single = try times { _ = try encoder.embed(tokens: [text]) }
            let together = try times { _ = try encoder.embed(tokens: Array(repeating: text, count: batch)) }
            return Row(
                tokens: count, milliseconds: single[single.count / 2], millisecondsMin: single[0],
                batchMillisecondsPerText: together[together.count / 2] / Double(batch))
        }
        if json {
            return try JSONOutput.print(
                Report(model: model, isa: encoder.instructionSet.rawValue, threads: encoder.threads, batch: batch, repetitions: repetitions, lengths: rows))
        }
        for row in rows {
            Console.write(
                String(
                    format: "%d tokens: %.2f ms (least %.2f), %.2f ms a text in batches of %d\n", row.tokens, row.milliseconds, row.millisecondsMin,
                    row.batchMillisecondsPerText, batch))
        }
        Console.report("[\(model), \(encoder.instructionSet.rawValue), \(encoder.threads) threads]")
    }

    /// Milliseconds of runs behind three to warm up, shortest first.
    private func times(_ body: () throws -> Void) throws -> [Double] {
        let clock = ContinuousClock()
        for _ in 0..<3 { try body() }
        return try (0..<repetitions).map { _ in try clock.measure(body) / .milliseconds(1) }.sorted()
    }
}
