// What a step did, in numbers: bytes, parameters and multiply-accumulates of the graph, and for each weight how far it moved.
import Foundation
import SwiftletRuntime

/// What a graph takes.
public struct GraphSize: Sendable, Codable, Equatable {
    /// Bytes of all weights, each once.
    public var weightBytes: Int
    /// Elements of all weights, each once.
    public var parameters: Int
    /// Elements that are not zero.
    public var nonzeroParameters: Int
    /// Multiply-accumulates of one run; of a language model, for one token after a full context of 512.
    public var multiplyAccumulates: Int

    /// Counts. Reads every weight.
    package init(_ graph: Graph) throws {
        weightBytes = graph.weightBytes
        parameters = graph.parameterCount
        nonzeroParameters = try graph.weights.reduce(0) { $0 + (try $1.weight.nonzeroCount()) }
        multiplyAccumulates = try graph.multiplyAccumulates(under: graph.bindingOfOneToken)
    }
}

/// What became of one weight.
public struct TensorReport: Sendable, Codable, Equatable {
    public var name: String
    /// Sizes, outermost first.
    public var shapeBefore: [Int]
    public var shapeAfter: [Int]
    public var formatBefore: String
    public var formatAfter: String
    public var bytesBefore: Int
    public var bytesAfter: Int
    /// Share of zeros among the elements after the step.
    public var sparsity: Double
    /// 10·log₁₀(Σw² / Σ(w − w′)²) in dB of the weight; nil where shapes differ or nothing changed.
    public var signalToNoise: Double?
    /// Σ‖(W − W′)x‖² / Σ‖Wx‖² over the calibration data; nil for techniques that do not know it.
    public var outputError: Double?

    package init(name: String, before: Weight, after: Weight, outputError: Double? = nil) throws {
        self.name = name
        shapeBefore = before.shape.dimensions
        shapeAfter = after.shape.dimensions
        formatBefore = before.format.description
        formatAfter = after.format.description
        bytesBefore = before.store.byteCount
        bytesAfter = after.store.byteCount
        let elements = max(1, after.shape.elementCount)
        sparsity = 1 - Double(try after.nonzeroCount()) / Double(elements)
        signalToNoise = before.shape == after.shape ? try Self.signalToNoise(before, after) : nil
        self.outputError = outputError
    }

    private static func signalToNoise(_ before: Weight, _ after: Weight) throws -> Double? {
        var (signal, noise) = (0.0, 0.0)
        try before.forEachRow { index, row in
            let other = try after.row(index)
            for (a, b) in zip(row, other) {
                signal += Double(a) * Double(a)
                noise += Double(a - b) * Double(a - b)
            }
        }
        return noise > 0 && signal > 0 ? 10 * log10(signal / noise) : nil
    }
}

/// A choice that a search met: what it takes and loses.
public struct ChoicePoint: Sendable, Codable, Equatable {
    public enum Kind: String, Sendable, Codable {
        /// By the sum of what its parts lose.
        case expected
        /// As low as it goes, measured.
        case lowest
        /// What the search decided on, measured.
        case chosen
    }

    /// Of all weights.
    public var weightBytes: Int
    /// As the technique measures it.
    public var loss: Double
    public var kind: Kind

    package init(weightBytes: Int, loss: Double, kind: Kind) {
        self.weightBytes = weightBytes
        self.loss = loss
        self.kind = kind
    }
}

/// What a step did.
public struct StepReport: Sendable, Codable, Equatable {
    public var technique: String
    public var before: GraphSize
    public var after: GraphSize
    public var tensors: [TensorReport]
    /// What a reader should know besides the numbers.
    public var notes: [String]
    /// What candidates lost, for techniques that measure it.
    public var sensitivities: [SensitivityEntry] = []
    /// What a search over choices met, for techniques that make one.
    public var choices: [ChoicePoint] = []
    /// Wall time; filled in by the compressor.
    public var seconds: Double

    package init(technique: String, before: GraphSize, after: GraphSize, tensors: [TensorReport], notes: [String] = [], seconds: Double = 0) {
        self.technique = technique
        self.before = before
        self.after = after
        self.tensors = tensors
        self.notes = notes
        self.seconds = seconds
    }
}

extension Graph {
    /// Symbols bound as for one token in a context of 512: for counting.
    fileprivate var bindingOfOneToken: Binding {
        var binding = Binding()
        for value in values { for dimension in value.type.shape { for term in dimension.terms { binding[term.symbol] = 1 } } }
        binding["context"] = 512
        return binding
    }
}
