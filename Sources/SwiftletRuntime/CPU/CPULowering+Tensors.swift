// Lowering of the operations of imported networks on tensors as the graph has them: elements that broadcast, moves, reductions, products.
import CKernels

extension CPULowering {
    /// What `lower(_:_:)` below and `lowerImages` take.
    static func canLower(_ op: TensorOp, _ node: Node, in graph: Graph) -> Bool {
        let types = node.inputs.map { graph[$0].type }
        func isComputed(_ index: Int) -> Bool { graph[node.inputs[index]].weight == nil && graph[node.inputs[index]].state == nil }
        func isConstant(_ index: Int, _ element: DType = .f32) -> Bool { graph[node.inputs[index]].weight?.format == .dense(element) }
        guard (types + node.outputs.map { graph[$0].type }).allSatisfy({ $0.shape.fixedSizes != nil }) else { return false }
        switch op {
        case .convolution(let convolution):
            guard isComputed(0), isConstant(1) || isConstant(1, .bf16), ImageSize(types[0]) != nil, ImageSize(graph[node.outputs[0]].type) != nil else { return false }
            guard !convolution.hasBias || isConstant(2) || isConstant(2, .bf16), convolution.activation.map({ activation($0) != nil }) ?? true else { return false }
            return !convolution.hasResidual || isComputed(node.inputs.count - 1)
        case .transposedConvolution(let convolution):
            let window = convolution.window
            guard isComputed(0), isConstant(1), ImageSize(types[0]) != nil, ImageSize(graph[node.outputs[0]].type) != nil else { return false }
            guard !convolution.hasBias || isConstant(2), convolution.groups == 1, window.kernel == window.strides,
                convolution.activation.map({ activation($0) != nil }) ?? true else { return false }
            return (window.low + window.high + convolution.outputPadding).allSatisfy { $0 == 0 } && window.dilations.allSatisfy { $0 == 1 }
        case .pool(let pool):
            guard isComputed(0), [.f32, .bf16].contains(types[0].element), ImageSize(types[0]) != nil, ImageSize(graph[node.outputs[0]].type) != nil else { return false }
            switch pool.kind {
            case .maximum(let indices): return !indices
            case .average: return true
            case .norm: return false
            }
        case .transpose, .slice, .expand, .concat: return node.inputs.indices.allSatisfy { graph[node.inputs[$0]].state == nil }
        case .reduce where types[0].element == .bf16: return canLowerBF16(node, in: graph)
        case .reduce(_, let axes, _):
            let rank = types[0].shape.count
            guard types[0].element == .f32, isComputed(0), !axes.isEmpty, axes.allSatisfy({ (types[0].shape[$0].fixed ?? 0) > 0 }) else { return false }
            return axes.sorted() == Array(axes.min().map { $0..<min(rank, $0 + axes.count) } ?? 0..<0)
        case .matmul: return types.allSatisfy { $0.element == .f32 } && types[0].shape.allSatisfy { $0 != 0 } && types[1].shape.allSatisfy { $0 != 0 }
        case .resize(let resize):
            guard isComputed(0), types[0].element == .f32, ImageSize(types[0]) != nil, ImageSize(graph[node.outputs[0]].type) != nil else { return false }
            // Space alone, every place inside the input.
            if case .cropAndResize = resize.coordinates { return false }
            return types[0].shape.prefix(2).elementsEqual(resize.sizes.prefix(2).map { Dimension($0) }) && resize.scales.prefix(2).allSatisfy { $0 == 1 }
                && !resize.antialiases
        case .quantize, .dequantize, .quantizedConvolution, .quantizedLinear, .quantizedMean, .quantizedSum: return canLowerQuantized(op, node, in: graph)
        case .recurrent(let recurrent): return canLower(recurrent, node, in: graph)
        case .cast(let element, saturates: _): return isComputed(0) && Set([types[0].element, element]) == [.f32, .bf16]
        case .deformableConvolution, .gridSample, .roiAlign, .select, .bitcast, .pad, .gather,
            .gatherElements, .gatherND, .scatterElements, .scatterND, .argument, .topK, .cumulative:
            return false
        }
    }

    /// Whether `lowerImages` takes a function of elements, or a mean over space, of an image of bf16.
    static func canLowerBF16(_ node: Node, in graph: Graph) -> Bool {
        let result = graph[node.outputs[0]].type
        guard graph[node.inputs[0]].weight == nil, result.element == .bf16, ImageSize(graph[node.inputs[0]].type) != nil, ImageSize(result) != nil else { return false }
        switch node.op {
        case .unary(let function): return activation(function) != nil
        case .tensor(.reduce(.mean, let axes, keepsAxes: true)): return axes == Array(2..<result.shape.count)
        case .binary(let function):
            let other = graph[node.inputs[1]]
            guard graph[node.inputs[0]].type == result else { return false }
            if other.type == result { return function == .add && other.weight == nil }
            if graph.channelConstant(node.inputs[1], of: node.outputs[0]) != nil { return [.add, .subtract, .multiply, .divide].contains(function) }
            return function == .multiply && graph.isChannelVector(node.inputs[1], of: node.outputs[0])
        default: return false
        }
    }

