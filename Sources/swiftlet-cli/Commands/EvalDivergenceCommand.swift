import ArgumentParser
import SwiftletLanguage
import SwiftletMeasure
import SwiftletModels
import SwiftletRuntime

struct EvalDivergenceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "divergence", abstract: "Measures how far a language model's predictions are from those of its parent.",
        discussion: "Prints both perplexities, the mean Kullback-Leibler divergence of a token in nats, and how often both prefer the same token.")

    @Argument(help: "The parent: a GGUF file, or the name of a pulled model.")
    var parent: String

    @Argument(help: "What was made of it.")
    var model: String

    @Option(name: [.short, .long], help: "The text.")
    var file: String

    @Option(help: "Tokens in a window.")
    var context = 512

    @Option(help: "Windows to compare, from the start of the text (default: all).")
    var chunks: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup var machine: MachineArguments

    func validate() throws {
        if context < 4 { throw ValidationError("--context must be at least 4.") }
        if let chunks, chunks < 1 { throw ValidationError("--chunks must be positive.") }
    }

    func run() async throws {
        let text = try InputFile.bytes(file)
        let options = ModelOptions(threads: machine.threads, instructionSet: try InstructionSet.resolve(machine.isa?.rawValue), context: context)
        let (first, second) = (try ModelCache().resolve(parent), try ModelCache().resolve(model))
        let line = ProgressLine("divergence")
        let result = try Divergence(context: context, chunks: chunks).measure(
            text, parent: await LanguageModel.load(first, options: options), model: await LanguageModel.load(second, options: options)
        ) { progress in
            try Task.checkCancellation()
            line.update(
                done: progress.chunk, of: progress.chunks, detail: "window \(progress.chunk) of \(progress.chunks): \(String(format: "%.5f", progress.meanDivergence))")
        }
        line.finish()
        guard json else {
            Console.write(
                String(
                    format: """
                        perplexity %.4f, of the parent %.4f (%+.3f %%)
                        divergence %.6f ± %.6f nats a token, median %.6f, 99 %% below %.4f, largest %.4f
                        same top token %.2f %%

                        """, result.perplexity, result.parentPerplexity, result.perplexityRisePercent, result.meanDivergence, result.divergenceError,
                    result.medianDivergence, result.divergence99, result.maximumDivergence, result.topTokenAgreementPercent))
            return Console.report("[\(result.chunks) windows of \(result.context) tokens, \(result.scoredTokens) compared, \(Int(result.seconds.rounded())) s]")
        }
        try JSONOutput.print(result)
    }
}
