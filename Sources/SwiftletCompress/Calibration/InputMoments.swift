// What flows into layers, summed over the calibration data: what importance, Hessians and whitening are made of.
//
// A row is one input vector of the product: a token's activations for a linear layer; for a convolution one position of the output, with
// the c·kernel elements it sees in the order of the weight's own row. For a layer y = W·x with x as rows of X, XᵀX is half the Hessian of the
// squared error of y in a row of W (Hassibi and Stork, 1993).
import SwiftletLinearAlgebra
import SwiftletRuntime

/// Sums over the rows that flowed into one layer.
package struct InputMoments: Sendable {
    /// Rows summed up.
    package fileprivate(set) var rows = 0
    /// Σx² and Σ|x| of each column.
    package fileprivate(set) var squares: [Float]
    package fileprivate(set) var magnitudes: [Float]
    /// XᵀX `[columns, columns]`, both triangles, when it was asked for.
    package fileprivate(set) var gram: [Float]?

    package var columns: Int { squares.count }

    fileprivate init(columns: Int, hasGram: Bool) {
        squares = Array(repeating: 0, count: columns)
        magnitudes = squares
        gram = hasGram ? Array(repeating: 0, count: columns * columns) : nil
    }

    /// What to sum.
    package enum Order: Sendable {
        /// Column by column only.
        case diagonal
        /// Also the products of all pairs of columns.
        case gram
    }

    /// The moments of the inputs of `layers` by `InputKey`; layers that read one value in one way share an entry. Embeddings and grouped convolutions
    /// have none.
    package static func collect(
        _ graph: Graph, layers: [Layer], order: Order, data: any CalibrationData, in context: CompressionContext, technique: String
    ) throws -> [InputKey: InputMoments] {
        var keys: [InputKey] = []
        for layer in layers { if let key = InputKey(layer, in: graph), !keys.contains(key) { keys.append(key) } }
        guard !keys.isEmpty else { return [:] }
        var moments: [InputKey: InputMoments] = [:]
        let run = try GraphRun(graph, values: keys.map(\.value), in: context)
        try run.forEachBatch(of: data) { batch, values in
            for key in keys {
                let shape = try values.shape(key.value)
                let columns = key.columns(of: shape)
                var moment = moments.removeValue(forKey: key) ?? InputMoments(columns: columns, hasGram: order == .gram)
                try key.forEachBlock(of: values.floats(key.value), shape: shape) { rows, count in try moment.add(rows, count: count) }
                moments[key] = moment
            }
            try context.progress(StepProgress(technique: technique, detail: "calibration batch \(batch + 1)", done: batch + 1, total: data.batchCount))
        }
        for key in keys { moments[key]?.mirrorGram() }
        return moments
    }

    /// Bytes of gram matrices held at once when nothing else is asked for.
    private static let gramBytes = 800 << 20

    /// `items` in runs whose layers are calibrated together: as many as fit into memory, or `count`, 0 for no other limit. Items whose layers have a
    /// common input stay together: they share its matrix.
    static func runs<Item>(_ items: [Item], count: Int = 0, layer: (Item) -> Layer) -> [[Item]] {
        var runs: [[Item]] = []
        var bytes = 0
        var inputs = Set<ValueID>()
        for item in items {
            let layer = layer(item), needed = 4 * layer.weight.columnCount * layer.weight.columnCount
            let isFull = !inputs.contains(layer.input) && (count > 0 ? (runs.last?.count ?? 0) >= count : bytes + needed > gramBytes)
            if runs.isEmpty || isFull {
                runs.append([])
                (bytes, inputs) = (0, [])
            }
            if inputs.insert(layer.input).inserted { bytes += needed }
            runs[runs.count - 1].append(item)
        }
        return runs
    }

    /// Adds `count` rows of `columns` elements; of the gram matrix the upper triangle only.
    private mutating func add(_ x: UnsafeBufferPointer<Float>, count: Int) throws {
        rows += count
        let columns = self.columns
        squares.withUnsafeMutableBufferPointer { squares in
            magnitudes.withUnsafeMutableBufferPointer { magnitudes in
                for row in 0..<count {
                    let start = row * columns
                    for column in 0..<columns {
                        let value = x[start + column]
                        squares[column] += value * value
                        magnitudes[column] += abs(value)
                    }
                }
            }
        }
        try gram?.withUnsafeMutableBufferPointer { gram in
            try LinearAlgebra.addGramMatrix(n: columns, k: count, a: MatrixView(x, stride: columns), to: MatrixView(gram, stride: columns))
        }
    }

    /// Fills the lower triangle.
    private mutating func mirrorGram() {
        let columns = self.columns
        gram?.withUnsafeMutableBufferPointer { gram in
            for row in 0..<columns { for column in 0..<row { gram[row * columns + column] = gram[column * columns + row] } }
        }
    }
}

/// A value, and how a layer reads rows from it.
package struct InputKey: Hashable, Sendable {
    package let value: ValueID
    /// Nil for the rows as they are, else the window a convolution slides over them.
    package let window: Window?

    /// Nil for layers that have no rows: look-ups, and convolutions whose groups each see channels of their own.
    package init?(_ layer: Layer, in graph: Graph) {
        value = layer.input
        switch layer.kind {
        case .linear: window = nil
        case .convolution(groups: 1):
            guard case .tensor(.convolution(let convolution)) = graph.nodes[layer.node].op else { return nil }
            window = convolution.window
        case .convolution, .embedding: return nil
        }
    }

    fileprivate func columns(of shape: Shape) -> Int {
        guard let window else { return shape.dimensions.last ?? 1 }
        return shape[1] * window.kernel.reduce(1, *)
    }

    /// Rows gathered at once.
    private static let blockRows = 256

    /// Hands out the rows in blocks, `(elements, how many rows)`.
    fileprivate func forEachBlock(of x: UnsafeBufferPointer<Float>, shape: Shape, _ body: (UnsafeBufferPointer<Float>, Int) throws -> Void) throws {
        let columns = columns(of: shape)
        guard columns > 0, !x.isEmpty else { return }
        guard let window else { return try body(x, x.count / columns) }
        let space = Array(shape.dimensions.dropFirst(2))
        let out = space.indices.map { window.outputSize($0, of: space[$0]) ?? 0 }
        let positions = out.reduce(1, *), plane = space.reduce(1, *)
        // For each element of a row: its channel's plane and its tap.
        let taps = Self.points(window.kernel)
        let targets = Self.points(out)
        var block = [Float](repeating: 0, count: Self.blockRows * columns)
        for image in 0..<shape[0] {
            var start = 0
            while start < positions {
                let count = min(Self.blockRows, positions - start)
                for row in 0..<count {
                    for (tap, at) in taps.enumerated() {
                        var offset = 0
                        var isInside = true
                        for axis in space.indices {
                            let place = targets[start + row][axis] * window.strides[axis] + at[axis] * window.dilations[axis] - window.low[axis]
                            if place < 0 || place >= space[axis] { isInside = false }
                            offset = offset * space[axis] + place
                        }
                        for channel in 0..<shape[1] {
                            block[row * columns + channel * taps.count + tap] = isInside ? x[(image * shape[1] + channel) * plane + offset] : 0
                        }
                    }
                }
                try block.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[..<(count * columns)]), count) }
                start += count
            }
        }
    }

    /// All index tuples below `sizes`, the last axis fastest.
    private static func points(_ sizes: [Int]) -> [[Int]] {
        sizes.reduce([[]]) { points, size in points.flatMap { point in (0..<size).map { point + [$0] } } }
    }
}
