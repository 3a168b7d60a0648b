// Operators that pick elements by what they hold, so that only a run knows how many they give.
import SwiftletGraph

extension Importer {
    static let selectionOperators: [String: OperatorImporter] = [
        "NonZero": { importer, call in
            try importer.hostResults(call) { operands in
                [.tensor(try Importer.nonZeroPlaces(operands.tensor(0)))]
            }
        },
        "Compress": { importer, call in
            let axis = try call.node.int("axis")
            return try importer.hostResults(call) { try Importer.compressed($0, axis: axis) }
        },
        "Unique": { importer, call in
            let (axis, isSorted) = (try call.node.int("axis"), try call.bool("sorted", true))
            return try importer.hostResults(call) { try Importer.unique($0, axis: axis, isSorted: isSorted) }
        },
        "NonMaxSuppression": { importer, call in
            let layout = try call.int("center_point_box", 0)
            try call.require(layout == 0 || layout == 1, "\(layout) is no layout of boxes")
            return try importer.hostResults(call) { operands in
                [.tensor(try NonMaxSuppression(operands, isCentred: layout == 1).selected())]
            }
        },
    ]

    /// `[rank, count]`, i64: a column of coordinates for each element that is not zero, in row-major order.
    private static func nonZeroPlaces(_ x: Tensor) throws -> Tensor {
        let flags = try x.nonZeros()
        let places = flags.indices.filter { flags[$0] }
        var coordinates: [Int64] = []
        coordinates.reserveCapacity(places.count * x.shape.rank)
        for axis in 0..<x.shape.rank where !places.isEmpty {
            let inner = x.shape.dimensions[(axis + 1)...].reduce(1, *)
            for place in places { coordinates.append(Int64(place / inner % x.shape[axis])) }
        }
        return try Tensor(coordinates, shape: [x.shape.rank, places.count])
    }

    /// The parts where a condition holds, along an axis or of all elements in one row. A condition that is too short holds nowhere else.
    private static func compressed(_ operands: HostOperands, axis: Int?) throws -> [ModelValue] {
        guard let x = operands.value(0), let shape = x.shape else { throw operands.invalid("lacks the tensor to pick from") }
        let condition = try operands.tensor(1)
        try operands.require(condition.type == .bool && condition.shape.rank == 1, "the condition is \(condition), not a row of bools")
        let flags = try condition.wholeNumbers()
        let (source, front) = try axis.map { (x, try operands.axis($0, rank: shape.rank)) } ?? (x.reshaped(to: [shape.elementCount]), 0)
        let size = axis == nil ? shape.elementCount : shape[front]
        try operands.require(flags.count <= size, "the condition has \(flags.count) elements for \(size) parts")
        return [try source.taking(flags.indices.filter { flags[$0] != 0 }, axis: front)]
    }

    /// Each part once: the parts, where each is first, which one each part of x is, how often there is each.
    private static func unique(_ operands: HostOperands, axis: Int?, isSorted: Bool) throws -> [ModelValue] {
        guard let x = operands.value(0), let whole = x.shape else { throw operands.invalid("lacks its tensor") }
        let flat = whole.elementCount
        let source = axis == nil ? try x.reshaped(to: [flat]) : x
        let shape = axis == nil ? Shape([flat]) : whole
        let front = try operands.axis(axis ?? 0, rank: shape.rank)
        let (count, keys) = (shape[front], try source.orderedKeys())
        try operands.require(flat > 0 || count == 0, "\(shape) has \(count) parts without elements along the axis \(front)")

        // One row of keys a part.
        let inner = shape.dimensions[(front + 1)...].reduce(1, *)
        let width = count == 0 ? 0 : flat / count
        var rows: [UInt64] = []
        rows.reserveCapacity(flat)
        for part in 0..<count {
            for start in stride(from: part * inner, to: flat, by: count * inner) { rows += keys[start..<start + inner] }
        }
        func row(_ part: Int) -> ArraySlice<UInt64> { rows[part * width..<(part + 1) * width] }
        let order = (0..<count).sorted { a, b in
            let (left, right) = (row(a), row(b))
            return left == right ? a < b : left.lexicographicallyPrecedes(right)
        }

        // Equal parts are neighbours now, the first of them in front.
        var (firsts, counts, groups) = ([Int](), [Int](), [Int](repeating: 0, count: count))
        for part in order {
            if let first = firsts.last, row(first) == row(part) {
                counts[counts.count - 1] += 1
            } else {
                firsts.append(part)
                counts.append(1)
            }
            groups[part] = firsts.count - 1
        }
        if !isSorted {
            let byPlace = firsts.indices.sorted { firsts[$0] < firsts[$1] }
            var renamed = [Int](repeating: 0, count: byPlace.count)
            for (new, old) in byPlace.enumerated() { renamed[old] = new }
            (firsts, counts, groups) = (byPlace.map { firsts[$0] }, byPlace.map { counts[$0] }, groups.map { renamed[$0] })
        }
        let numbers = try [firsts, groups, counts].map { list in ModelValue.tensor(try Tensor(list.map(Int64.init), shape: [list.count])) }
        return [try source.taking(firsts, axis: front)] + numbers
    }
}
