// What flows through a network, looked at: the extremes of values over the calibration data, then how they are distributed between those.
import SwiftletRuntime

/// The ranges of values.
package struct ActivationRanges {
    /// The ranges that `method` gives `values`. Runs the data once, and once more for methods that look at distributions.
    ///
    /// Throws `SwiftletError.invalidArgument` when there are no batches, `.numerical` naming a value that is not finite.
    package static func collect(
        _ graph: Graph, values: [ValueID], method: RangeMethod, type: QuantizedType, data: any CalibrationData, in context: CompressionContext, technique: String
    ) throws -> [ValueID: ValueRange] {
        guard data.batchCount > 0 else {
            throw SwiftletError.invalidArgument(name: "calibration", reason: "the data have no batches", remedy: "Give at least one sample of what the model will see.")
        }
        let rounds = method == .minmax ? 1 : 2
        let run = try GraphRun(graph, values: values, in: context)
        func forEachValue(round: Int, _ body: (ValueID, UnsafeBufferPointer<Float>) throws -> Void) throws {
            try run.forEachBatch(of: data) { batch, seen in
                for value in values { try body(value, seen.floats(value)) }
                try context.progress(
                    StepProgress(
                        technique: technique, detail: "calibration batch \(batch + 1)", done: round * data.batchCount + batch + 1, total: rounds * data.batchCount))
            }
        }
        var extremes: [ValueID: (low: Float, high: Float)] = [:]
        try forEachValue(round: 0) { value, elements in
            guard !elements.isEmpty else { return }
            var (low, high) = extremes[value] ?? (elements[0], elements[0])
            var sum: Float = 0
            for element in elements {
                low = min(low, element)
                high = max(high, element)
                // 0 for every number, and nothing but a number gives 0.
                sum += element * 0
            }
            guard sum == 0 else {
                throw SwiftletError.numerical(
                    routine: technique, reason: "'\(graph[value].name)' has elements that are no numbers on the calibration data",
                    remedy: "Check the calibration data, or leave the layer out with exclude.")
            }
            extremes[value] = (low, high)
        }
        let seen = extremes.mapValues { ValueRange($0.low, $0.high) }
        if method == .minmax { return seen }
        var histograms = extremes.mapValues { ValueHistogram(low: $0.low, high: $0.high) }
        try forEachValue(round: 1) { value, elements in
            guard var histogram = histograms.removeValue(forKey: value) else { return }
            histogram.add(elements)
            histograms[value] = histogram
        }
        return Dictionary(uniqueKeysWithValues: seen.map { value, range in (value, histograms[value]?.range(by: method, seen: range, levels: type) ?? range) })
    }
}
