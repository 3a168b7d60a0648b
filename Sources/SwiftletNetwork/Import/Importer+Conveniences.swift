// Operations by short names, which do nothing when there is nothing to do.
import SwiftletGraph

extension Importer {
    // MARK: Constants

    /// A constant of whole numbers.
    mutating func constant(_ values: [Int], shape: [Int]? = nil, _ type: DType = .i64) throws -> ValueID {
        if type.isFloat { return try constant(values.map(Double.init), shape: shape, type) }
        return try constant(shape: shape ?? [values.count], type) { bytes in
            for (index, value) in values.enumerated() { bytes.store(value, at: index, as: type) }
        }
    }

    /// A constant of numbers, rounded to the type.
    mutating func constant(_ values: [Double], shape: [Int]? = nil, _ type: DType) throws -> ValueID {
        let shape = shape ?? [values.count]
        if type == .f32 {
            return try constant(shape: shape, type) { bytes in
                for (index, value) in values.enumerated() { bytes.storeBytes(of: Float(value), toByteOffset: 4 * index, as: Float.self) }
            }
        }
        let exact = try constant(shape: shape, .f64) { bytes in values.withUnsafeBytes { bytes.copyMemory(from: $0) } }
        return try cast(exact, type)
    }

    /// One number without axes.
    mutating func scalar(_ value: Double, _ type: DType) throws -> ValueID { try constant([value], shape: [], type) }

    mutating func constant(shape: [Int], _ type: DType, _ fill: (UnsafeMutableRawBufferPointer) -> Void) throws -> ValueID {
        let shape = Shape(shape)
        guard let count = shape.checkedElementCount, let bytes = WeightFormat.dense(type).rowBytes(elements: count), bytes <= Self.mostFoldedBytes else {
            throw SwiftletError.invalidArgument(name: "\(type) \(shape)", reason: "the constant is too large", remedy: "Give smaller sizes.")
        }
        return weight(try Weight(name: "constant", shape: shape, format: .dense(type), store: WeightStore(byteCount: bytes) { fill($0) }), name: "constant")
    }

    // MARK: Elements

    mutating func unary(_ function: Unary, _ x: ValueID, _ detail: String = "") throws -> ValueID { try apply(.unary(function), [x], detail) }

    mutating func binary(_ function: Binary, _ a: ValueID, _ b: ValueID, _ detail: String = "") throws -> ValueID {
        try apply(.binary(function), [a, b], detail)
    }

    /// `function(x, number)` in x's type.
    mutating func binary(_ function: Binary, _ a: ValueID, _ b: Double, _ detail: String = "") throws -> ValueID {
        try binary(function, a, scalar(b, element(a)), detail)
    }

    mutating func cast(_ x: ValueID, _ type: DType, saturates: Bool = true, _ detail: String = "cast") throws -> ValueID {
        element(x) == type ? x : try apply(.cast(type, saturates: saturates), [x], detail)
    }

    mutating func select(_ condition: ValueID, _ a: ValueID, _ b: ValueID, _ detail: String = "") throws -> ValueID {
        try apply(.select, [condition, a, b], detail)
    }

    // MARK: Shapes

    mutating func reshape(_ x: ValueID, _ shape: [Int], _ detail: String = "reshape") throws -> ValueID {
        if self.shape(x) == shape { return x }
        let count = Shape(shape).checkedElementCount
        if let weight = graph[x].weight, count == weight.shape.elementCount {
            let renamed = try Weight(name: graph[x].name, shape: Shape(shape), format: weight.format, store: weight.store)
            return self.weight(renamed, name: graph[x].name)
        }
        return try apply(.reshape(shape.map { Dimension($0) }), [x], detail)
    }

    mutating func transpose(_ x: ValueID, _ permutation: [Int], _ detail: String = "transpose") throws -> ValueID {
        let shape = shape(x)
        // Axes of length 1 may go anywhere: only the order of the others is an order in memory.
        let order = permutation.filter { shape.indices.contains($0) && shape[$0] != 1 }
        if order == order.sorted(), Set(permutation) == Set(shape.indices), permutation.count == shape.count {
            return try reshape(x, permutation.map { shape[$0] }, detail)
        }
        return try apply(.transpose(permutation), [x], detail)
    }

