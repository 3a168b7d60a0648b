// Operators that make, read and change shapes, and move elements by rules that do not look at them.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let shapeOperators: [String: OperatorImporter] = [
        "Shape": { importer, call in
            let shape: [Int]
            if case .strings(let strings) = call.value(0) { shape = strings.shape.dimensions } else { shape = importer.shape(try call.tensor(0)) }
            func bound(_ name: String, _ missing: Int) throws -> Int {
                let value = try call.int(name, missing)
                return min(max(value < 0 ? value + shape.count : value, 0), shape.count)
            }
            let (start, end) = (try bound("start", 0), try bound("end", shape.count))
            return [.tensor(try importer.constant(start < end ? Array(shape[start..<end]) : []))]
        },
        "Size": { importer, call in [.tensor(try importer.constant([importer.count(call.tensor(0))], shape: []))] },
        "Reshape": { importer, call in
            let x = try call.tensor(0)
            let wanted = call.version < 5 ? try call.ints("shape") ?? [] : try importer.integers(call.tensor(1))
            return [.tensor(try importer.reshape(x, Importer.resolved(wanted, of: importer.shape(x), keepsZeros: call.bool("allowzero"), call)))]
        },
        "Flatten": { importer, call in
            let x = try call.tensor(0)
            let shape = importer.shape(x)
            let axis = try call.int("axis", 1)
            let place = axis == shape.count ? axis : try call.axis(axis, rank: max(1, shape.count))
            return [.tensor(try importer.reshape(x, [shape[..<place].reduce(1, *), shape[place...].reduce(1, *)]))]
        },
        "Squeeze": { importer, call in
            let x = try call.tensor(0)
            let shape = importer.shape(x)
            let given = call.version < 13 ? try call.ints("axes") : try call.optional(1).map { try importer.integers($0) }
            let axes = try given.map { try call.axes($0, rank: shape.count) } ?? shape.indices.filter { shape[$0] == 1 }
            try call.require(axes.allSatisfy { shape[$0] == 1 }, "squeezes the axes \(axes) of \(shape)")
            return [.tensor(try importer.reshape(x, shape.indices.filter { !axes.contains($0) }.map { shape[$0] }))]
        },
        "Unsqueeze": { importer, call in
            let x = try call.tensor(0)
            let axes = call.version < 13 ? try call.ints("axes") ?? [] : try importer.integers(call.tensor(1))
            return [.tensor(try importer.unsqueeze(x, call.axes(axes, rank: importer.rank(x) + axes.count)))]
        },
        "Transpose": { importer, call in
            let x = try call.tensor(0)
            let rank = importer.rank(x)
            return [.tensor(try importer.transpose(x, call.ints("perm") ?? Array((0..<rank).reversed())))]
        },
        "Concat": { importer, call in [.tensor(try importer.concatenate(call))] },
        "Split": { importer, call in try importer.split(call) },
        "Slice": { importer, call in [.tensor(try importer.slice(call))] },
        "Expand": { importer, call in
            let x = try call.tensor(0)
            let wanted = try importer.integers(call.tensor(1))
            return [.tensor(try importer.expand(x, Importer.broadcast(importer.shape(x), wanted, call)))]
        },
        "Tile": { importer, call in
            let x = try call.tensor(0)
            let repeats = try importer.integers(call.tensor(1))
            let shape = importer.shape(x)
            try call.require(repeats.count == shape.count && repeats.allSatisfy { $0 >= 0 }, "repeats \(repeats) do not suit \(shape)")
            // Each axis with its repetition before it.
            let split = try importer.reshape(x, shape.flatMap { [1, $0] })
            let repeated = try importer.expand(split, zip(repeats, shape).flatMap { [$0, $1] })
            return [.tensor(try importer.reshape(repeated, zip(repeats, shape).map { $0 * $1 }))]
        },
        "Pad": { importer, call in [.tensor(try importer.pad(call))] },
        "Constant": { importer, call in [try importer.constant(call)] },
        "ConstantOfShape": { importer, call in
            let shape = try importer.integers(call.tensor(0))
            try call.require(shape.allSatisfy { $0 >= 0 }, "makes a tensor of shape \(shape)")
            let value: ValueID
            if let tensor = try call.node.tensor("value"), case .tensor(let id) = try importer.constant(tensor) { value = id } else { value = try importer.scalar(0, .f32) }
            return [.tensor(try importer.expand(importer.reshape(value, []), shape))]
        },
        "Range": { importer, call in [.tensor(try importer.range(call))] },
        "EyeLike": { importer, call in
            let x = try call.tensor(0)
            let shape = importer.shape(x)
            try call.require(shape.count == 2, "needs a matrix")
            let type = try call.node.int("dtype").map { try importer.dtype($0, call) } ?? importer.element(x)
            let k = try call.int("k", 0)
            let offsets = try importer.offsets(rows: shape[0], columns: shape[1])
            let isOn = try importer.binary(.equal, offsets, Double(k))
            return [.tensor(try importer.cast(isOn, type))]
        },
        "Trilu": { importer, call in
            let x = try call.tensor(0)
            let shape = importer.shape(x)
            try call.require(shape.count >= 2, "needs matrices")
            let k = try call.optional(1).map { try importer.integers($0)[0] } ?? 0
            let offsets = try importer.offsets(rows: shape[shape.count - 2], columns: shape[shape.count - 1])
            let limit = try importer.constant([k], shape: [])
            let isUpper = try call.bool("upper", true)
            let keeps = try importer.binary(.lessOrEqual, isUpper ? limit : offsets, isUpper ? offsets : limit)
            let zero = try importer.scalar(0, importer.element(x) == .bool ? .f32 : importer.element(x))
            return [.tensor(try importer.select(keeps, x, importer.cast(zero, importer.element(x))))]
        },
        "DepthToSpace": { importer, call in
            let x = try call.tensor(0)
            let (s, b) = (importer.shape(x), try call.int("blocksize", 1))
            try call.require(s.count == 4 && b > 0 && s[1] % (b * b) == 0, "\(s) does not divide into blocks of \(b)")
            let depth = s[1] / (b * b)
            let isColumnRow = try call.string("mode", "DCR") == "CRD"
            let parts = try importer.reshape(x, isColumnRow ? [s[0], depth, b, b, s[2], s[3]] : [s[0], b, b, depth, s[2], s[3]])
            let ordered = try importer.transpose(parts, isColumnRow ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2])
            return [.tensor(try importer.reshape(ordered, [s[0], depth, s[2] * b, s[3] * b], "merge"))]
        },
        "SpaceToDepth": { importer, call in
            let x = try call.tensor(0)
            let (s, b) = (importer.shape(x), try call.int("blocksize", 1))
            try call.require(s.count == 4 && b > 0 && s[2] % b == 0 && s[3] % b == 0, "\(s) does not divide into blocks of \(b)")
            let parts = try importer.reshape(x, [s[0], s[1], s[2] / b, b, s[3] / b, b])
            let isColumnRow = try call.string("mode", "DCR") == "CRD"
            let ordered = try importer.transpose(parts, isColumnRow ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4])
            return [.tensor(try importer.reshape(ordered, [s[0], s[1] * b * b, s[2] / b, s[3] / b], "merge"))]
        },
        "CenterCropPad": { importer, call in
            var x = try call.tensor(0)
            let rank = importer.rank(x)
            let sizes = try importer.integers(call.tensor(1))
            let axes = try call.axes(call.ints("axes") ?? Array(0..<rank), rank: rank)
            try call.require(sizes.count == axes.count && sizes.allSatisfy { $0 >= 0 }, "one size an axis is needed")
            for (axis, size) in zip(axes, sizes) {
                let have = importer.shape(x)[axis]
                if have > size {
                    let start = (have - size) / 2
                    x = try importer.slice(x, axis: axis, start..<start + size, "crop")
                } else if have < size {
                    var (low, high) = ([Int](repeating: 0, count: rank), [Int](repeating: 0, count: rank))
                    low[axis] = (size - have) / 2
                    high[axis] = size - have - low[axis]
                    x = try importer.pad(x, low: low, high: high)
                }
            }
            return [.tensor(x)]
        },
    ]

    // MARK: Shapes

    /// The shape of a Reshape: 0 keeps a size, −1 takes what is left.
    static func resolved(_ wanted: [Int], of shape: [Int], keepsZeros: Bool, _ call: OperatorCall) throws -> [Int] {
        var result = try wanted.enumerated().map { index, size in
            guard size == 0, !keepsZeros else { return size }
            try call.require(index < shape.count, "keeps the size of axis \(index) of \(shape)")
            return shape[index]
        }
        let count = shape.reduce(1, *)
        try call.require(result.allSatisfy { $0 >= -1 } && result.filter { $0 == -1 }.count <= 1, "\(wanted) is no shape")
        if let open = result.firstIndex(of: -1) {
            let rest = result.enumerated().reduce(1) { $1.offset == open ? $0 : $0 * $1.element }
            try call.require(rest == 0 ? count == 0 : count % rest == 0, "\(shape) does not take the shape \(wanted)")
            result[open] = rest == 0 ? 0 : count / rest
        }
        return result
    }

    static func broadcast(_ a: [Int], _ b: [Int], _ call: OperatorCall) throws -> [Int] {
        let rank = max(a.count, b.count)
        return try (0..<rank).map { axis in
            let left = axis + a.count - rank >= 0 ? a[axis + a.count - rank] : 1
            let right = axis + b.count - rank >= 0 ? b[axis + b.count - rank] : 1
            try call.require(left == right || left == 1 || right == 1, "\(a) and \(b) do not broadcast")
            return left == 1 ? right : left
        }
    }

    func dtype(_ code: Int, _ call: OperatorCall) throws -> DType {
        guard let type = ONNXElementType(rawValue: Int32(truncatingIfNeeded: code))?.dtype else {
            throw call.unsupported("the element type \(code) is not one this version computes with")
        }
        return type
    }

    /// `[rows, columns]` of column − row, i64: where the diagonals are.
    mutating func offsets(rows: Int, columns: Int) throws -> ValueID {
        try binary(.subtract, constant(Array(0..<columns), shape: [1, columns]), constant(Array(0..<rows), shape: [rows, 1]))
    }

    // MARK: Constants

    private mutating func constant(_ call: OperatorCall) throws -> Imported {
        guard let attribute = call.node.attributes.first else { throw call.invalid("has no value") }
        switch attribute.value {
        case .tensor(let tensor): return try constant(tensor)
        case .float(let value): return .tensor(try scalar(Double(value), .f32))
        case .floats(let values): return .tensor(try constant(values.map(Double.init), .f32))
        case .int(let value): return .tensor(try constant([value], shape: []))
        case .ints(let values): return .tensor(try constant(values))
        case .string(let bytes): return .strings(StringTensor(shape: [], values: [String(decoding: bytes, as: UTF8.self)]))
        case .strings(let texts): return .strings(StringTensor(shape: [texts.count], values: texts.map { String(decoding: $0, as: UTF8.self) }))
        default: throw call.unsupported("the constant '\(attribute.name)' is of a kind this version does not read")
        }
    }

    private mutating func range(_ call: OperatorCall) throws -> ValueID {
        let operands = try call.tensors()
        try call.require(operands.count == 3, "needs a start, a limit and a step")
        let type = element(operands[0])
        let most = 1 << 28
        if type.isFloat {
            let (start, limit, step) = (try doubles(operands[0])[0], try doubles(operands[1])[0], try doubles(operands[2])[0])
            let count = ((limit - start) / step).rounded(.up)
            try call.require(step != 0 && count.isFinite && count < Double(most), "the range from \(start) to \(limit) by \(step) is endless")
            return try constant((0..<max(0, Int(count))).map { start + Double($0) * step }, type)
        }
        let (start, limit, step) = (try integers(operands[0])[0], try integers(operands[1])[0], try integers(operands[2])[0])
        try call.require(step != 0, "the step is 0")
        let (distance, overflow) = limit.subtractingReportingOverflow(start)
        try call.require(!overflow && step != .min, "the range from \(start) to \(limit) is too long")
        let count = max(0, distance / step + (distance % step != 0 && (distance > 0) == (step > 0) ? 1 : 0))
        try call.require(count < most, "the range from \(start) to \(limit) is too long")
        return try constant((0..<count).map { start + $0 * step }, type)
    }

    // MARK: Parts

    private mutating func concatenate(_ call: OperatorCall) throws -> ValueID {
        let parts = try call.tensors()
        guard let first = parts.first else { throw call.invalid("has no operands") }
        return try concat(parts, axis: call.axis(call.int("axis", 0), rank: rank(first)))
    }

    private mutating func split(_ call: OperatorCall) throws -> [Imported] {
        let x = try call.tensor(0)
        let axis = try call.axis(call.int("axis", 0), rank: rank(x))
        let size = shape(x)[axis]
        var sizes = call.version < 13 ? try call.ints("split") : try call.optional(1).map { try integers($0) }
        if sizes == nil {
            let count = try call.int("num_outputs", call.node.outputs.count)
            try call.require(count > 0, "splits into nothing")
            let part = (size + count - 1) / count
            sizes = (0..<count).map { max(0, min(part, size - $0 * part)) }
        }
        guard let sizes, sizes.allSatisfy({ $0 >= 0 }), sizes.reduce(0, +) == size else {
            throw call.invalid("the sizes \(sizes ?? []) do not add up to \(size)")
        }
        var start = 0
        return try sizes.map { part in
            defer { start += part }
            return .tensor(try slice(x, axis: axis, start..<start + part, "part"))
        }
    }

    private mutating func slice(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let shape = shape(x)
        let starts: [Int], ends: [Int], axes: [Int], steps: [Int]
        if call.version < 10 {
            (starts, ends) = (try call.ints("starts") ?? [], try call.ints("ends") ?? [])
            axes = try call.ints("axes") ?? Array(starts.indices)
            steps = starts.map { _ in 1 }
        } else {
            (starts, ends) = (try integers(call.tensor(1)), try integers(call.tensor(2)))
            axes = try call.optional(3).map { try integers($0) } ?? Array(starts.indices)
            steps = try call.optional(4).map { try integers($0) } ?? starts.map { _ in 1 }
        }
        try call.require(starts.count == ends.count && starts.count == axes.count && starts.count == steps.count, "the lists of a slice differ in length")
        var slice = Slice(starts: shape.map { _ in 0 }, sizes: shape, steps: shape.map { _ in 1 })
        for (index, axis) in try call.axes(axes, rank: shape.count).enumerated() {
            let (length, step) = (shape[axis], steps[index])
            try call.require(step != 0 && step != .min, "a step is 0")
            func place(_ value: Int, _ range: ClosedRange<Int>) -> Int {
                let front = value < 0 ? value.addingReportingOverflow(length).partialValue : value
                return min(max(front, range.lowerBound), range.upperBound)
            }
            let start = place(starts[index], step > 0 ? 0...length : (length == 0 ? 0...0 : 0...length - 1))
            let end = step > 0 ? place(ends[index], 0...length) : place(ends[index], -1...max(-1, length - 1))
            let distance = step > 0 ? end - start : start - end
            slice.starts[axis] = start
            slice.steps[axis] = step
            slice.sizes[axis] = length == 0 || distance <= 0 ? 0 : (distance - 1) / abs(step) + 1
            if slice.sizes[axis] == 0 { (slice.starts[axis], slice.steps[axis]) = (0, 1) }
            // A step beyond the end is a step of one element.
            if slice.sizes[axis] == 1 { slice.steps[axis] = 1 }
        }
        return try self.slice(x, slice)
    }

    private mutating func pad(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let rank = rank(x)
        let modes: [String: Pad.Mode] = ["constant": .constant, "edge": .edge, "reflect": .reflect, "wrap": .wrap]
        let name = try call.string("mode", "constant")
        guard let mode = modes[name] else { throw call.unsupported("the padding mode '\(name)' is not done") }
        let pads = call.version < 11 ? try call.ints("pads") ?? call.ints("paddings") ?? [] : try integers(call.tensor(1))
        let axes = try call.version >= 18 ? call.optional(3).map { try call.axes(integers($0), rank: rank) } ?? Array(0..<rank) : Array(0..<rank)
        try call.require(pads.count == 2 * axes.count, "\(pads.count) pads are given for \(axes.count) axes")
        var (low, high) = ([Int](repeating: 0, count: rank), [Int](repeating: 0, count: rank))
        for (index, axis) in axes.enumerated() { (low[axis], high[axis]) = (pads[index], pads[axes.count + index]) }
        var value: ValueID?
        if mode == .constant {
            value = try call.version < 11 ? call.node.float("value").map { try scalar(Double($0), element(x)) } : call.optional(2)
        }
        return try pad(x, low: low, high: high, mode: mode, value: value.map { try reshape($0, []) })
    }
}
