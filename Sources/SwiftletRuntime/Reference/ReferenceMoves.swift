// Moves: elements change their places and nothing else, so they are copied as bytes, whatever their type.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceStep {
    /// Bytes of an element of operand `index`.
    private func width(_ index: Int) -> Int { inputs[index].element.byteCount }

    func transpose(_ permutation: [Int]) {
        let strides = inputs[0].strides
        copy(inputs[0], strides: permutation.map { strides[$0] })
    }

    func slice(_ slice: Slice) {
        let strides = inputs[0].strides
        let start = zip(slice.starts, strides).reduce(0) { $0 &+ $1.0 &* $1.1 }  // an empty slice may start anywhere
        copy(inputs[0], from: start, strides: zip(slice.steps, strides).map { $0 &* $1 })
    }

    func expand() { copy(inputs[0], strides: inputs[0].strides(over: outputs[0].shape)) }

    /// Fills the output, row-major, by stepping through `source` from element `start` on.
    private func copy(_ source: ReferenceTensor, from start: Int = 0, strides: [Int]) {
        guard let from = source.bytes, let to = outputs[0].bytes else { return }
        let bytes = source.element.byteCount
        let walk = StridedWalk(outputs[0].shape, [outputs[0].strides, strides])
        walk.forEachRow { offsets in
            moveElements(walk.count, of: bytes, from: from + (start + offsets[1]) * bytes, step: walk.steps[1], to: to + offsets[0] * bytes)
        }
    }

    func concat(axis: Int) {
        guard let target = outputs[0].bytes else { return }
        let inner = outputs[0].shape[(axis + 1)...].reduce(width(0), *)
        let pitch = outputs[0].shape[axis] * inner
        let outer = outputs[0].shape[..<axis].reduce(1, *)
        var place = 0
        for input in inputs {
            let run = input.shape[axis] * inner
            if let source = input.bytes, run > 0 {
                for index in 0..<outer { memcpy(target + index * pitch + place, source + index * run, run) }
            }
            place += run
        }
    }

    /// Each axis gets a table from places in the output to places in x (−1: the value), so that all modes are one loop.
    func pad(_ pad: Pad) {
        let (x, output) = (inputs[0], outputs[0])
        guard output.count > 0, let target = output.bytes else { return }
        let bytes = width(0)
        let tables = x.shape.indices.map { axis in
            (0..<output.shape[axis]).map { Self.source($0 - pad.low[axis], of: x.shape[axis], pad.mode) }
        }
        // The value, once for each byte of an element; zeros without one.
        var value = [UInt8](repeating: 0, count: bytes)
        if inputs.count > 1, let source = inputs[1].bytes { value.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(start: source, count: bytes)) } }
        value.withUnsafeBytes { value in
            guard let value = value.baseAddress else { return }
            let xStrides = x.strides
            let last = x.shape.count - 1
            let width = output.width
            for row in 0..<output.rows {
                var (rest, start, isInside) = (row, 0, true)
                for axis in stride(from: last - 1, through: 0, by: -1) {
                    let place = tables[axis][rest % output.shape[axis]]
                    rest /= output.shape[axis]
                    if place < 0 { isInside = false }
                    start += place * xStrides[axis]
                }
                let to = target + row * width * bytes
                guard isInside, let from = x.bytes, last >= 0 else {
                    // A scalar has no axis to pad: it is itself.
                    if last < 0, let from = x.bytes { memcpy(to, from, bytes) } else { moveElements(width, of: bytes, from: value, step: 0, to: to) }
                    continue
                }
                var column = 0
                while column < width {
                    let place = tables[last][column]
                    var run = 1
                    while column + run < width, tables[last][column + run] == (place < 0 ? place : place + run) { run += 1 }
                    if place < 0 {
                        moveElements(run, of: bytes, from: value, step: 0, to: to + column * bytes)
                    } else {
                        memcpy(to + column * bytes, from + (start + place) * bytes, run * bytes)
                    }
                    column += run
                }
            }
        }
    }

    /// Where the element at `place` (negative before x) of an axis of `length` elements comes from; −1 for the value.
    private static func source(_ place: Int, of length: Int, _ mode: Pad.Mode) -> Int {
        if (0..<length).contains(place) { return place }
        switch mode {
        case .constant: return -1
        case .edge: return length == 0 ? -1 : min(max(place, 0), length - 1)
        case .wrap: return length == 0 ? -1 : ((place % length) + length) % length
        case .reflect:
            if length <= 1 { return length - 1 }
            let period = 2 * (length - 1)
            let folded = ((place % period) + period) % period
            return min(folded, period - folded)
        }
    }

    // MARK: Look-ups

    func gather(axis: Int) throws {
        let x = inputs[0]
        let places = try inputs[1].places(in: x.shape[axis], node: node.name)
        guard let source = x.bytes, let target = outputs[0].bytes, outputs[0].count > 0 else { return }
        let run = x.shape[(axis + 1)...].reduce(width(0), *)
        let pitch = x.shape[axis] * run
        var to = target
        for outer in 0..<x.shape[..<axis].reduce(1, *) {
            let from = source + outer * pitch
            for place in places {
                memcpy(to, from + place * run, run)
                to += run
            }
        }
    }

    func gatherElements(axis: Int) throws {
        let (x, bytes) = (inputs[0], width(0))
        try checkElementIndices(inputs[1], axis: axis)
        let places = try inputs[1].places(in: x.shape[axis], node: node.name)
        guard let source = x.bytes, let target = outputs[0].bytes, outputs[0].count > 0 else { return }
        let strides = x.strides
        let walk = StridedWalk(inputs[1].shape, [inputs[1].strides, strides.enumerated().map { $0.offset == axis ? 0 : $0.element }])
        walk.forEachRow { offsets in
            for index in 0..<walk.count {
                let at = offsets[1] + index * walk.steps[1] + places[offsets[0] + index * walk.steps[0]] * strides[axis]
                moveElements(1, of: bytes, from: source + at * bytes, step: 0, to: target + (offsets[0] + index * walk.steps[0]) * bytes)
            }
        }
    }

    /// That the indices are no longer than x on the other axes: sizes bound at run time have not been compared before.
    func checkElementIndices(_ indices: ReferenceTensor, axis: Int) throws {
        for other in indices.shape.indices where other != axis && indices.shape[other] > inputs[0].shape[other] {
            throw SwiftletError.invalidArgument(
                name: node.name, reason: "indices of shape \(indices.shape) are longer than \(inputs[0].shape) on axis \(other)",
                remedy: "Bind sizes that fit.")
        }
    }

    func gatherND(batchAxes: Int) throws {
        let x = inputs[0]
        let depth = inputs[1].shape[inputs[1].shape.count - 1]
        let starts = try inputs[1].starts(in: x.shape, from: batchAxes, depth: depth, node: node.name)
        guard let source = x.bytes, let target = outputs[0].bytes, outputs[0].count > 0 else { return }
        let run = x.shape[(batchAxes + depth)...].reduce(width(0), *)
        let batches = x.shape[..<batchAxes].reduce(1, *)
        let batchBytes = x.shape[batchAxes...].reduce(width(0), *)
        let perBatch = batches == 0 ? 0 : starts.count / batches
        for (index, start) in starts.enumerated() {
            memcpy(target + index * run, source + index / perBatch * batchBytes + start * width(0), run)
        }
    }

    // MARK: Choice

    func select() throws {
        let shape = outputs[0].shape
        guard let target = outputs[0].bytes, let condition = inputs[0].bytes, let a = inputs[1].bytes, let b = inputs[2].bytes else { return }
        let bytes = width(1)
        let walk = StridedWalk(shape, [outputs[0].strides] + inputs.map { $0.strides(over: shape) })
        walk.forEachRow { offsets in
            for index in 0..<walk.count {
                let isFirst = condition.load(fromByteOffset: offsets[1] + index * walk.steps[1], as: UInt8.self) != 0
                let operand = isFirst ? 2 : 3
                let from = (isFirst ? a : b) + (offsets[operand] + index * walk.steps[operand]) * bytes
                moveElements(1, of: bytes, from: from, step: 0, to: target + (offsets[0] + index * walk.steps[0]) * bytes)
            }
        }
    }
}

