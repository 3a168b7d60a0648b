// What a change of a matrix does to its outputs on the calibration data, from XᵀX alone: Σ‖(W − W′)x‖² = tr((W − W′)·XᵀX·(W − W′)ᵀ).
import SwiftletLinearAlgebra
import SwiftletRuntime

extension InputMoments {
    /// Σ‖(W − W′)x‖² / Σ‖Wx‖² for matrices `[rows, columns]`; nil without the gram matrix, where sizes differ or where nothing flows.
    package func relativeError(_ before: [Float], _ after: [Float], rows: Int) throws -> Double? {
        guard let gram, before.count == after.count, before.count == rows * columns else { return nil }
        let signal = try Self.energy(before, gram: gram, rows: rows, columns: columns)
        guard signal > 0 else { return nil }
        var difference = before
        for index in difference.indices { difference[index] -= after[index] }
        return try Self.energy(difference, gram: gram, rows: rows, columns: columns) / signal
    }

    /// Σ‖Wx‖² = tr(W·G·Wᵀ) for a matrix `[rows, columns]` and the G of its inputs.
    package static func energy(_ matrix: [Float], gram: [Float], rows: Int, columns: Int) throws -> Double {
        guard columns > 0 else { return 0 }
        // A few rows at a time, so that the product is read while it is near.
        let step = min(rows, 256)
        var product = [Float](repeating: 0, count: step * columns)
        var sum = 0.0
        try matrix.withUnsafeBufferPointer { matrix in
            try gram.withUnsafeBufferPointer { gram in
                try product.withUnsafeMutableBufferPointer { product in
                    for first in stride(from: 0, to: rows, by: max(step, 1)) {
                        let part = UnsafeBufferPointer(rebasing: matrix[first * columns..<min(rows, first + step) * columns])
                        try LinearAlgebra.matrixMultiply(
                            m: part.count / columns, n: columns, k: columns, a: MatrixView(part, stride: columns), b: MatrixView(gram, stride: columns),
                            c: MatrixView(product, stride: columns))
                        for index in part.indices { sum += Double(part[index]) * Double(product[index]) }
                    }
                }
            }
        }
        return max(0, sum)
    }
}
