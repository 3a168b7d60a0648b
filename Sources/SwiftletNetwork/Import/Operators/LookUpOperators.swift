// Operators that look elements up by indices, or put them there.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let lookUpOperators: [String: OperatorImporter] = [
        "Gather": { importer, call in
            if case .strings(let texts) = call.value(0) { return [.strings(try importer.gather(texts, call))] }
            let x = try call.tensor(0)
            let axis = try call.axis(call.int("axis", 0), rank: importer.rank(x))
            return [.tensor(try importer.apply(.gather(axis: axis), [x, importer.indices(call.tensor(1))]))]
        },
        "GatherElements": { importer, call in
            let x = try call.tensor(0)
            let axis = try call.axis(call.int("axis", 0), rank: importer.rank(x))
            return [.tensor(try importer.apply(.gatherElements(axis: axis), [x, call.tensor(1)]))]
        },
        "GatherND": { importer, call in
            [.tensor(try importer.apply(.gatherND(batchAxes: call.int("batch_dims", 0)), [call.tensor(0), call.tensor(1)]))]
        },
        "Scatter": { try $0.scatterElements($1) },
        "ScatterElements": { try $0.scatterElements($1) },
        "ScatterND": { importer, call in
            [.tensor(try importer.apply(.scatterND(Importer.scatterReduction(call)), [call.tensor(0), call.tensor(1), call.tensor(2)]))]
        },
        "OneHot": { importer, call in [.tensor(try importer.oneHot(call))] },
        "ReverseSequence": { importer, call in [.tensor(try importer.reverseSequence(call))] },
        "TensorScatter": { importer, call in [.tensor(try importer.tensorScatter(call))] },
    ]

    private static func scatterReduction(_ call: OperatorCall) throws -> ScatterReduction {
        let name = try call.string("reduction", "none")
        let names: [String: ScatterReduction] = ["none": .replace, "add": .add, "mul": .multiply, "max": .maximum, "min": .minimum]
        guard let reduction = names[name] else { throw call.invalid("'\(name)' is no reduction") }
        return reduction
    }

    private mutating func scatterElements(_ call: OperatorCall) throws -> [Imported] {
        let x = try call.tensor(0)
        let axis = try call.axis(call.int("axis", 0), rank: rank(x))
        return [.tensor(try apply(.scatterElements(axis: axis, Self.scatterReduction(call)), [x, call.tensor(1), call.tensor(2)]))]
    }

    /// Indices in a type that look-ups take.
    private mutating func indices(_ x: ValueID) throws -> ValueID {
        element(x) == .i32 || element(x) == .i64 ? x : try cast(x, .i64)
    }

    private func gather(_ texts: StringTensor, _ call: OperatorCall) throws -> StringTensor {
        let indices = try call.tensor(1)
        try call.require(texts.shape.rank == 1, "texts are looked up along one axis only")
        let places = try integers(indices).map { index in
            let place = index < 0 ? index + texts.values.count : index
            try call.require(texts.values.indices.contains(place), "the index \(index) is outside of \(texts.values.count) texts")
            return place
        }
        return StringTensor(shape: Shape(shape(indices)), values: places.map { texts.values[$0] })
    }

    /// `values[1]` where the index is the place along the new axis, else `values[0]`.
    private mutating func oneHot(_ call: OperatorCall) throws -> ValueID {
        let (index, values) = (try call.tensor(0), try call.tensor(2))
        let depthID = try call.tensor(1)
        let depth = element(depthID).isFloat ? Int(try floats(depthID)[0]) : try integers(depthID)[0]
        try call.require(depth >= 0 && depth < 1 << 28, "the depth is \(depth)")
        let rank = rank(index) + 1
        let axis = try call.axis(call.int("axis", -1), rank: rank)
        // Negative indices count from the end.
        let whole = try cast(index, .i64)
        let isNegative = try binary(.less, whole, 0)
        let front = try select(isNegative, binary(.add, whole, Double(depth)), whole)
        var places = [Int](repeating: 1, count: rank)
        places[axis] = depth
        let isOn = try binary(.equal, unsqueeze(front, [axis]), constant(Array(0..<depth), shape: places))
        let (off, on) = (try slice(values, axis: 0, 0..<1), try slice(values, axis: 0, 1..<2))
        return try select(isOn, reshape(on, []), reshape(off, []))
    }

    /// Each sequence of a batch reversed up to its length.
    private mutating func reverseSequence(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let (time, batch) = (try call.int("time_axis", 0), try call.int("batch_axis", 1))
        try call.require(rank(x) >= 2 && Set([time, batch]) == [0, 1], "time and batch must be the first two axes")
        let shape = shape(x)
        let count = shape[time]
        // place = step < length ? length − 1 − step : step
        let lengths = try reshape(cast(call.tensor(1), .i64), batch == 0 ? [shape[0], 1] : [1, shape[1]])
        let steps = try constant(Array(0..<count), shape: time == 0 ? [count, 1] : [1, count])
        let mirrored = try binary(.subtract, binary(.subtract, lengths, 1), steps)
        let places = try select(binary(.less, steps, lengths), mirrored, steps)
        let all = try expand(reshape(expand(places, [shape[0], shape[1]]), [shape[0], shape[1]] + shape.dropFirst(2).map { _ in 1 }), shape)
        return try apply(.gatherElements(axis: time), [x, all])
    }

    /// Updates written into a cache at places that differ by batch: the key/value cache of exported language models.
    private mutating func tensorScatter(_ call: OperatorCall) throws -> ValueID {
        let (cache, update) = (try call.tensor(0), try call.tensor(1))
        let (shape, part) = (shape(cache), shape(update))
        let axis = try call.axis(call.int("axis", -2), rank: shape.count)
        try call.require(axis > 0 && part.count == shape.count, "the axis must come behind the batch")
        let isCircular = try call.string("mode", "linear") == "circular"
        var indexShape = [Int](repeating: 1, count: shape.count)
        indexShape[0] = shape[0]
        let starts = try call.optional(2).map { try reshape(cast($0, .i64), indexShape) } ?? constant([Int](repeating: 0, count: shape[0]), shape: indexShape)
        var stepShape = [Int](repeating: 1, count: shape.count)
        stepShape[axis] = part[axis]
        var places = try binary(.add, starts, constant(Array(0..<part[axis]), shape: stepShape))
        if isCircular { places = try binary(.modulo, places, Double(shape[axis])) }
        return try apply(.scatterElements(axis: axis, .replace), [cache, expand(places, part), update])
    }
}