    mutating func lower(_ op: TensorOp, _ node: Node) throws {
        for input in node.inputs { keep(input) }
        switch op {
        case .transpose(let permutation):
            let strides = try Strides.dense(sizes(node.inputs[0]))
            try lowerMove(node, strides: permutation.map { strides[$0] })
        case .slice(let slice):
            let strides = try Strides.dense(sizes(node.inputs[0]))
            let offset = zip(slice.starts, strides).reduce(0) { $0 + $1.0 * $1.1 }
            try lowerMove(node, strides: zip(strides, slice.steps).map { $0 * $1 }, offset: offset)
        case .expand: try lowerMove(node, strides: Strides.broadcast(sizes(node.inputs[0]), to: sizes(node.outputs[0])))
        case .concat(let axis): try lowerConcat(node, axis)
        case .reduce(let reduction, let axes, _):
            let shape = try sizes(node.inputs[0])
            let (x, out) = (slot(reading: node.inputs[0]), slot(writing: node.outputs[0]))
            let first = axes.min() ?? 0
            let (outer, count, inner) = (
                shape[..<first].reduce(1, *), shape[first..<first + axes.count].reduce(1, *), shape[(first + axes.count)...].reduce(1, *)
            )
            emit { binder in
                .reduce(try binder.keep(ReduceStep(reduction: reduction, x: binder.floats(x), out: binder.floats(out), outer: outer, count: count, inner: inner)))
            }
        case .matmul: try lowerProduct(node)
        case .recurrent(let recurrent): try lower(recurrent, node)
        default: throw noKernel(node)
        }
    }

    /// Elements that broadcast.
    mutating func lowerElements(_ function: ElementStep.Function, _ node: Node, _ vector: VectorKernels) throws {
        for input in node.inputs { keep(input) }
        let operands = node.inputs.map { slot(reading: $0) }
        let shape = try sizes(node.outputs[0])
        let sameShape = node.inputs.first { graph[$0].type == graph[node.outputs[0]].type && graph[$0].weight == nil }
        let out = slot(writing: node.outputs[0], inPlace: sameShape)
        let axes = try ElementStep.axes(of: shape, sizes(node.inputs[0]), sizes(node.inputs[node.inputs.count - 1]))
        let pairs = axes[axes.count - 1].strideA == 1 && axes[axes.count - 1].strideB == 1
        let kernel = fastest(function, pairs: pairs, vector)
        emit { binder in
            .elements(
                try binder.keep(ElementStep(
                    function: kernel, a: binder.floats(operands[0]), b: binder.floats(operands[operands.count - 1]), out: binder.floats(out),
                    axes: try binder.store(axes), axisCount: axes.count)))
        }
    }

    // MARK: Moves

    /// `out[i] = x[offset + i·strides]`, strides in elements.
    private mutating func lowerMove(_ node: Node, strides: [Int], offset: Int = 0) throws {
        let shape = try sizes(node.outputs[0])
        let (x, out) = (slot(reading: node.inputs[0]), slot(writing: node.outputs[0]))
        let outStrides = Strides.dense(shape)
        emitCopy(
            from: x, to: out, offset: offset, elementBytes: graph[node.inputs[0]].type.element.byteCount,
            shape.indices.map { (shape[$0], strides[$0], outStrides[$0]) })
    }

    private mutating func lowerConcat(_ node: Node, _ axis: Int) throws {
        let shape = try sizes(node.outputs[0])
        let parts = try node.inputs.map { (slot: slot(reading: $0), run: try sizes($0)[axis...].reduce(1, *)) }
        let out = slot(writing: node.outputs[0])
        let (outer, run) = (shape[..<axis].reduce(1, *), shape[axis...].reduce(1, *))
        var first = 0
        for (index, part) in parts.enumerated() {
            for later in parts[index...] { touch(later.slot) }
            touch(out)
            emitCopy(
                from: part.slot, to: out, outOffset: first, elementBytes: graph[node.outputs[0]].type.element.byteCount,
                [(outer, part.run, run), (part.run, 1, 1)])
            first += part.run
        }
    }

    // MARK: Products

    private mutating func lowerProduct(_ node: Node) throws {
        let (a, b, shape) = (try sizes(node.inputs[0]), try sizes(node.inputs[1]), try sizes(node.outputs[0]))
        let (m, k, n) = (a[a.count - 2], a[a.count - 1], b[b.count - 1])
        guard let kernel = ck_linear_find(CK_PANEL_F32, CK_ACT_F32, backend.isa, Int64(m))?.pointee.function else { throw noKernel(node) }
        let leading = Array(shape.dropLast(2))
        let axes = ElementStep.axes(of: leading, Array(a.dropLast(2)), Array(b.dropLast(2)))
        let offsets = (0..<leading.reduce(1, *)).map { index in
            var (rest, left, right) = (index, 0, 0)
            for axis in axes.reversed() {
                let (next, place) = rest.quotientAndRemainder(dividingBy: axis.size)
                left += place * axis.strideA
                right += place * axis.strideB
                rest = next
            }
            return (a: left * m * k, b: right * k * n)
        }
        let (left, right, out) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[1]), slot(writing: node.outputs[0]))
        emit(scratchBytes: { _ in ProductStep.scratchBytes(k: k) }) { binder in
            .product(
                try binder.keep(ProductStep(
                    kernel: kernel, a: binder.floats(left), b: binder.floats(right), out: binder.floats(out), m: m, n: n, k: k, batch: offsets.count,
                    offsets: try binder.store(offsets))))
        }
    }
}
