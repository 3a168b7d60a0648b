// Rounding of one matrix with error feedback: what GPTQ does to a layer.
//
// Levels are those of GGUF's blocks. In the natural order of columns the scales of a block are set when its first weight is reached, from the weights
// as corrected until then. In an order that jumps between blocks all scales are set beforehand, from the original weights.
import SwiftletRuntime

/// Rounds matrices whose columns have one inverse Hessian.
package struct FeedbackRounding {
    let grid: BlockGrid
    /// Its order is the natural one unless `fixesScalesFirst`.
    let hessian: InverseHessian
    /// What an error counts in each column where scales are searched.
    let importance: [Float]
    let searches: Bool
    /// Whether all scales come from the original weights.
    let fixesScalesFirst: Bool
    let pool: ThreadPool

    package init(grid: BlockGrid, hessian: InverseHessian, importance: [Float], searches: Bool, fixesScalesFirst: Bool, pool: ThreadPool) {
        self.grid = grid
        self.hessian = hessian
        self.importance = importance
        self.searches = searches
        self.fixesScalesFirst = fixesScalesFirst
        self.pool = pool
    }

    /// Weights worked on at once (64 MB): what a matrix of many rows needs beside itself is bounded.
    private static let slabElements = 1 << 24

    /// The matrix in the grid's format. Throws `SwiftletError.invalidArgument` where its rows are not whole blocks, or not those of the Hessian.
    package func quantize(_ weight: Weight, name: String) throws -> Weight {
        let format = WeightFormat.block(grid.format)
        let (rows, columns) = (weight.rowCount, weight.columnCount)
        guard let rowBytes = format.rowBytes(elements: columns), hessian.columns == columns else {
            throw SwiftletError.invalidArgument(name: name, reason: "rows of \(columns) are not whole blocks of \(format)", remedy: "Choose a format of smaller blocks.")
        }
        let slab = max(1, Self.slabElements / columns)
        let store = try WeightStore(byteCount: rows * rowBytes) { target in
            for first in stride(from: 0, to: rows, by: slab) {
                let range = first..<min(rows, first + slab)
                try quantizeRows(range, of: weight, into: UnsafeMutableRawBufferPointer(rebasing: target[range.lowerBound * rowBytes..<range.upperBound * rowBytes]))
            }
        }
        return try Weight(name: name, shape: weight.shape, format: format, store: store)
    }

    private func quantizeRows(_ range: Range<Int>, of weight: Weight, into target: UnsafeMutableRawBufferPointer) throws {
        let slab = Slab(target: target, blocks: hessian.columns / grid.format.blockElements, rows: range.count, format: grid.format)
        defer { slab.deallocate() }
        let failures = FirstFailure()
        // In the order they are worked through, dead columns at zero: nothing flows in, so nothing is lost.
        var work = [Float](repeating: 0, count: range.count * hessian.columns)
        work.withUnsafeMutableBufferPointer { work in
            nonisolated(unsafe) let work = work
            pool.forEach(range.count) { index in
                failures.catching {
                    var row = try weight.row(range.lowerBound + index)
                    for column in row.indices where hessian.isDead[column] { row[column] = 0 }
                    for (place, column) in hessian.order.enumerated() { work[index * row.count + place] = row[column] }
                    guard fixesScalesFirst else { return }
                    let elements = grid.format.blockElements
                    for block in 0..<slab.blocks {
                        try row.withUnsafeBufferPointer { try setScales(of: slab, index, block, from: UnsafeBufferPointer(rebasing: $0[block * elements..<(block + 1) * elements])) }
                    }
                }
            }
        }
        try failures.rethrow()
        // No block of the format is cut: when its scales are set, every column before it has been made up for.
        let feedback = ErrorFeedback(inverse: hessian, blockColumns: ErrorFeedback.blockColumns(multipleOf: grid.format.blockElements), pool: pool)
        try feedback.walk(&work, rows: range.count, prepare: { _, _ in }, visit: { row, block, _ in try round(row, block, slab) })
        pool.forEach(range.count) { row in
            for block in 0..<slab.blocks { grid.write(slab.levels(row, block), to: slab.bytes(row, block)) }
        }
    }

    /// Works through one row of a block of columns.
    private func round(_ row: ErrorFeedback.Row, _ columns: ErrorFeedback.Block, _ slab: Slab) throws {
        let elements = grid.format.blockElements
        for place in 0..<columns.count {
            let column = hessian.order[columns.first + place]
            let (block, element) = (column / elements, column % elements)
            if !fixesScalesFirst, element == 0 { try setScales(of: slab, row.index, block, from: row.weights(from: place, count: elements)) }
            let (value, level) = slab.values(row.index, block).nearest(row[place], at: element)
            slab.levels(row.index, block)[element] = level
            row.settle(place, as: value)
        }
    }

    private func setScales(of slab: Slab, _ row: Int, _ block: Int, from weights: UnsafeBufferPointer<Float>) throws {
        let range = block * weights.count..<(block + 1) * weights.count, bytes = slab.bytes(row, block)
        try importance.withUnsafeBufferPointer {
            try grid.quantize(weights, importance: UnsafeBufferPointer(rebasing: $0[range]), searches: searches, into: bytes)
        }
        slab.setValues(row, block, to: grid.values(of: UnsafeRawBufferPointer(bytes)))
    }

    /// Some rows of the result: their bytes, and what is known of their blocks before the levels are written. Rows are written by one thread each.
    private struct Slab: @unchecked Sendable {
        let blocks: Int
        private let target: UnsafeMutableRawBufferPointer
        private let format: BlockFormat
        private let grids: UnsafeMutablePointer<BlockValues>
        private let chosen: UnsafeMutablePointer<UInt8>

        init(target: UnsafeMutableRawBufferPointer, blocks: Int, rows: Int, format: BlockFormat) {
            self.target = target
            self.blocks = blocks
            self.format = format
            grids = .allocate(capacity: rows * blocks)
            grids.initialize(repeating: BlockValues(), count: rows * blocks)
            chosen = .allocate(capacity: rows * blocks * format.blockElements)
            chosen.initialize(repeating: 0, count: rows * blocks * format.blockElements)
        }

        func deallocate() {
            grids.deallocate()
            chosen.deallocate()
        }

        func bytes(_ row: Int, _ block: Int) -> UnsafeMutableRawBufferPointer {
            let start = (row * blocks + block) * format.blockBytes
            return UnsafeMutableRawBufferPointer(rebasing: target[start..<start + format.blockBytes])
        }

        func values(_ row: Int, _ block: Int) -> BlockValues { grids[row * blocks + block] }
        func setValues(_ row: Int, _ block: Int, to values: BlockValues) { grids[row * blocks + block] = values }

        func levels(_ row: Int, _ block: Int) -> UnsafeMutablePointer<UInt8> {
            chosen + (row * blocks + block) * format.blockElements
        }
    }
}
