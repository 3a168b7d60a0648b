// A weight as rows of floats, and rows of floats as a weight: how techniques read and write matrices of any format.
import SwiftletRuntime

extension Weight {
    /// Elements of the last axis, and how many such rows there are.
    package var columnCount: Int { shape.dimensions.last ?? 1 }
    package var rowCount: Int { columnCount == 0 ? 0 : shape.elementCount / columnCount }

    /// The elements of one row as f32.
    package func row(_ index: Int) throws -> [Float] {
        let bytes = try rowBytes()
        return try store.withBytes {
            try format.dequantizeRow(UnsafeRawBufferPointer(rebasing: $0[index * bytes..<(index + 1) * bytes]), elements: columnCount)
        }
    }

    /// Calls `body` with the elements of one row after the other.
    package func forEachRow(_ body: (Int, UnsafeMutableBufferPointer<Float>) throws -> Void) throws {
        let bytes = try rowBytes()
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: columnCount) { row in
            try store.withBytes { all in
                for index in 0..<rowCount {
                    try format.dequantizeRow(UnsafeRawBufferPointer(rebasing: all[index * bytes..<(index + 1) * bytes]), into: row)
                    try body(index, row)
                }
            }
        }
    }

    /// Elements that are not zero.
    package func nonzeroCount() throws -> Int {
        var count = 0
        try forEachRow { _, row in
            for value in row where value != 0 { count += 1 }
        }
        return count
    }

    /// A dense f32 weight of the same shape, each element what `body` makes of its index and its value.
    package func mapped(name: String, _ body: (_ index: Int, _ element: Float) -> Float) throws -> Weight {
        var elements = try floats()
        for index in elements.indices { elements[index] = body(index, elements[index]) }
        return try Weight(name: name, shape: shape, floats: elements)
    }

    /// A dense f32 weight.
    package init(name: String, shape: Shape, floats: [Float]) throws {
        try self.init(name: name, shape: shape, format: .dense(.f32), store: WeightStore(floats))
    }

    private func rowBytes() throws -> Int {
        guard let bytes = format.rowBytes(elements: columnCount) else {
            throw SwiftletError.invalidGraph(node: "\(shape)", reason: "rows do not divide into blocks of \(format)", remedy: "Check the weight's shape.")
        }
        return bytes
    }
}