    mutating func expand(_ x: ValueID, _ shape: [Int], _ detail: String = "expand") throws -> ValueID {
        self.shape(x) == shape ? x : try apply(.expand(shape.map { Dimension($0) }), [x], detail)
    }

    mutating func concat(_ parts: [ValueID], axis: Int, _ detail: String = "") throws -> ValueID {
        parts.count == 1 ? parts[0] : try apply(.concat(axis: axis), parts, detail)
    }

    mutating func slice(_ x: ValueID, _ slice: Slice, _ detail: String = "slice") throws -> ValueID {
        let shape = shape(x)
        if slice.sizes == shape, shape.indices.allSatisfy({ slice.steps[$0] == 1 || (shape[$0] == 1 && slice.starts[$0] == 0) }) { return x }
        return try apply(.slice(slice), [x], detail)
    }

    /// The elements `range` of one axis.
    mutating func slice(_ x: ValueID, axis: Int, _ range: Range<Int>, step: Int = 1, _ detail: String = "slice") throws -> ValueID {
        var slice = Slice(starts: shape(x).map { _ in 0 }, sizes: shape(x), steps: shape(x).map { _ in 1 })
        slice.starts[axis] = range.isEmpty ? 0 : range.lowerBound
        slice.sizes[axis] = (range.count + step - 1) / step
        slice.steps[axis] = step
        return try self.slice(x, slice, detail)
    }

    mutating func pad(_ x: ValueID, low: [Int], high: [Int], mode: Pad.Mode = .constant, value: ValueID? = nil, _ detail: String = "pad") throws -> ValueID {
        if (low + high).allSatisfy({ $0 == 0 }) { return x }
        return try apply(.pad(Pad(low: low, high: high, mode: mode)), [x] + (value.map { [$0] } ?? []), detail)
    }

    /// Axes of length 1 added, at these places of the result.
    mutating func unsqueeze(_ x: ValueID, _ axes: [Int]) throws -> ValueID {
        var rest = shape(x)[...]
        let shape = (0..<rest.count + axes.count).map { axes.contains($0) ? 1 : rest.removeFirst() }
        return try reshape(x, shape, "unsqueeze")
    }

    // MARK: Along axes

    mutating func reduce(_ reduction: Reduction, _ x: ValueID, _ axes: [Int], keepsAxes: Bool = true, _ detail: String = "") throws -> ValueID {
        try apply(.reduce(reduction, axes: axes.sorted(), keepsAxes: keepsAxes), [x], detail)
    }

    /// Softmax along any axis.
    mutating func softmax(_ x: ValueID, axis: Int) throws -> ValueID {
        let rank = rank(x)
        guard axis != rank - 1 else { return try apply(.softmax, [x], "softmax") }
        var order = Array(0..<rank)
        order.swapAt(axis, rank - 1)
        let last = try apply(.softmax, [transpose(x, order)], "softmax")
        return try transpose(last, order, "transposeBack")
    }

    mutating func matmul(_ a: ValueID, _ b: ValueID, _ detail: String = "matmul") throws -> ValueID { try apply(.matmul, [a, b], detail) }
}

extension UnsafeMutableRawBufferPointer {
    /// Writes one element of a constant of integers or bools; floats are made by a cast.
    fileprivate func store(_ value: Int, at index: Int, as type: DType) {
        func put<Element: BitwiseCopyable>(_ element: Element) { storeBytes(of: element, toByteOffset: index * MemoryLayout<Element>.size, as: Element.self) }
        switch type {
        case .i64, .u64: put(Int64(value))
        case .i32, .u32: put(UInt32(truncatingIfNeeded: value))
        case .i16, .u16: put(UInt16(truncatingIfNeeded: value))
        case .i8, .i4, .i2, .u8, .u4, .u2: put(UInt8(truncatingIfNeeded: value))
        case .bool: put(UInt8(value == 0 ? 0 : 1))
        case .f64, .f32, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: break
        }
    }
}
