// Rows of logits to sample from, with the settings people use: for benchmarks.
import SwiftletLanguage
import SwiftletTensor

/// A sampler with a row of logits that looks like a language model's: a bell with a few tokens that stand out.
public struct SamplerCase {
    public let name: String
    private var sampler: Sampler
    private var logits: [Float]
    private let original: [Float]
    private let recent: [Int32]

    /// The settings measured, by name.
    public static var settings: [(name: String, options: SamplingOptions)] {
        var defaults = SamplingOptions()
        defaults.seed = 1
        var penalised = defaults
        penalised.repetitionPenalty = 1.1
        var nucleus = defaults
        (nucleus.topK, nucleus.minP) = (0, 0)
        var whole = defaults
        (whole.topK, whole.topP, whole.minP) = (0, 1, 0)
        var probable = defaults
        (probable.topK, probable.topP) = (0, 1)
        return [
            ("greedy", .greedy), ("top-k 40, top-p 0.95, min-p 0.05", defaults),
            ("top-k 40, top-p 0.95, min-p 0.05, repetition penalty 1.1", penalised), ("top-p 0.95", nucleus), ("min-p 0.05", probable), ("temperature only", whole),
        ]
    }

    /// Throws `SwiftletError.invalidArgument` for a vocabulary without tokens.
    public init(name: String, options: SamplingOptions, vocabularyCount: Int) throws {
        guard vocabularyCount > 0 else {
            throw SwiftletError.invalidArgument(name: "vocabulary", reason: "it has no tokens", remedy: "Give a positive count.")
        }
        self.name = name
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        func uniform() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(state >> 40) * 0x1p-24
        }
        // Twelve uniform numbers make a good bell.
        var row = (0..<vocabularyCount).map { _ in (0..<12).reduce(Float(-6)) { sum, _ in sum + uniform() } * 2.5 }
        for rank in 0..<min(20, vocabularyCount) { row[rank * 997 % vocabularyCount] = 18 - Float(rank) * 0.6 }
        (original, logits) = (row, row)
        recent = (0..<64).map { Int32($0 * 991 % vocabularyCount) }
        sampler = try Sampler(options, vocabularyCount: vocabularyCount)
        for token in recent { sampler.accept(token) }
    }

    /// Draws once, from the same row each time. Returns the token.
    @discardableResult
    public mutating func draw() throws -> Int32 {
        // What penalties changed last time, as the next row of a model would have it.
        for token in recent { logits[Int(token)] = original[Int(token)] }
        return try logits.withUnsafeMutableBufferPointer { try sampler.sample($0) }
    }
}
