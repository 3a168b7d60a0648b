import ArgumentParser
import Foundation
import SwiftletMeasure
import SwiftletRuntime

struct PerplexityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity", abstract: "Measures the perplexity of a model on a text.",
        discussion: "The procedure of llama.cpp: windows of --context tokens, the second half of each scored.")

    @OptionGroup(title: "Model") var model: ModelArguments

    @Option(name: [.short, .long], help: "The text.")
    var file: String

    @Option(help: "Tokens in a window.")
    var context = 512

    @Option(help: "Windows to score, from the start of the text (default: all).")
    var chunks: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    private struct Report: Encodable {
        let perplexity, standardError, negativeLogLikelihood: Double
        let context, chunks, scoredTokens, textTokens: Int
        let seconds, tokensPerSecond, loadMs: Double
        let peakResidentBytes: Int
        let isa: String
        let threads: Int
    }

    func validate() throws {
        if context < 4 { throw ValidationError("--context must be at least 4.") }
        if let chunks, chunks < 1 { throw ValidationError("--chunks must be positive.") }
    }

    func run() async throws {
        let text = try InputFile.bytes(file)
        let model = try await model.load(context: context)
        let line = ProgressLine("perplexity")
        let result = try Perplexity(context: context, chunks: chunks).measure(text, model: model) { progress in
            try Task.checkCancellation()
            line.update(
                done: progress.chunk, of: progress.chunks,
                detail: "chunk \(progress.chunk) of \(progress.chunks): \(String(format: "%.4f", progress.perplexity))")
        }
        line.finish()
        guard json else {
            Console.write(String(format: "perplexity %.4f ± %.4f\n", result.perplexity, result.standardError))
            Console.report(
                "[\(result.chunks) windows of \(result.context) tokens, \(result.scoredTokens) scored, \(Int(result.seconds.rounded())) s]")
            return
        }
        try JSONOutput.print(
            Report(
                perplexity: result.perplexity, standardError: result.standardError, negativeLogLikelihood: result.negativeLogLikelihood,
                context: result.context, chunks: result.chunks, scoredTokens: result.scoredTokens, textTokens: result.textTokens,
                seconds: result.seconds, tokensPerSecond: Double(result.chunks * result.context) / result.seconds,
                loadMs: model.loadMilliseconds,
                peakResidentBytes: ProcessMemory.current().peakResidentBytes, isa: model.instructionSet.rawValue, threads: model.threads))
    }
}
