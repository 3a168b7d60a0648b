// Sequences and optionals: how many elements they have is always known, so they exist only during the import.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let sequenceOperators: [String: OperatorImporter] = [
        "SequenceEmpty": { _, _ in [.sequence([])] },
        "SequenceConstruct": { _, call in [.sequence(try call.inputs.indices.map { try call.element($0) })] },
        "SequenceLength": { importer, call in [.tensor(try importer.constant([call.sequence(0).count], shape: []))] },
        "SequenceAt": { importer, call in
            let elements = try call.sequence(0)
            return [elements[try importer.position(call, 1, upTo: elements.count - 1)]]
        },
        "SequenceInsert": { importer, call in
            var elements = try call.sequence(0)
            let place = call.value(2) == nil ? elements.count : try importer.position(call, 2, upTo: elements.count, count: elements.count)
            elements.insert(try call.element(1), at: place)
            return [.sequence(elements)]
        },
        "SequenceErase": { importer, call in
            var elements = try call.sequence(0)
            try call.require(!elements.isEmpty, "the sequence is empty")
            elements.remove(at: call.value(1) == nil ? elements.count - 1 : try importer.position(call, 1, upTo: elements.count - 1))
            return [.sequence(elements)]
        },
        "SplitToSequence": { importer, call in [.sequence(try importer.splitToSequence(call))] },
        "ConcatFromSequence": { importer, call in [try importer.concatFromSequence(call)] },
        "Optional": { _, call in [call.value(0) ?? .absent] },
        "OptionalHasElement": { importer, call in
            let holds: Bool
            switch call.value(0) {
            case nil, .absent: holds = false
            case .tensor, .strings, .sequence: holds = true
            }
            return [.tensor(try importer.constant([holds ? 1 : 0], shape: [], .bool))]
        },
        "OptionalGetElement": { _, call in
            switch call.value(0) {
            case nil, .absent: throw call.invalid("the optional is empty")
            case let value?: return [value]
            }
        },
    ]

    /// The place an operand names, from the front. Negative ones count from behind the last of `count` elements.
    private func position(_ call: OperatorCall, _ index: Int, upTo last: Int, count: Int? = nil) throws -> Int {
        let values = try integers(call.tensor(index))
        try call.require(values.count == 1, "the position has \(values.count) elements")
        let (position, size) = (values[0], count ?? last + 1)
        try call.require(position >= -size && position <= last, "there is no place \(position) among \(size)")
        return position < 0 ? position + size : position
    }

    private mutating func splitToSequence(_ call: OperatorCall) throws -> [Imported] {
        let x = try call.tensor(0)
        let axis = try call.axis(call.int("axis", 0), rank: rank(x))
        let size = shape(x)[axis]
        var sizes: [Int]
        if let split = try call.optional(1) {
            let values = try integers(split)
            try call.require(rank(split) <= 1, "the split is \(graph[split].type)")
            if rank(split) == 0 {
                try call.require(values[0] > 0, "splits into pieces of \(values[0])")
                let (whole, rest) = size.quotientAndRemainder(dividingBy: values[0])
                try call.require(whole < Self.mostNodes, "splits into \(whole) pieces")
                sizes = [Int](repeating: values[0], count: whole) + (rest > 0 ? [rest] : [])
            } else {
                try call.require(values.allSatisfy { (0...size).contains($0) } && values.reduce(0, +) == size, "\(values) do not split \(size)")
                sizes = values
            }
        } else {
            try call.require(size < Self.mostNodes, "splits into \(size) pieces")
            sizes = [Int](repeating: 1, count: size)
        }
        let dropsAxis = try call.value(1) == nil && !call.bool("keepdims", true)
        var start = 0
        return try sizes.map { size in
            let piece = try slice(x, axis: axis, start..<start + size, "piece")
            start += size
            guard dropsAxis else { return .tensor(piece) }
            var rest = shape(piece)
            rest.remove(at: axis)
            return .tensor(try reshape(piece, rest))
        }
    }

    private mutating func concatFromSequence(_ call: OperatorCall) throws -> Imported {
        let elements = try call.sequence(0)
        let ids = elements.flatMap(\.tensors)
        try call.require(!ids.isEmpty && elements.allSatisfy { if case .tensor = $0 { true } else { false } }, "needs a sequence of tensors, at least one")
        guard let axis = try call.node.int("axis") else { throw call.invalid("lacks its axis") }
        let isNew = try call.bool("new_axis")
        let rank = rank(ids[0])
        try call.require(ids.allSatisfy { self.rank($0) == rank }, "the tensors have different numbers of axes")
        let front = try call.axis(axis, rank: isNew ? rank + 1 : rank)
        return .tensor(try concat(isNew ? ids.map { try unsqueeze($0, [front]) } : ids, axis: front))
    }
}

extension OperatorCall {
    /// The elements of a sequence.
    fileprivate func sequence(_ index: Int) throws -> [Imported] {
        guard case .sequence(let elements) = value(index) else { throw invalid("the input \(index) is no sequence") }
        return elements
    }

    /// A tensor of numbers or texts.
    fileprivate func element(_ index: Int) throws -> Imported {
        switch value(index) {
        case let element?: return element
        case nil: throw invalid("lacks its input \(index)")
        }
    }
}
