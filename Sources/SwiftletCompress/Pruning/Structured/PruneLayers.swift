// Pruning of whole layers of a language model: a run of consecutive layers goes that turns the stream of activations least, measured as the angle
// between what goes in and what comes out. Gromov et al., 2024.
//
// The layers behind move up. An architecture may treat layers by their number (every sixth sees everything): only runs are considered after whose
// removal each layer that is left is at a place where the architecture does with it what it did before.
import Foundation
import SwiftletRuntime

/// Removes the consecutive layers that do least.
public struct PruneLayers: CompressionStep {
    public static let technique = "layers"

    /// Layers have no weight names of their own: all are considered.
    public var scope: Scope { .all }
    /// How many layers go.
    public var count: Int

    public init(count: Int) { self.count = count }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let stack = try LayerStack(graph)
        let starts = stack.starts(ofRuns: count)
        guard count > 0, count < stack.blocks.count else {
            throw SwiftletError.invalidArgument(
                name: "count", reason: "\(count) of \(stack.blocks.count) layers cannot go", remedy: "Remove at least one and leave at least one.")
        }
        guard !starts.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: "count", reason: "without \(count) consecutive layers others would come to places where the architecture treats them otherwise",
                remedy: "Remove a multiple of the period in which its layers differ.")
        }
        let distances = try distances(graph, stack, in: context)
        guard let start = starts.min(by: { distances[$0] < distances[$1] }) else { return try StepResult(technique: Self.technique, before: graph, after: graph, tensors: []) }
        let result = try stack.removing(start..<start + count, from: graph)
        let note = "Layers \(start) to \(start + count - 1) of \(stack.blocks.count) are gone: they turned activations by \(String(format: "%.3f", distances[start])) of π."
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: [], notes: [note])
    }

    /// For each first layer of a run: the mean angle between what flows into it and what comes out of the run's last, as a share of π.
    private func distances(_ graph: Graph, _ stack: LayerStack, in context: CompressionContext) throws -> [Double] {
        let data = try context.requiredCalibration(for: Self.technique)
        let places = stack.blocks.count - count + 1
        var sums = [Double](repeating: 0, count: places)
        var rows = 0
        try GraphRun(graph, values: stack.boundaries, in: context).forEachBatch(of: data) { batch, values in
            guard let width = try values.shape(stack.boundaries[0]).dimensions.last, width > 0 else { return }
            for start in 0..<places {
                let (a, b) = (try values.floats(stack.boundaries[start]), try values.floats(stack.boundaries[start + count]))
                for row in stride(from: 0, to: a.count, by: width) { sums[start] += Self.angle(a[row..<row + width], b[row..<row + width]) }
                if start == 0 { rows += a.count / width }
            }
            try context.progress(StepProgress(technique: Self.technique, detail: "calibration batch \(batch + 1)", done: batch + 1, total: data.batchCount))
        }
        return sums.map { $0 / Double(max(1, rows)) }
    }

    /// arccos(a·b / ‖a‖‖b‖) / π
    private static func angle(_ a: Swift.Slice<UnsafeBufferPointer<Float>>, _ b: Swift.Slice<UnsafeBufferPointer<Float>>) -> Double {
        var (dot, first, second) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            dot += Double(x) * Double(y)
            first += Double(x) * Double(x)
            second += Double(y) * Double(y)
        }
        guard first > 0, second > 0 else { return 0.5 }
        return acos(max(-1, min(1, dot / (first * second).squareRoot()))) / .pi
    }
}

extension PruneLayers: RecipeTechnique {
    package static let summary = "remove consecutive layers of a language model that change its activations least, by calibration"
    package static let parameters = [RecipeParameter("count", .integer(1...1024), "how many consecutive layers go")]

    package init(_ values: RecipeValues) throws {
        guard values.scope == .all else {
            throw SwiftletError.invalidArgument(name: "scope", reason: "layers are chosen by what they do, not by names", remedy: "Leave the scope out.")
        }
        self.init(count: try values.integer("count"))
    }
}
