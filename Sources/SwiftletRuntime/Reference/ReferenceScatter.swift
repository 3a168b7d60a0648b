// Updates at indices: a copy of x, changed in the order of the updates.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceNumbers {
    func scatterElements(axis: Int, _ reduction: ScatterReduction) throws {
        let (x, indices) = (inputs[0], inputs[1])
        try step.checkElementIndices(indices, axis: axis)
        let places = try indices.places(in: x.shape[axis], node: step.node.name)
        let strides = x.strides
        let walk = StridedWalk(indices.shape, [indices.strides, strides.enumerated().map { $0.offset == axis ? 0 : $0.element }])
        var targets = [Int](repeating: 0, count: places.count)
        walk.forEachRow { offsets in
            for index in 0..<walk.count {
                let update = offsets[0] + index * walk.steps[0]
                targets[update] = offsets[1] + index * walk.steps[1] + places[update] * strides[axis]
            }
        }
        try scatter(targets, run: 1, reduction)
    }

    func scatterND(_ reduction: ScatterReduction) throws {
        let (shape, indices) = (inputs[0].shape, inputs[1])
        let depth = indices.shape[indices.shape.count - 1]
        let targets = try indices.starts(in: shape, from: 0, depth: depth, node: step.node.name)
        try scatter(targets, run: shape[depth...].reduce(1, *), reduction)
    }

    /// Combines `run` elements of the updates into x at each of the targets.
    private func scatter(_ targets: [Int], run: Int, _ reduction: ScatterReduction) throws {
        switch reduction {
        case .replace: replace(targets, run: run)
        case .add: try combine(targets, run: run) { Number.sum($0, $1) }
        case .multiply: try combine(targets, run: run) { Number.product($0, $1) }
        case .maximum: try combine(targets, run: run) { Number.larger($0, $1) }
        case .minimum: try combine(targets, run: run) { Number.smaller($0, $1) }
        }
    }

    private func replace(_ targets: [Int], run: Int) {
        let bytes = inputs[0].element.byteCount
        guard let x = inputs[0].bytes, let output = outputs[0].bytes, inputs[0].count > 0 else { return }
        memcpy(output, x, inputs[0].count * bytes)
        guard let updates = inputs[2].bytes, inputs[2].count > 0 else { return }
        for (index, target) in targets.enumerated() { memcpy(output + target * bytes, updates + index * run * bytes, run * bytes) }
    }

    @inline(__always)
    private func combine(_ targets: [Int], run: Int, _ function: (Number, Number) -> Number) throws {
        var values = try Number.load(inputs[0])
        let updates = try Number.load(inputs[2])
        for (index, target) in targets.enumerated() {
            for element in 0..<run { values[target + element] = function(values[target + element], updates[index * run + element]) }
        }
        try Number.store(values, in: outputs[0])
    }
}
