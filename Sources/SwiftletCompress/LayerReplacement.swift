// The common shape of techniques that treat one weight after the other: finished layers are kept, progress is told, a report is drawn up.
import Foundation
import SwiftletRuntime

/// New weights for old.
package struct LayerReplacement {
    package private(set) var graph: Graph
    package private(set) var reports: [TensorReport] = []
    private let before: Graph
    private let context: CompressionContext
    private let technique: String
    private let parameters: String
    private let total: Int
    private var done = 0

    /// - Parameter parameters: everything the results depend on besides weight and data, for checkpoints.
    package init(_ graph: Graph, technique: String, parameters: String, total: Int, in context: CompressionContext) {
        self.graph = graph
        before = graph
        self.technique = technique
        self.parameters = parameters
        self.total = total
        self.context = context
    }

    /// Replaces the weight of `layer` by what `make` gives, or by what a run before this one kept. `outputError` gives nil where it is not known.
    package mutating func replace(_ layer: Layer, outputError: ((Weight) throws -> Double?)? = nil, _ make: () throws -> Weight) throws {
        try Task.checkCancellation()
        let digest = context.checkpoint == nil ? "" : layer.weight.digest + " " + parameters + " seed \(context.seed)"
        let weight: Weight
        if let kept = context.checkpoint?.weight(layer.name, digest: digest) {
            weight = kept
        } else {
            weight = try make()
            try context.checkpoint?.store(weight, name: layer.name, digest: digest)
        }
        graph.replaceWeight(layer.weightID, with: weight)
        reports.append(try TensorReport(name: layer.name, before: layer.weight, after: weight, outputError: outputError.flatMap { try $0(weight) }))
        done += 1
        try context.progress(StepProgress(technique: technique, detail: layer.name, done: done, total: total))
    }

    /// The step's result.
    package func result(notes: [String] = []) throws -> StepResult {
        try StepResult(technique: technique, before: before, after: graph, tensors: reports, notes: notes)
    }
}

extension Weight {
    /// A short text that differs for different shapes, formats and bytes.
    var digest: String {
        var fingerprint = Fingerprint()
        store.withBytes { fingerprint.add($0) }
        return "\(shape) \(format) \(fingerprint.text)"
    }
}
