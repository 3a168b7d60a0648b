// Two encoders of texts side by side: how far the vectors of the one turn away from those of the other, and what both take.
import SwiftletCompress
import SwiftletLanguage
import SwiftletTensor

/// What two encoders make of the same texts.
public struct VectorAgreement: Sendable, Codable, Equatable {
    public var texts: Int
    /// Of the angle between both vectors of a text: 1 where they point the same way.
    public var leastCosine: Double
    public var meanCosine: Double
    /// How often the text nearest to a text, of all the others, is the same; nil with fewer than three texts, or more than `mostForNearest`.
    public var sameNearestPercent: Double?

    /// Every text is compared with every other.
    static let mostForNearest = 2048

    /// - Parameters: vectors of the same texts, in the same order.
    ///
    /// Throws `SwiftletError.invalidArgument` when there are none, or they differ in number or length.
    package init(parent: [[Float]], model: [[Float]]) throws {
        guard parent.count == model.count, !parent.isEmpty, zip(parent, model).allSatisfy({ $0.count == $1.count }) else {
            throw SwiftletError.invalidArgument(
                name: "model", reason: "gives \(model.count) vectors of \(model.first?.count ?? 0) numbers, its parent \(parent.count) of \(parent.first?.count ?? 0)",
                remedy: "Compare encoders made of one another, on at least one text.")
        }
        let cosines = zip(parent, model).map(Self.cosine)
        texts = cosines.count
        // A vector that is no number is as far away as any.
        leastCosine = cosines.reduce(1) { $1.isNaN ? -1 : min($0, $1) }
        meanCosine = cosines.reduce(0) { $0 + ($1.isNaN ? -1 : $1) } / Double(cosines.count)
        guard (3...Self.mostForNearest).contains(parent.count) else { return }
        let same = zip(Self.nearest(parent), Self.nearest(model)).count { $0 == $1 }
        sameNearestPercent = 100 * Double(same) / Double(parent.count)
    }

    private static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        var (product, first, second) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            product += Double(x) * Double(y)
            first += Double(x) * Double(x)
            second += Double(y) * Double(y)
        }
        let cosine = product / (first * second).squareRoot()
        // Rounding may leave a little more than 1; `min` would take what is no number for 1.
        return cosine > 1 ? 1 : cosine
    }

    /// For each vector of length 1 the place of the nearest other one, the first of equals.
    private static func nearest(_ vectors: [[Float]]) -> [Int] {
        vectors.indices.map { index in
            var best = (place: -1, similarity: -Float.infinity)
            for other in vectors.indices where other != index {
                let similarity = TextEncoder.similarity(vectors[index], vectors[other])
                if similarity > best.similarity { best = (other, similarity) }
            }
            return best.place
        }
    }
}

/// How two encoders are compared.
public struct EncoderComparison: Sendable {
    /// Texts, a line each, as UTF-8; nil for none.
    public var text: [UInt8]?
    /// How many of them are taken, evenly spread; nil for all.
    public var limit: Int?
    /// Times each computes a text of middle length, by itself, after three to warm up.
    public var repetitions = 25

    public init(text: [UInt8]?, limit: Int? = nil) {
        self.text = text
        self.limit = limit
    }

    /// Tokens of the text that is timed where none are given.
    private static let plainTokens = 32

    /// Loads and measures both. `progress` as for language models.
    ///
    /// Throws `SwiftletError.invalidArgument` when the text has no lines, and what loading and computing throw.
    public func measure(
        parent: String, model: String, options: EncoderOptions, progress: (String, Int, Int) throws -> Void = { _, _, _ in }
    ) throws -> ModelComparison {
        let tokenizer = try TextEncoder.texts(path: parent)
        let texts = text.map { EncoderTexts.tokens(of: $0, tokenizer: tokenizer, limit: limit) }
        if let texts, texts.isEmpty {
            throw SwiftletError.invalidArgument(name: "texts", reason: "the file has none", remedy: "Give a text on each line.")
        }
        let frame = tokenizer.tokens(of: "")
        let timed = texts.map { texts in texts.sorted { $0.count < $1.count }[texts.count / 2] }
            ?? [frame[0]] + [Int32](repeating: frame[1], count: min(Self.plainTokens, tokenizer.maximumTokens) - 2) + [frame[1]]
        let clock = ContinuousClock()
        let loaded = try [parent, model].map { path in
            let peak = MemoryPeak(), start = clock.now
            let encoder = try TextEncoder(path: path, options: options)
            let milliseconds = (clock.now - start) / .milliseconds(1)
            _ = try encoder.embed(tokens: [timed])
            return (encoder: encoder, milliseconds: milliseconds, peak: peak?.growthBytes)
        }
        var vectors: [[[Float]]] = [[], []]
        for (done, text) in (texts ?? []).enumerated() {
            try Task.checkCancellation()
            for index in 0..<2 { vectors[index] += try loaded[index].encoder.embed(tokens: [text]) }
            try progress("agreement", done + 1, texts?.count ?? 0)
        }
        var times: [[Double]] = [[], []]
        for repetition in -3..<repetitions {
            try Task.checkCancellation()
            for index in 0..<2 {
                let start = clock.now
                _ = try loaded[index].encoder.embed(tokens: [timed])
                if repetition >= 0 { times[index].append((clock.now - start) / .milliseconds(1)) }
            }
            if repetition >= 0 { try progress("speed", repetition + 1, repetitions) }
        }
        func figures(_ index: Int, _ path: String) throws -> ModelFigures {
            guard let latency = Spread(times[index]) else {
                throw SwiftletError.invalidArgument(name: "repetitions", reason: "\(repetitions) is not positive", remedy: "Measure at least once.")
            }
            return ModelFigures(
                path: path, fileBytes: try ModelComparison.fileBytes(path), latencyMilliseconds: latency, loadMilliseconds: loaded[index].milliseconds,
                peakMemoryBytes: loaded[index].peak)
        }
        return ModelComparison(
            parent: try figures(0, parent), model: try figures(1, model), vectors: try texts.map { _ in try VectorAgreement(parent: vectors[0], model: vectors[1]) })
    }
}
