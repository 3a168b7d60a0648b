import ArgumentParser
import Foundation
import SwiftletMeasure

struct BenchModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Measures how fast a model reads a prompt and generates tokens after it.")

    @OptionGroup(title: "Model") var model: ModelArguments

    @Option(help: "Tokens of the prompt.")
    var promptTokens = 512

    @Option(help: "Tokens to generate after it.")
    var generateTokens = 128

    @Option(help: "How often to measure both.")
    var repetitions = 5

    @Option(help: "Sequences to decode together as well, each after its own prompt: what a batch gains over one.")
    var sequences = 1

    @Flag(help: "Print one JSON object: medians, smallest and largest.")
    var json = false

    private struct Report: Encodable {
        let model: String
        let promptTokens, generateTokens, repetitions: Int
        let prefillTokensPerSecond, prefillTokensPerSecondMin, prefillTokensPerSecondMax: Double
        let decodeTokensPerSecond, decodeTokensPerSecondMin, decodeTokensPerSecondMax: Double
        let sequences: Int
        let batchDecodeTokensPerSecond: Double?
        let loadMs: Double
        let peakResidentBytes: Int
        let weightBytesPerToken, kvBytesPerToken: Int
        let readGbPerSecond, readGbPerSecondMin, readGbPerSecondMax: Double
        let decodePercentOfRead, decodePercentOfReadMin, decodePercentOfReadMax: Double
        let decodePercentOfReadWithKv: Double
        let isa: String
        let threads: Int
        let kvType: String
        let activations: String
    }

    func validate() throws {
        for (name, value) in [("--prompt-tokens", promptTokens), ("--generate-tokens", generateTokens), ("--repetitions", repetitions), ("--sequences", sequences)]
        where value < 1 {
            throw ValidationError("\(name) must be positive.")
        }
    }

    func run() async throws {
        let loaded = try await model.load()
        let benchmark = ModelBenchmark(promptTokens: promptTokens, generateTokens: generateTokens, repetitions: repetitions, sequences: sequences)
        let result = try benchmark.measure(model: loaded) { progress in
            try Task.checkCancellation()
            Console.report(
                "repetition \(progress.repetition) of \(progress.repetitions): prefill \(StatisticsLine.rate(progress.prefillTokensPerSecond)), "
                    + "decode \(StatisticsLine.rate(progress.decodeTokensPerSecond)) tokens/s"
                    + (progress.batchDecodeTokensPerSecond.map { ", \(sequences) together \(StatisticsLine.rate($0)) tokens/s" } ?? ""))
        }
        let (prefill, decode) = (result.prefillTokensPerSecond, result.decodeTokensPerSecond)
        guard json else {
            func line(_ title: String, _ spread: Spread) -> String {
                "\(title) \(StatisticsLine.rate(spread.median)) tokens/s (\(StatisticsLine.rate(spread.minimum)) to \(StatisticsLine.rate(spread.maximum)))\n"
            }
            let (read, share) = (result.readGigabytesPerSecond, result.decodePercentOfRead)
            let weights =
                "weights \(InspectionText.megabytes(result.weightBytesPerToken)) a token, \(InspectionText.megabytes(result.cacheBytesPerToken)) of keys and values\n"
            let percent = String(
                format: "read    %.1f GB/s is a plain read; the weights of decoded tokens reach %.0f %% of it (%.0f to %.0f), with keys and values %.0f %%\n",
                read.median, share.median, share.minimum, share.maximum, result.decodePercentOfReadWithCache)
            let batch =
                result.batchDecodeTokensPerSecond.map { together in
                    line("batch  ", together) + "        \(sequences) sequences: \(StatisticsLine.rate(together.median / decode.median)) times the rate of one\n"
                } ?? ""
            Console.write(
                line("prefill", prefill) + line("decode ", decode) + batch
                    + "load    \(Int(result.loadMilliseconds.rounded())) ms\nmemory  \(InspectionText.megabytes(result.peakResidentBytes)) at most\n" + weights + percent
            )
            Console.report("[\(loaded.name), \(loaded.instructionSet.rawValue), \(loaded.threads) threads]")
            return
        }
        try JSONOutput.print(
            Report(
                model: loaded.name, promptTokens: promptTokens, generateTokens: generateTokens, repetitions: repetitions,
                prefillTokensPerSecond: prefill.median, prefillTokensPerSecondMin: prefill.minimum,
                prefillTokensPerSecondMax: prefill.maximum,
                decodeTokensPerSecond: decode.median, decodeTokensPerSecondMin: decode.minimum, decodeTokensPerSecondMax: decode.maximum,
                sequences: sequences, batchDecodeTokensPerSecond: result.batchDecodeTokensPerSecond?.median,
                loadMs: result.loadMilliseconds, peakResidentBytes: result.peakResidentBytes, weightBytesPerToken: result.weightBytesPerToken,
                kvBytesPerToken: result.cacheBytesPerToken, readGbPerSecond: result.readGigabytesPerSecond.median,
                readGbPerSecondMin: result.readGigabytesPerSecond.minimum, readGbPerSecondMax: result.readGigabytesPerSecond.maximum,
                decodePercentOfRead: result.decodePercentOfRead.median, decodePercentOfReadMin: result.decodePercentOfRead.minimum,
                decodePercentOfReadMax: result.decodePercentOfRead.maximum, decodePercentOfReadWithKv: result.decodePercentOfReadWithCache, isa: loaded.instructionSet.rawValue,
                threads: loaded.threads, kvType: model.kvType.rawValue, activations: model.activations.rawValue))
    }
}
