// Sensitivity: what a graph's answers lose when one candidate change is made and nothing else, layer by layer. What mixed precision and rates of
// pruning a layer are chosen by.
//
// The parent's answers are computed once and kept; each candidate graph runs on the same data and is compared row by row. Two figures come of it: the
// divergence of the first output, which choices are made by, and the error of all outputs, which reports show.
import Foundation
import SwiftletLanguage
import SwiftletRuntime

/// How two answers to the same data differ.
public enum Divergence: String, Sendable, Codable, Hashable {
    /// Mean over rows of KL(parent ‖ candidate) in nats, where rows of the first output are logits.
    case logits
    /// The same where rows are probabilities already.
    case probabilities
    /// Σ(a − b)² / Σa² over all elements of the first output.
    case relativeError

    /// What suits the first output: a language model, whose caller says of which tokens, has logits; a softmax makes probabilities; of anything else the numbers are compared.
    package init(suiting graph: Graph) {
        let producer = graph.outputs.first.flatMap { output in graph.nodes.last { $0.outputs.contains(output) } }
        if graph.input(named: LanguageGraph.tokenInput) != nil, graph.input(named: LanguageGraph.outputInput) != nil {
            self = .logits
        } else if producer?.op == .softmax {
            self = .probabilities
        } else {
            self = .relativeError
        }
    }
}

/// What one candidate costs.
public struct SensitivityEntry: Sendable, Codable, Equatable {
    /// The weights the candidate works on, as its scope names them.
    public var layer: String
    /// What was tried: a format, a sparsity.
    public var candidate: String
    /// How far the answers moved, as `Divergence` measures it.
    public var divergence: Double
    /// ‖y′ − y‖ / ‖y‖ over all f32 outputs, in percent.
    public var outputErrorPercent: Double

    package init(layer: String, candidate: String, divergence: Double, outputErrorPercent: Double) {
        self.layer = layer
        self.candidate = candidate
        self.divergence = divergence
        self.outputErrorPercent = outputErrorPercent
    }
}

/// One change to try.
public struct SensitivityCandidate: Sendable {
    public var layer: String
    public var label: String
    /// The graph with the change made.
    package var change: @Sendable (Graph, CompressionContext) throws -> Graph

    /// `step` is restricted to the layer by its scope.
    public init(layer: String, label: String, step: any CompressionStep) {
        self.init(layer: layer, label: label) { try step.run($0, in: $1).graph }
    }

    /// A change that is no step, and so draws up no report that a scan would throw away.
    package init(layer: String, label: String, change: @escaping @Sendable (Graph, CompressionContext) throws -> Graph) {
        self.layer = layer
        self.label = label
        self.change = change
    }
}

/// Measures candidates one by one.
public struct SensitivityScan: Sendable {
    /// How answers are compared; nil for what suits the graph.
    public var divergence: Divergence?

    public init(divergence: Divergence? = nil) { self.divergence = divergence }

    /// An entry a candidate, in their order. `data` must ask for the outputs that are compared (`TokenWindows.askingForLogits`); a few short windows
    /// do, since each candidate is run on all of them.
    ///
    /// Throws `SwiftletError.invalidArgument` when the data give no rows to compare or the answers are too many to keep, and what the steps throw.
    public func scan(
        _ graph: Graph, candidates: [SensitivityCandidate], data: any CalibrationData, in context: CompressionContext
    ) throws -> [SensitivityEntry] {
        try ParentAnswers(graph, divergence: divergence, data: data, in: context).scan(candidates)
    }
}

extension SensitivityCandidate {
    /// One a weight that `compressed` has in another form than `parent` and in the same shape, in the order the parent runs them: that weight
    /// exchanged. Weights that `compressed` takes the quantisation off stand for what comes out.
    package static func exchanges(parent: Graph, compressed: Graph) throws -> [SensitivityCandidate] {
        let compressed = try DequantizedConstants().run(compressed)
        // Behind integers with scales a float weight has a name of its own; the file's is that of the integers.
        var new: [String: Weight] = [:]
        for (id, weight) in compressed.weights where compressed[id].quantized == nil { new[compressed[id].name] = weight }
        for (id, weight) in compressed.weights { if let source = compressed[id].quantized { new[compressed[source.values].name] = weight } }
        var seen: Set<ValueID> = []
        return parent.layers().compactMap { layer in
            guard let weight = new[layer.name], weight.shape == layer.weight.shape, seen.insert(layer.weightID).inserted,
                weight.format != layer.weight.format || weight.store.bytes.baseAddress != layer.weight.store.bytes.baseAddress
            else { return nil }
            return SensitivityCandidate(layer: layer.name, label: weight.format.description) { graph, _ in
                var graph = graph
                graph.replaceWeight(layer.weightID, with: weight)
                return graph
            }
        }
    }
}

