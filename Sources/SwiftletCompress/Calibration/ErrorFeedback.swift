// The walk over the columns of a matrix that GPTQ and SparseGPT share: what a changed weight breaks, the columns after it make up for.
//
// With H⁻¹ = Uᵀ·U (see InverseHessian), changing w in place i to q costs ((w − q) / U[i, i])², and the places j > i of its row make up for it by
// −(w − q) / U[i, i] · U[i, j]. Columns are taken in blocks ("lazy batch updates", Frantar et al., 2022): within a block rows are on their own and a
// change reaches the rest of the block at once; what all errors of a block mean for later columns is one matrix product.
import SwiftletLinearAlgebra
import SwiftletRuntime

/// Walks over matrices whose columns have the inverse Hessian `inverse`, in its order.
struct ErrorFeedback {
    let inverse: InverseHessian
    /// Columns of a block.
    let blockColumns: Int
    let pool: ThreadPool

    /// About how many columns a block has: its part of the factor (64 KB) stays in the cache of a core while rows pass by.
    static let preferredBlockColumns = 128

    /// The largest multiple of `unit` columns up to the preferred width, or one unit: for blocks that must not cut a group of columns.
    static func blockColumns(multipleOf unit: Int) -> Int { max(1, preferredBlockColumns / unit) * unit }

    /// Rows of one task of the pool.
    private static let taskRows = 16

    /// The columns of a block, as places in the order of the walk.
    struct Block {
        let first: Int
        let count: Int
        /// U of these columns among themselves, `[count, count]`.
        fileprivate let factor: UnsafeMutablePointer<Float>
    }

    /// One row of a block while it is worked on.
    struct Row {
        let index: Int
        fileprivate let count: Int
        fileprivate let weights: UnsafeMutablePointer<Float>
        fileprivate let errors: UnsafeMutablePointer<Float>
        fileprivate let factor: UnsafeMutablePointer<Float>

        /// The weight in a place of the block, with all that was made up for in it so far.
        subscript(place: Int) -> Float { weights[place] }

        /// The weights from a place of the block on.
        func weights(from place: Int, count: Int) -> UnsafeBufferPointer<Float> { UnsafeBufferPointer(start: weights + place, count: count) }

        /// Gives the weight in `place` its final value; places before it must be settled or stay as they are.
        func settle(_ place: Int, as value: Float) {
            let share = factor + place * count
            let error = (weights[place] - value) / share[place]
            errors[place] = error
            weights[place] = value
            var later = place + 1
            while later < count {
                weights[later] -= error * share[later]
                later += 1
            }
        }
    }

    /// Walks over `weights` `[rows, columns]`, columns in the order of `inverse`. For each block `prepare` is called with the weights as they are then,
    /// and `visit` with each row, from several threads; it settles what it changes. The first error of `visit` ends the walk.
    func walk<Prepared>(
        _ weights: inout [Float], rows: Int, prepare: (Block, [Float]) throws -> Prepared, visit: (Row, Block, Prepared) throws -> Void
    ) throws {
        let columns = inverse.columns, width = min(blockColumns, columns)
        guard rows > 0 else { return }
        var errors = [Float](repeating: 0, count: rows * width)
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: width * width) { square in
            guard let factor = square.baseAddress else { return }
            for first in stride(from: 0, to: columns, by: width) {
                let block = Block(first: first, count: min(width, columns - first), factor: factor)
                for row in 0..<block.count {
                    for column in 0..<block.count { factor[row * block.count + column] = inverse.factor[(first + row) * columns + first + column] }
                }
                let prepared = try prepare(block, weights)
                try weights.withUnsafeMutableBufferPointer { weights in
                    try errors.withUnsafeMutableBufferPointer { errors in
                        try forEachRow(of: block, weights, errors, rows: rows) { try visit($0, block, prepared) }
                        try propagate(errors, of: block, to: weights, rows: rows)
                    }
                }
            }
        }
    }

    private func forEachRow(
        of block: Block, _ weights: UnsafeMutableBufferPointer<Float>, _ errors: UnsafeMutableBufferPointer<Float>, rows: Int, _ visit: (Row) throws -> Void
    ) throws {
        guard let weights = weights.baseAddress, let errors = errors.baseAddress else { return }
        // Rows are written by one thread each.
        nonisolated(unsafe) let (weightRows, errorRows) = (weights + block.first, errors)
        let failures = FirstFailure(), columns = inverse.columns
        pool.forEach((rows + Self.taskRows - 1) / Self.taskRows) { task in
            failures.catching {
                for index in task * Self.taskRows..<min(rows, (task + 1) * Self.taskRows) {
                    let row = Row(
                        index: index, count: block.count, weights: weightRows + index * columns, errors: errorRows + index * block.count, factor: block.factor)
                    row.errors.update(repeating: 0, count: block.count)
                    try visit(row)
                }
            }
        }
        try failures.rethrow()
    }

    /// weights[:, next…] −= errors · U[block, next…]
    private func propagate(
        _ errors: UnsafeMutableBufferPointer<Float>, of block: Block, to weights: UnsafeMutableBufferPointer<Float>, rows: Int
    ) throws {
        let columns = inverse.columns, next = block.first + block.count
        guard next < columns else { return }
        try inverse.factor.withUnsafeBufferPointer { factor in
            try LinearAlgebra.matrixMultiply(
                m: rows, n: columns - next, k: block.count, alpha: -1,
                a: MatrixView(UnsafeBufferPointer(rebasing: errors[..<(rows * block.count)]), stride: block.count),
                b: MatrixView(UnsafeBufferPointer(rebasing: factor[(block.first * columns + next)...]), stride: columns), beta: 1,
                c: MatrixView(UnsafeMutableBufferPointer(rebasing: weights[next...]), stride: columns))
        }
    }
}
