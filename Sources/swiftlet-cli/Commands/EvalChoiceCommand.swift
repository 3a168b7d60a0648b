import ArgumentParser
import SwiftletMeasure
import SwiftletRuntime

struct EvalChoiceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "choice", abstract: "Asks questions with given answers; prints acc and acc_norm.",
        discussion: "A line of the file is {\"question\": …, \"choices\": […], \"answer\": index, letter or text}. The procedure is lm-evaluation-harness's.")

    @OptionGroup(title: "Model") var model: ModelArguments

    @Option(name: [.short, .long], help: "The tasks, JSON lines.")
    var file: String

    @Option(help: "Tasks to ask, from the start of the file (default: all).")
    var tasks: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if let tasks, tasks < 1 { throw ValidationError("--tasks must be positive.") }
    }

    func run() async throws {
        let evaluation = try MultipleChoice(InputFile.text(file), name: file, limit: tasks)
        let model = try await model.load()
        let line = ProgressLine("choice")
        let result = try evaluation.measure(model: model) { progress in
            try Task.checkCancellation()
            let share = String(format: "%.2f", 100 * Double(progress.correctNormalised) / Double(progress.task))
            line.update(done: progress.task, of: progress.tasks, detail: "task \(progress.task) of \(progress.tasks): \(share) %")
        }
        line.finish()
        guard json else {
            Console.write(
                String(
                    format: "acc %.2f %%, acc_norm %.2f %% (95 %% interval %.2f to %.2f)\n", result.accuracyPercent, result.normalisedAccuracyPercent,
                    result.intervalLowPercent, result.intervalHighPercent))
            return Console.report("[\(result.correctNormalised) of \(result.tasks) tasks, \(Int(result.seconds.rounded())) s]")
        }
        try JSONOutput.print(result)
    }
}
