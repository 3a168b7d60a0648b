// One run of an encoder at a time: the texts of a batch behind each other into the graph, a vector for each out of it.
import SwiftletRuntime

/// Which texts are computed together.
struct EncoderBatches {
    /// Tokens of one run: enough rows to use a packed panel many times, few enough that activations stay in cache.
    static let tokens = 512
    /// Texts of one run: each has keys and values of its own.
    static let texts = 32

    /// Ranges of texts, in order, for the numbers of their tokens. A text longer than a batch is one of its own.
    static func ranges(_ counts: [Int]) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var (first, total) = (0, 0)
        for (index, count) in counts.enumerated() {
            if index > first, total + count > tokens || index - first == texts {
                ranges.append(first..<index)
                (first, total) = (index, 0)
            }
            total += count
        }
        if first < counts.count { ranges.append(first..<counts.count) }
        return ranges
    }
}

/// The memory of one run at a time. Not thread-safe: a `TextEncoder` hands it to one caller.
///
/// `@unchecked Sendable`: it moves between threads, under the encoder's lock.
final class EncoderRun: @unchecked Sendable {
    private let execution: ExecutionContext
    private let inputs: (tokens: ValueID, positions: ValueID, ends: ValueID, slots: ValueID)
    private let output: ValueID
    private let width: Int
    private let pooling: EncoderConfiguration.Pooling

    init(_ compiled: CompiledGraph, configuration: EncoderConfiguration, maximumTokens: Int) throws {
        func input(_ name: String) throws -> ValueID {
            guard let id = compiled.graph.input(named: name) else {
                throw SwiftletError.invalidGraph(node: name, reason: "the graph has no such input", remedy: "Build it with BERTGraph.")
            }
            return id
        }
        inputs = (try input(BERTGraph.tokens), try input(BERTGraph.positions), try input(BERTGraph.ends), try input(BERTGraph.slots))
        guard let first = compiled.graph.outputs.first else {
            throw SwiftletError.invalidGraph(node: compiled.graph.name, reason: "the graph has no output", remedy: "Build it with BERTGraph.")
        }
        output = first
        width = configuration.width
        pooling = configuration.pooling
        execution = try ExecutionContext(compiled, stateBinding: [BERTGraph.texts: EncoderBatches.texts, BERTGraph.context: maximumTokens])
    }

    /// The vectors of texts, of length 1. None may be without tokens; `EncoderBatches` says how many suit one run.
    func vectors(of texts: ArraySlice<[Int32]>) throws -> [[Float]] {
        let plan = try write(texts)
        try plan.run()
        return try pooled(plan, texts)
    }

    /// As `vectors(of:)`, and what each node took.
    func profile(_ texts: ArraySlice<[Int32]>) throws -> [NodeTiming] { try write(texts).profile() }

    private func write(_ texts: ArraySlice<[Int32]>) throws -> BoundGraph {
        let plan = try execution.plan([BERTGraph.count: texts.reduce(0) { $0 + $1.count }])
        let tokens = try plan.elements(of: inputs.tokens, as: Int32.self)
        let positions = try plan.elements(of: inputs.positions, as: Int32.self)
        let ends = try plan.elements(of: inputs.ends, as: Int32.self)
        let slots = try plan.elements(of: inputs.slots, as: Int32.self)
        var row = 0
        for (slot, text) in texts.enumerated() {
            for (position, token) in text.enumerated() {
                tokens[row] = token
                positions[row] = Int32(truncatingIfNeeded: position)
                ends[row] = Int32(truncatingIfNeeded: text.count - 1)
                slots[row] = Int32(truncatingIfNeeded: slot)
                row += 1
            }
        }
        return plan
    }

    private func pooled(_ plan: BoundGraph, _ texts: ArraySlice<[Int32]>) throws -> [[Float]] {
        let rows = try plan.elements(of: output, as: Float.self)
        var first = 0
        return texts.map { text in
            var vector = Array(rows[first * width..<(first + 1) * width])
            if pooling == .mean {
                for row in first + 1..<first + max(1, text.count) {
                    for column in 0..<width { vector[column] += rows[row * width + column] }
                }
            }
            first += text.count
            // The length takes the divisor of the mean along.
            let length = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let scale = length > 0 ? Float(1 / length) : 0
            for column in vector.indices { vector[column] *= scale }
            return vector
        }
    }
}
