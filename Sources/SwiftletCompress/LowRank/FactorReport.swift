// What a report says of a layer that was factored.
import Foundation
import SwiftletRuntime

extension TensorReport {
    /// What became of a weight that is a product of `factors` now, the last to multiply first. `error` is ‖W − W′‖² / ‖W‖².
    init(_ layer: Layer, factors: [Weight], sizes: [Int], error: Double, outputError: Double?) throws {
        let elements = factors.reduce(0) { $0 + $1.shape.elementCount }
        let nonzero = try factors.reduce(0) { $0 + (try $1.nonzeroCount()) }
        name = layer.name
        shapeBefore = layer.weight.shape.dimensions
        shapeAfter = sizes
        formatBefore = layer.weight.format.description
        formatAfter = factors.first?.format.description ?? ""
        bytesBefore = layer.weight.store.byteCount
        bytesAfter = factors.reduce(0) { $0 + $1.store.byteCount }
        sparsity = 1 - Double(nonzero) / Double(max(1, elements))
        signalToNoise = error > 0 ? -10 * log10(error) : nil
        self.outputError = outputError
    }
}
