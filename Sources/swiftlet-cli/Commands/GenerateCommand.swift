import ArgumentParser
import SwiftletLanguage
import SwiftletMeasure

struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continues a prompt, token by token.",
        discussion: "The prompt is --prompt, --file, or what is piped in (one newline at its end is dropped).")

    enum Form: EnumerableFlag {
        case raw, chat

        static func help(for value: Form) -> ArgumentHelp? {
            switch value {
            case .raw: "Continue the prompt as it is (the default)."
            case .chat: "Put the prompt into the model's chat template as one message."
            }
        }
    }

    @OptionGroup(title: "Model") var model: ModelArguments
    @OptionGroup(title: "Sampling") var sampling: SamplingArguments
    @OptionGroup(title: "Speculation") var speculation: SpeculationArguments

    @Option(name: [.short, .long], help: "The prompt.")
    var prompt: String?

    @Option(name: [.short, .long], help: "A file that holds the prompt.")
    var file: String?

    @Option(help: "Tokens of context (default: the model's own, at most 4096).")
    var context: Int?

    @Flag(exclusivity: .exclusive)
    var form: Form = .raw

    @Option(help: "A system message, with --chat.")
    var system: String?

    @Flag(help: "Print one JSON object at the end instead of the text.")
    var json = false

    @Flag(help: "Report the log-probability of each token, with --json.")
    var logProbs = false

    @Option(help: ArgumentHelp("Report also the log-probabilities of the most probable tokens, with --log-probs.", valueName: "count"))
    var topLogProbs: Int?

    func validate() throws {
        try InputFile.validate(option: prompt, "--prompt", file: file)
        if let context, context < 1 { throw ValidationError("--context must be positive.") }
        if system != nil, form != .chat { throw ValidationError("--system needs --chat.") }
        if logProbs, !json { throw ValidationError("--log-probs needs --json.") }
        if topLogProbs != nil, !logProbs { throw ValidationError("--top-log-probs needs --log-probs.") }
        if let topLogProbs, topLogProbs < 0 { throw ValidationError("--top-log-probs must not be negative.") }
    }

    func run() async throws {
        let text = try InputFile.text(option: prompt, file: file)
        let model = try await model.load(context: context)
        let guesses = try await speculation.load(self.model, context: context)
        let session = try Session(model, context: context)
        let prompt: Prompt =
            switch form {
            case .raw: .text(text)
            case .chat:
                .chat((system.map { [ChatMessage(role: "system", content: $0)] } ?? []) + [ChatMessage(role: "user", content: text)])
            }
        var report = GenerateReport(isLogProbsReported: logProbs)
        let options = sampling.generation(alternatives: logProbs ? topLogProbs ?? 0 : nil, speculation: guesses)
        for try await step in session.generate(prompt, options: options) {
            if !json { Console.write(step.text) }
            report.add(step, tokenizer: model.tokenizer)
        }
        if !json { Console.write("\n") }
        let statistics = await session.statistics
        Console.report(StatisticsLine.text(statistics, model: model, finish: report.finish))
        if json { try JSONOutput.print(report.object(statistics, model: model)) }
    }
}
