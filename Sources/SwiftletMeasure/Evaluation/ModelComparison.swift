// Two models side by side: bytes, speed, memory and quality, each measured in the same way on the same data. Speeds are taken in turns, so that
// a machine that slows down slows both.
import Foundation
import SwiftletCompress
import SwiftletLanguage
import SwiftletNetwork
import SwiftletTensor

/// What was measured of one model.
public struct ModelFigures: Sendable, Codable, Equatable {
    public var path: String
    public var fileBytes: Int
    /// Of one generated token of a language model, of one run of a network, of one text of an encoder.
    public var latencyMilliseconds: Spread
    /// Of a language model.
    public var prefillTokensPerSecond: Spread?
    public var loadMilliseconds: Double
    /// How much resident memory grew while it was loaded and first run; nil where the system does not tell.
    public var peakMemoryBytes: Int?
    /// Of a language model on the text.
    public var perplexity: Double?
    /// Of a classifier on pictures with known classes, in percent.
    public var accuracyPercent: Double?
    public var top5Percent: Double?

    package init(
        path: String, fileBytes: Int, latencyMilliseconds: Spread, prefillTokensPerSecond: Spread? = nil, loadMilliseconds: Double,
        peakMemoryBytes: Int? = nil, perplexity: Double? = nil, accuracyPercent: Double? = nil, top5Percent: Double? = nil
    ) {
        self.path = path
        self.fileBytes = fileBytes
        self.latencyMilliseconds = latencyMilliseconds
        self.prefillTokensPerSecond = prefillTokensPerSecond
        self.loadMilliseconds = loadMilliseconds
        self.peakMemoryBytes = peakMemoryBytes
        self.perplexity = perplexity
        self.accuracyPercent = accuracyPercent
        self.top5Percent = top5Percent
    }
}

/// A parent and what was made of it.
public struct ModelComparison: Sendable, Codable, Equatable {
    public var parent: ModelFigures
    public var model: ModelFigures
    /// Nil where there was no text.
    public var divergence: Divergence.Result?
    /// Nil where there were no samples.
    public var agreement: NetworkAgreement?
    /// Of encoders of texts; nil where there were no texts.
    public var vectors: VectorAgreement?

    package init(
        parent: ModelFigures, model: ModelFigures, divergence: Divergence.Result? = nil, agreement: NetworkAgreement? = nil, vectors: VectorAgreement? = nil
    ) {
        self.vectors = vectors
        self.parent = parent
        self.model = model
        self.divergence = divergence
        self.agreement = agreement
    }

    public var sizeRatio: Double { Double(model.fileBytes) / Double(max(1, parent.fileBytes)) }
    /// Above 1: the model is faster.
    public var speedup: Double { parent.latencyMilliseconds.median / model.latencyMilliseconds.median }

    /// What the compression cost, in percent: the rise of perplexity; the points of accuracy lost; without known classes, how often the answers
    /// differ; where there are no classes, the relative error of the outputs; of vectors of texts, what the least cosine lacks of 1. Nil where no data were
    /// given. Negative where quality rose.
    public var dropPercent: Double? {
        if let divergence { return divergence.perplexityRisePercent }
        if let vectors { return 100 * (1 - vectors.leastCosine) }
        guard let agreement else { return nil }
        if let before = agreement.parentAccuracyPercent, let after = agreement.accuracyPercent { return before - after }
        return agreement.topAgreementPercent.map { 100 - $0 } ?? agreement.relativeErrorPercent
    }

    /// What `dropPercent` is here, as the end of a sentence.
    public var dropMeaning: String? {
        if divergence != nil { return "the rise of perplexity" }
        if vectors != nil { return "what the least cosine to the parent's vectors lacks of 1" }
        guard let agreement else { return nil }
        if agreement.accuracyPercent != nil { return "the points of top-1 accuracy lost" }
        return agreement.topAgreementPercent != nil ? "how often the answer differs from the parent's" : "the relative error of the outputs"
    }

    /// Bytes of a model's file, and of one beside it that has its weights, or of the files of an encoder. Throws `SwiftletError.io`.
    static func fileBytes(_ path: String) throws -> Int {
        if EncoderModel.isEncoder(path) { return try EncoderModel.byteCount(path) }
        func size(_ path: String) -> Int? {
            try? FileManager.default.attributesOfItem(atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)[.size] as? Int
        }
        guard let bytes = size(path) else {
            throw SwiftletError.io(path: path, reason: "cannot be read", remedy: "Check the path and its permissions.")
        }
        return bytes + (size(path + CompressionOutput.weightsSuffix) ?? 0)
    }
}

/// How two language models are compared.
public struct LanguageComparison: Sendable {
    /// UTF-8 text for perplexity and divergence; nil for none.
    public var text: [UInt8]?
    public var context: Int
    public var chunks: Int?
    /// Tokens of the prompt and after it, for speeds.
    public var promptTokens = 128
    public var generateTokens = 32
    public var repetitions = 5

    public init(text: [UInt8]?, context: Int = 512, chunks: Int? = nil) {
        self.text = text
        self.context = context
        self.chunks = chunks
    }

