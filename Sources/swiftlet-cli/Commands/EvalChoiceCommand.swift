import ArgumentParser
import SwiftletMeasure
import SwiftletRuntime

struct EvalChoiceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "choice", abstract: "Asks questions with given answers; prints acc and acc_norm.",
        discussion: "A line of the file is {\"question\": …, \"choices\": […], \"answer\": index, letter or text}. The procedure is lm-evaluation-harness's.")

    @OptionGroup(title: "Model") var model: ModelArguments

    @OptionGroup var questions: TaskArguments

    func run() async throws {
        let evaluation = try MultipleChoice(InputFile.text(questions.file), name: questions.file, limit: questions.tasks)
        let model = try await model.load()
        let line = ProgressLine("choice")
        let result = try evaluation.measure(model: model) { progress in
            try Task.checkCancellation()
            let share = String(format: "%.2f", 100 * Double(progress.correctNormalised) / Double(progress.task))
            line.update(done: progress.task, of: progress.tasks, detail: "task \(progress.task) of \(progress.tasks): \(share) %")
        }
        line.finish()
        guard questions.json else {
            Console.write(
                String(
                    format: "acc %.2f %%, acc_norm %.2f %% (95 %% interval %.2f to %.2f)\n", result.accuracyPercent, result.normalisedAccuracyPercent,
                    result.intervalLowPercent, result.intervalHighPercent))
            return Console.report("[\(result.correctNormalised) of \(result.tasks) tasks, \(Int(result.seconds.rounded())) s]")
        }
        try JSONOutput.print(result)
    }
}
