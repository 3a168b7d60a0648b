// The choice of weights that SparseGPT makes while it walks over the columns of one matrix.
import SwiftletRuntime

/// Prunes a matrix `[rows, columns]` whose columns have the inverse Hessian `inverse`, in its order, which must be the natural one.
struct ColumnSweep {
    let inverse: InverseHessian
    let pattern: SparsityPattern
    let sparsity: Double
    let pool: ThreadPool

    /// Sets weights to zero and changes those behind them. Columns nothing flows into become zero whatever their weights.
    func prune(_ elements: inout [Float], rows: Int) throws {
        let columns = inverse.columns
        for row in 0..<rows { for column in 0..<columns where inverse.isDead[column] { elements[row * columns + column] = 0 } }
        guard sparsity > 0 else { return }
        // The zeros of a block of columns are chosen at once, when its turn comes.
        let feedback = ErrorFeedback(inverse: inverse, blockColumns: ErrorFeedback.blockColumns(multipleOf: patternColumns), pool: pool)
        try feedback.walk(&elements, rows: rows, prepare: { block, weights in chosen(weights, rows: rows, block) }, visit: sweep)
    }

    /// The pattern's own width: no group or block is cut.
    private var patternColumns: Int {
        switch pattern {
        case .grouped(_, let group): group
        case .blocks(_, let columns): columns
        }
    }

    /// Which weights of a block of columns go, `[rows, count]`; empty where groups decide as they come.
    private func chosen(_ elements: [Float], rows: Int, _ block: ErrorFeedback.Block) -> [Bool] {
        guard case .blocks = pattern else { return [] }
        let columns = inverse.columns
        var scores = [Float](repeating: 0, count: rows * block.count)
        for row in 0..<rows {
            for column in 0..<block.count { scores[row * block.count + column] = score(elements[row * columns + block.first + column], block.first + column) }
        }
        return scores.withUnsafeBufferPointer { pattern.removed(scores: $0, rows: rows, columns: block.count, sparsity: sparsity, comparison: .layer) }
    }

    /// What removing a weight costs.
    private func score(_ weight: Float, _ column: Int) -> Float {
        let share = weight / inverse.factor[column * inverse.columns + column]
        return share * share
    }

    /// Works through one row of a block.
    private func sweep(_ row: ErrorFeedback.Row, _ block: ErrorFeedback.Block, _ removed: [Bool]) {
        guard case .grouped(let kept, let group) = pattern else {
            for column in 0..<block.count where removed[row.index * block.count + column] { row.settle(column, as: 0) }
            return
        }
        for start in stride(from: 0, to: block.count, by: group) {
            let size = min(group, block.count - start)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { scores in
                for index in 0..<size { scores[index] = score(row[start + index], block.first + start + index) }
                SparsityPattern.removeLowest(UnsafeBufferPointer(scores), keeping: kept) { row.settle(start + $0, as: 0) }
            }
        }
    }
}
