import ArgumentParser
import Foundation
import SwiftletMeasure
import SwiftletRuntime

struct EvalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Measures how well a model does a task, and how far it is from its parent.", subcommands: [HellaSwagCommand.self, EvalChoiceCommand.self, EvalDivergenceCommand.self, EvalImagesCommand.self])
}

struct HellaSwagCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hellaswag", abstract: "Asks which of four endings continues a context; prints acc_norm.",
        discussion: "The file has six lines a task: context, index of the right ending, four endings. The procedure is llama.cpp's.")

    @OptionGroup(title: "Model") var model: ModelArguments

    @OptionGroup var questions: TaskArguments

    private struct Report: Encodable {
        let tasks, correct: Int
        let accuracyPercent, intervalLowPercent, intervalHighPercent, seconds, loadMs: Double
        let peakResidentBytes: Int
        let isa: String
        let threads: Int
    }

    func run() async throws {
        let evaluation = try HellaSwag(InputFile.text(questions.file), name: questions.file, limit: questions.tasks)
        let model = try await model.load()
        let line = ProgressLine("hellaswag")
        let result = try evaluation.measure(model: model) { progress in
            try Task.checkCancellation()
            let share = String(format: "%.2f", 100 * Double(progress.correct) / Double(progress.task))
            line.update(done: progress.task, of: progress.tasks, detail: "task \(progress.task) of \(progress.tasks): \(share) %")
        }
        line.finish()
        guard questions.json else {
            Console.write(
                String(
                    format: "acc_norm %.2f %% (95 %% interval %.2f to %.2f)\n", result.accuracyPercent, result.intervalLowPercent,
                    result.intervalHighPercent))
            Console.report("[\(result.correct) of \(result.tasks) tasks, \(Int(result.seconds.rounded())) s]")
            return
        }
        try JSONOutput.print(
            Report(
                tasks: result.tasks, correct: result.correct, accuracyPercent: result.accuracyPercent,
                intervalLowPercent: result.intervalLowPercent,
                intervalHighPercent: result.intervalHighPercent, seconds: result.seconds, loadMs: model.loadMilliseconds,
                peakResidentBytes: ProcessMemory.current().peakResidentBytes, isa: model.instructionSet.rawValue, threads: model.threads))
    }
}