    /// Loads and measures both. `progress` gets what is being done, and how much of it: `(what, done, total)`; what it throws ends the measurement.
    public func measure(
        parent: String, model: String, options: ModelOptions, progress: (String, Int, Int) throws -> Void = { _, _, _ in }
    ) throws -> ModelComparison {
        var options = options
        options.context = max(text == nil ? 0 : context, promptTokens + generateTokens)
        let (first, firstPeak) = try load(parent, options), (second, secondPeak) = try load(model, options)
        let divergence = try text.map { text in
            try Divergence(context: context, chunks: chunks).measure(text, parent: first, model: second) { try progress("divergence", $0.chunk, $0.chunks) }
        }
        var speeds: [[(prefill: Double, milliseconds: Double)]] = [[], []]
        let decoders = try [first, second].map { try Decoder(model: $0, context: promptTokens + generateTokens) }
        for decoder in decoders { _ = try speed(decoder) }
        for repetition in 0..<repetitions {
            for (index, decoder) in decoders.enumerated() { speeds[index].append(try speed(decoder)) }
            try progress("speed", repetition + 1, repetitions)
        }
        func figures(_ path: String, _ model: LanguageModel, _ peak: Int?, _ speeds: [(prefill: Double, milliseconds: Double)], _ perplexity: Double?) throws -> ModelFigures {
            guard let latency = Spread(speeds.map(\.milliseconds)) else {
                throw SwiftletError.invalidArgument(name: "repetitions", reason: "\(repetitions) is not positive", remedy: "Measure at least once.")
            }
            return ModelFigures(
                path: path, fileBytes: try ModelComparison.fileBytes(path), latencyMilliseconds: latency, prefillTokensPerSecond: Spread(speeds.map(\.prefill)),
                loadMilliseconds: model.loadMilliseconds, peakMemoryBytes: peak, perplexity: perplexity)
        }
        return ModelComparison(
            parent: try figures(parent, first, firstPeak, speeds[0], divergence?.parentPerplexity),
            model: try figures(model, second, secondPeak, speeds[1], divergence?.perplexity), divergence: divergence)
    }

    private func load(_ path: String, _ options: ModelOptions) throws -> (LanguageModel, Int?) {
        let peak = MemoryPeak()
        let model = try LanguageModel(path: path, options: options)
        _ = try speed(try Decoder(model: model, context: promptTokens + generateTokens))
        return (model, peak?.growthBytes)
    }

    /// Tokens a second of a prompt, and milliseconds of each token after it.
    private func speed(_ decoder: Decoder) throws -> (prefill: Double, milliseconds: Double) {
        try Task.checkCancellation()
        let prompt = BenchmarkPrompt.tokens(promptTokens, of: decoder.model)
        let clock = ContinuousClock(), start = clock.now
        try decoder.evaluate(prompt, at: 0, best: 1)
        let middle = clock.now
        for index in 0..<generateTokens { try decoder.evaluate([prompt[index % promptTokens]], at: promptTokens + index, best: 1) }
        return (Double(promptTokens) / ((middle - start) / .seconds(1)), (clock.now - middle) / .milliseconds(1) / Double(generateTokens))
    }
}

/// How two networks are compared.
public struct NetworkComparison: Sendable {
    /// How many samples there are, and each of them.
    public var count: Int
    public var sample: @Sendable (Int) throws -> NetworkSample
    /// Runs of each for speed, after one that prepares.
    public var repetitions = 15

    /// There must be one sample at least: it is what speed is measured with.
    public init(count: Int, sample: @escaping @Sendable (Int) throws -> NetworkSample) {
        self.count = count
        self.sample = sample
    }

    /// Loads and measures both; `comparesOutputs` is false when the samples stand for nothing (random numbers). `progress` as for language models.
    public func measure(
        parent: String, model: String, options: NetworkOptions, comparesOutputs: Bool = true, progress: (String, Int, Int) throws -> Void = { _, _, _ in }
    ) throws -> ModelComparison {
        let first = try sample(0).inputs
        let clock = ContinuousClock()
        var loaded: [(model: Model, milliseconds: Double, peak: Int?)] = []
        for path in [parent, model] {
            let peak = MemoryPeak(), start = clock.now
            let network = try Model(path: path, options: options)
            let milliseconds = (clock.now - start) / .milliseconds(1)
            let _: [String: Tensor] = try network.run(first)
            loaded.append((network, milliseconds, peak?.growthBytes))
        }
        let agreement = try comparesOutputs
            ? NetworkAgreement.measure(parent: loaded[0].model, model: loaded[1].model, count: count, sample: sample) {
                try Task.checkCancellation()
                try progress("agreement", $0, count)
            } : nil
        var times: [[Double]] = [[], []]
        for repetition in 0..<repetitions {
            try Task.checkCancellation()
            for (index, network) in loaded.enumerated() {
                let start = clock.now
                let _: [String: Tensor] = try network.model.run(first)
                times[index].append((clock.now - start) / .milliseconds(1))
            }
            try progress("speed", repetition + 1, repetitions)
        }
        func figures(_ index: Int, _ path: String, _ accuracy: Double?, _ top5: Double?) throws -> ModelFigures {
            guard let latency = Spread(times[index]) else {
                throw SwiftletError.invalidArgument(name: "repetitions", reason: "\(repetitions) is not positive", remedy: "Measure at least once.")
            }
            return ModelFigures(
                path: path, fileBytes: try ModelComparison.fileBytes(path), latencyMilliseconds: latency, loadMilliseconds: loaded[index].milliseconds,
                peakMemoryBytes: loaded[index].peak, accuracyPercent: accuracy, top5Percent: top5)
        }
        return ModelComparison(
            parent: try figures(0, parent, agreement?.parentAccuracyPercent, agreement?.parentTop5Percent),
            model: try figures(1, model, agreement?.accuracyPercent, agreement?.top5Percent), agreement: agreement)
    }
}
