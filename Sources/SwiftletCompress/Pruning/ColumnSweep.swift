// The sweep over the columns of one matrix that SparseGPT is made of.
import SwiftletLinearAlgebra
import SwiftletRuntime

/// Prunes a matrix `[rows, columns]` whose columns have the inverse Hessian `inverse`, in its order, which must be the natural one.
struct ColumnSweep {
    let inverse: InverseHessian
    let pattern: SparsityPattern
    let sparsity: Double
    let pool: ThreadPool

    /// Columns whose zeros are chosen at once; a multiple of the groups of 4, 8 and 16.
    private static let blockColumns = 128

    /// Sets weights to zero and changes those behind them. Columns nothing flows into become zero whatever their weights.
    func prune(_ elements: inout [Float], rows: Int) throws {
        let columns = inverse.columns
        for row in 0..<rows { for column in 0..<columns where inverse.isDead[column] { elements[row * columns + column] = 0 } }
        guard sparsity > 0 else { return }
        let width = blockWidth
        var errors = [Float](repeating: 0, count: rows * width)
        for first in stride(from: 0, to: columns, by: width) {
            let count = min(width, columns - first)
            let removed = chosen(elements, rows: rows, first: first, count: count)
            try elements.withUnsafeMutableBufferPointer { weights in
                try errors.withUnsafeMutableBufferPointer { errors in
                    try inverse.factor.withUnsafeBufferPointer { factor in
                        let block = Block(weights: weights, errors: errors, factor: factor, columns: columns, first: first, count: count)
                        pool.forEach(rows) { row in sweep(row, block, removed) }
                        let next = first + count
                        guard next < columns else { return }
                        // weights[:, next…] −= errors · U[first…, next…]
                        try LinearAlgebra.matrixMultiply(
                            m: rows, n: columns - next, k: count, alpha: -1, a: MatrixView(UnsafeBufferPointer(rebasing: errors[..<(rows * count)]), stride: count),
                            b: MatrixView(UnsafeBufferPointer(rebasing: factor[(first * columns + next)...]), stride: columns), beta: 1,
                            c: MatrixView(UnsafeMutableBufferPointer(rebasing: weights[next...]), stride: columns))
                    }
                }
            }
        }
    }

    /// A multiple of the pattern's own width, so that no group or block is cut.
    private var blockWidth: Int {
        let unit =
            switch pattern {
            case .grouped(_, let group): group
            case .blocks(_, let columns): columns
            }
        return max(1, Self.blockColumns / unit) * unit
    }

    /// The columns `first..<first + count` of all rows.
    private struct Block: @unchecked Sendable {  // Rows are written by one thread each.
        let weights: UnsafeMutableBufferPointer<Float>
        let errors: UnsafeMutableBufferPointer<Float>
        let factor: UnsafeBufferPointer<Float>
        let columns: Int
        let first: Int
        let count: Int
    }

    /// Which weights of a block go, `[rows, count]`; empty where groups decide as they come.
    private func chosen(_ elements: [Float], rows: Int, first: Int, count: Int) -> [Bool] {
        guard case .blocks = pattern else { return [] }
        let columns = inverse.columns
        var scores = [Float](repeating: 0, count: rows * count)
        for row in 0..<rows {
            for column in 0..<count { scores[row * count + column] = score(elements[row * columns + first + column], first + column) }
        }
        return scores.withUnsafeBufferPointer { pattern.removed(scores: $0, rows: rows, columns: count, sparsity: sparsity, comparison: .layer) }
    }

    /// What removing a weight costs.
    private func score(_ weight: Float, _ column: Int) -> Float {
        let share = weight / inverse.factor[column * inverse.columns + column]
        return share * share
    }

    /// Works through one row of a block.
    private func sweep(_ row: Int, _ block: Block, _ removed: [Bool]) {
        let start = row * block.columns + block.first
        let weights = UnsafeMutableBufferPointer(rebasing: block.weights[start..<start + block.count])
        let errors = UnsafeMutableBufferPointer(rebasing: block.errors[row * block.count..<(row + 1) * block.count])
        withUnsafeTemporaryAllocation(of: Bool.self, capacity: block.count) { goes in
            for column in 0..<block.count { goes[column] = removed.isEmpty ? false : removed[row * block.count + column] }
            for column in 0..<block.count {
                if case .grouped(let kept, let group) = pattern, column % group == 0 {
                    let size = min(group, block.count - column)
                    withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { scores in
                        for index in 0..<size { scores[index] = score(weights[column + index], block.first + column + index) }
                        SparsityPattern.removeLowest(UnsafeBufferPointer(scores), keeping: kept) { goes[column + $0] = true }
                    }
                }
                guard goes[column] else {
                    errors[column] = 0
                    continue
                }
                let place = (block.first + column) * block.columns + block.first
                let factor = UnsafeBufferPointer(rebasing: block.factor[place..<place + block.count])
                let error = weights[column] / factor[column]
                for other in column..<block.count { weights[other] -= error * factor[other] }
                weights[column] = 0
                errors[column] = error
            }
        }
    }
}

extension InputMoments {
    /// Σ‖(W − W′)x‖² / Σ‖Wx‖² for matrices `[rows, columns]`; nil without the gram matrix or where nothing flows.
    package func relativeError(_ before: [Float], _ after: [Float], rows: Int) throws -> Double? {
        guard let gram, before.count == after.count, before.count == rows * columns else { return nil }
        let signal = try energy(before, gram, rows: rows)
        let noise = try energy(zip(before, after).map { $0 - $1 }, gram, rows: rows)
        return signal > 0 ? noise / signal : nil
    }

    /// tr(W·G·Wᵀ)
    private func energy(_ matrix: [Float], _ gram: [Float], rows: Int) throws -> Double {
        let weights = try Matrix(rows: rows, columns: columns, elements: matrix)
        let product = try LinearAlgebra.matrixMultiply(weights, Matrix(rows: columns, columns: columns, elements: gram))
        return zip(product.elements, matrix).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
}