/// What a graph answers to some data, kept to compare other graphs with.
package struct ParentAnswers {
    /// How far answers moved.
    package struct Difference {
        /// As `Divergence` measures it, of the first output.
        package let divergence: Double
        /// ‖y′ − y‖ / ‖y‖ over all f32 outputs, in percent.
        package let outputErrorPercent: Double
    }

    private let graph: Graph
    private let measure: Divergence
    private let data: any CalibrationData
    private let context: CompressionContext
    /// A batch, then an output: the f32 ones, in order.
    private var answers: [[[Float]]] = []

    /// Bytes of the parent's answers that are kept at most.
    private static let largestAnswer = 4 << 30

    /// Runs `graph`. Throws `SwiftletError.invalidArgument` when the data give no rows to compare or the answers are too many to keep.
    package init(_ graph: Graph, divergence: Divergence? = nil, data: any CalibrationData, in context: CompressionContext) throws {
        guard let output = graph.outputs.first, graph[output].type.element == .f32 else {
            throw SwiftletError.invalidGraph(
                node: graph.name, reason: "has no first output of f32 numbers", remedy: "Use a graph that computes numbers to compare.")
        }
        self.graph = graph
        self.measure = divergence ?? Divergence(suiting: graph)
        self.data = data
        self.context = context
        let outputs = graph.floatOutputs
        var bytes = 0
        try GraphRun(graph, values: outputs, in: context).forEachBatch(of: data) { _, values in
            let answer = try outputs.map { Array(try values.floats($0)) }
            bytes += answer.reduce(0) { $0 + $1.count } * MemoryLayout<Float>.stride
            guard bytes <= Self.largestAnswer else {
                throw SwiftletError.invalidArgument(
                    name: "data", reason: "the answers to compare with take more than \(Self.largestAnswer >> 30) GiB", remedy: "Scan with fewer or shorter samples.")
            }
            answers.append(answer)
        }
        guard answers.contains(where: { !$0[0].isEmpty }) else {
            throw SwiftletError.invalidArgument(
                name: "data", reason: "they ask for no rows of the output \(graph[output].name)", remedy: "Ask for logits of the windows (askingForLogits).")
        }
    }

    /// An entry a candidate, in their order.
    package func scan(_ candidates: [SensitivityCandidate]) throws -> [SensitivityEntry] {
        try candidates.enumerated().map { index, candidate in
            try Task.checkCancellation()
            let difference = try difference(to: candidate.change(graph, context), name: candidate.layer)
            try context.progress(
                StepProgress(technique: "sensitivity", detail: "\(candidate.layer) \(candidate.label)", done: index + 1, total: candidates.count))
            return SensitivityEntry(
                layer: candidate.layer, candidate: candidate.label, divergence: difference.divergence, outputErrorPercent: difference.outputErrorPercent)
        }
    }

    /// Runs `changed` on the same data. `name` is what an error calls the change.
    package func difference(to changed: Graph, name: String) throws -> Difference {
        let outputs = changed.floatOutputs
        var (comparison, error) = (Comparison(measure), Comparison(.relativeError))
        try GraphRun(changed, values: outputs, in: context).forEachBatch(of: data) { batch, values in
            let answer = try outputs.map { try values.floats($0) }
            guard answer.map(\.count) == answers[batch].map(\.count) else {
                throw SwiftletError.invalidGraph(
                    node: name, reason: "the step changed the number or shapes of the outputs", remedy: "Scan steps that keep the outputs as they are.")
            }
            let width = try values.shape(outputs[0]).dimensions.last ?? 1
            for (index, answer) in answer.enumerated() {
                answers[batch][index].withUnsafeBufferPointer { parent in
                    if index == 0 { comparison.add(parent, answer, width: max(1, width)) }
                    error.add(parent, answer, width: 1)
                }
            }
        }
        return Difference(divergence: comparison.value, outputErrorPercent: 100 * error.value.squareRoot())
    }
}

extension Graph {
    fileprivate var floatOutputs: [ValueID] { outputs.filter { self[$0].type.element == .f32 } }
}

/// Adds up how rows differ.
private struct Comparison {
    private let divergence: Divergence
    private var sum = 0.0
    private var weight = 0.0

    init(_ divergence: Divergence) { self.divergence = divergence }

    /// The mean a row, or the relative error; 0 where both are all zero.
    var value: Double { weight > 0 ? max(0, sum / weight) : sum }

    mutating func add(_ parent: UnsafeBufferPointer<Float>, _ other: UnsafeBufferPointer<Float>, width: Int) {
        guard divergence != .relativeError else {
            for (a, b) in zip(parent, other) {
                sum += Double(a - b) * Double(a - b)
                weight += Double(a) * Double(a)
            }
            return
        }
        for start in stride(from: 0, to: parent.count - parent.count % width, by: width) {
            let range = start..<start + width
            let (p, q) = (UnsafeBufferPointer(rebasing: parent[range]), UnsafeBufferPointer(rebasing: other[range]))
            sum += divergence == .logits ? Self.divergence(logits: p, q) : Self.divergence(probabilities: p, q)
            weight += 1
        }
    }

    /// Σ p·(log p − log q) with p and q the softmax of the logits.
    private static func divergence(logits a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) -> Double {
        let (largestA, largestB) = (a.max() ?? 0, b.max() ?? 0)
        var (sumA, sumB, dot) = (0.0, 0.0, 0.0)
        for index in a.indices {
            let e = Double(expf(a[index] - largestA))
            sumA += e
            sumB += Double(expf(b[index] - largestB))
            dot += e * Double((a[index] - largestA) - (b[index] - largestB))
        }
        return dot / sumA - log(sumA) + log(sumB)
    }

    /// Probabilities below the smallest normal number count as that.
    private static func divergence(probabilities a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) -> Double {
        let floor = Float.leastNormalMagnitude
        return zip(a, b).reduce(0) { sum, pair in pair.0 > 0 ? sum + Double(pair.0) * (log(Double(pair.0)) - log(Double(max(pair.1, floor)))) : sum }
    }
}
