// Batches that many runs look at, read once: pictures take longer to decode than a network to run.
import SwiftletRuntime

/// Some data in memory, or as they were where they take too much of it.
package struct KeptBatches: CalibrationData {
    private let data: any CalibrationData
    private let kept: [CalibrationBatch]

    /// Bytes that are kept at most.
    private static let largest = 1 << 30

    /// Reads the batches up to `largest`; those beyond are read whenever they are asked for.
    package init(_ data: any CalibrationData) throws {
        self.data = data
        var (kept, bytes): ([CalibrationBatch], Int) = ([], 0)
        for index in 0..<data.batchCount {
            let batch = try data.batch(index)
            bytes += batch.inputs.values.reduce(0) { $0 + $1.shape.elementCount * max(1, $1.type.byteCount) }
            guard bytes <= Self.largest else { break }
            kept.append(batch)
        }
        self.kept = kept
    }

    package var batchCount: Int { data.batchCount }
    package var stateBinding: Binding { data.stateBinding }
    package func batch(_ index: Int) throws -> CalibrationBatch { index < kept.count ? kept[index] : try data.batch(index) }
    package func forComparison(limit: Int) -> any CalibrationData { data.forComparison(limit: limit) }
}