extension ReferenceTensor {
    /// All elements of an i32 or i64 tensor as places in an axis of `length` elements; negative ones count from its end.
    /// Throws `SwiftletError.invalidArgument` naming `node` for one outside.
    func places(in length: Int, node: String) throws -> [Int] {
        let numbers: [Int] = try wholeNumbers()
        return try numbers.enumerated().map { position, index in
            let place = index < 0 ? index &+ length : index
            guard (0..<length).contains(place) else {
                throw SwiftletError.invalidArgument(
                    name: node, reason: "index \(index) (element \(position)) is outside \(-length)..<\(length)",
                    remedy: "Give indices inside the tensor they select from.")
            }
            return place
        }
    }

    /// Tuples of `depth` indices as the offset, in elements, of what they select in the axes of `shape` from `first` on.
    func starts(in shape: [Int], from first: Int, depth: Int, node: String) throws -> [Int] {
        let numbers: [Int] = try wholeNumbers()
        let strides = Strides.dense(shape)
        return try (0..<rows).map { row in
            var start = 0
            for axis in 0..<depth {
                let (index, length) = (numbers[row * depth + axis], shape[first + axis])
                let place = index < 0 ? index &+ length : index
                guard (0..<length).contains(place) else {
                    throw SwiftletError.invalidArgument(
                        name: node, reason: "index \(index) (tuple \(row), axis \(axis)) is outside \(-length)..<\(length)",
                        remedy: "Give indices inside the tensor they select from.")
                }
                start += place * strides[first + axis]
            }
            return start
        }
    }
}

/// Copies `count` elements of `bytes` bytes, `step` elements apart, to places side by side.
func moveElements(_ count: Int, of bytes: Int, from source: UnsafeRawPointer, step: Int, to target: UnsafeMutableRawPointer) {
    func move<Element: BitwiseCopyable>(_ type: Element.Type) {
        let size = MemoryLayout<Element>.stride
        for index in 0..<count {
            target.storeBytes(of: source.loadUnaligned(fromByteOffset: index * step * size, as: type), toByteOffset: index * size, as: type)
        }
    }
    if step == 1 {
        memcpy(target, source, count * bytes)
        return
    }
    switch bytes {
    case 1: move(UInt8.self)
    case 2: move(UInt16.self)
    case 4: move(UInt32.self)
    default: move(UInt64.self)
    }
}
