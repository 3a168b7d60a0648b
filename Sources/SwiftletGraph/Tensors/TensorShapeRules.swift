// Shape inference of the tensor operations. Sizes that a window, a slice or a reduction computes with must be numbers; others may be symbols.

extension TensorOp {
    /// The types of the outputs; throws as `Op.outputTypes`.
    func outputTypes(_ rule: ShapeRule) throws -> [ValueType] {
        switch self {
        case .matmul: return [try rule.matmul()]
        case .convolution(let convolution): return [try rule.convolution(convolution)]
        case .transposedConvolution(let convolution): return [try rule.transposedConvolution(convolution)]
        case .deformableConvolution(let convolution): return [try rule.deformableConvolution(convolution)]
        case .recurrent(let recurrent): return try rule.recurrent(recurrent)
        case .pool(let pool): return try rule.pool(pool)
        case .resize(let resize): return [try rule.resize(resize)]
        case .gridSample: return [try rule.gridSample()]
        case .roiAlign(let align): return [try rule.roiAlign(align)]
        case .select: return [try rule.select()]
        case .cast(let element, _):
            try rule.count(1)
            return [ValueType(element, rule.operands[0].shape)]
        case .bitcast(let element):
            try rule.count(1)
            try rule.require(element.byteCount == rule.operands[0].element.byteCount, "\(element) has another width")
            return [ValueType(element, rule.operands[0].shape)]
        case .quantize(let element): return [try rule.quantize(to: element)]
        case .dequantize(let element): return [try rule.dequantize(to: element)]
        case .quantizedConvolution(let convolution): return [try rule.quantizedConvolution(convolution)]
        case .quantizedLinear: return [try rule.quantizedLinear()]
        case .quantizedMean: return [try rule.quantizedMean()]
        case .quantizedSum:
            try rule.count(2)
            try rule.require(rule.operands[0].element == .u8 || rule.operands[0].element == .i8, "adds 8-bit numbers")
            try rule.require(rule.operands[0] == rule.operands[1], "the operands differ in type")
            return [rule.operands[0]]
        case .transpose(let permutation): return [try rule.transpose(permutation)]
        case .slice(let slice): return [try rule.slice(slice)]
        case .concat(let axis): return [try rule.concat(axis)]
        case .pad(let pad): return [try rule.pad(pad)]
        case .expand(let shape): return [try rule.expand(shape)]
        case .gather(let axis): return [try rule.gather(axis)]
        case .gatherElements(let axis): return [try rule.gatherElements(axis)]
        case .gatherND(let batchAxes): return [try rule.gatherND(batchAxes)]
        case .scatterElements(let axis, _): return [try rule.scatterElements(axis)]
        case .scatterND: return [try rule.scatterND()]
        case .reduce(_, let axes, let keepsAxes): return [try rule.reduce(axes, keepsAxes: keepsAxes)]
        case .argument(_, let axis, let keepsAxis, _):
            let type = try rule.reduce([axis], keepsAxes: keepsAxis)
            try rule.require(rule.operands[0].shape[axis].fixed != 0, "there is nothing along axis \(axis)")
            return [ValueType(.i64, type.shape)]
        case .topK(let k, let axis, _): return try rule.topK(k, axis)
        case .cumulative(let cumulative):
            try rule.count(1)
            try rule.axis(cumulative.axis)
            return [rule.operands[0]]
        }
    }
}

extension ShapeRule {
    // MARK: Shared checks

    func axis(_ axis: Int) throws {
        try require(operands[0].shape.indices.contains(axis), "the operand has no axis \(axis)")
    }

    func fixed(_ dimension: Dimension, _ what: String) throws -> Int {
        guard let size = dimension.fixed else { throw failure("\(what) is \(dimension), and must be a number") }
        return size
    }

    /// Operands that hold i32 or i64 indices.
    func anyIndices(_ index: Int) throws {
        try require(operands[index].element == .i32 || operands[index].element == .i64, "operand \(index) must hold i32 or i64 indices")
    }

    func sameElements(_ first: Int, _ second: Int) throws {
        try require(operands[first].element == operands[second].element, "operands \(first) and \(second) differ in element type")
    }

    /// The window suits `[n, c, space…]`, and its numbers are sane.
    private func window(_ window: Window) throws {
        let x = operands[0].shape
        let rank = window.rank
        try require(rank >= 1 && x.count == rank + 2, "needs [n, c] and \(rank) axes of space")
        let lists = [window.strides, window.dilations, window.low, window.high]
        try require(lists.allSatisfy { $0.count == rank }, "the window has \(rank) axes in one place and another number elsewhere")
        let small = 1...(1 << 30)
        try require(
            (window.kernel + window.strides + window.dilations).allSatisfy(small.contains), "kernel, strides and dilations must be positive")
        try require((window.low + window.high).allSatisfy { abs($0) <= 1 << 30 }, "the padding is absurd")
    }

    private func outputs(_ window: Window, roundsUp: Bool = false) throws -> [Dimension] {
        try window.kernel.indices.map { axis in
            let size = try fixed(operands[0].shape[axis + 2], "axis \(axis + 2)")
            guard let count = window.outputSize(axis, of: size, roundsUp: roundsUp) else {
                throw failure("a window of \(window.extent(axis)) does not fit on axis \(axis + 2)")
            }
            return Dimension(count)
        }
    }

    // MARK: Products

    func matmul() throws -> ValueType {
        try count(2)
        try sameElements(0, 1)
        let element = operands[0].element
        try require(element.isFloat || element == .i32 || element == .u32 || element == .i64 || element == .u64, "multiplies floats and 32- or 64-bit integers")
        let (a, b) = (operands[0].shape, operands[1].shape)
        try require(a.count >= 2 && b.count >= 2 && a[a.count - 1] == b[b.count - 2], "the inner sizes differ")
        let leading = try broadcast(Array(a.dropLast(2)), Array(b.dropLast(2)))
        return ValueType(element, leading + [a[a.count - 2], b[b.count - 1]])
    }

    func convolution(_ convolution: Convolution) throws -> ValueType {
        try count(convolution.inputCount)
        try float(0)
        try sameElements(0, 1)
        try window(convolution.window)
        let (x, weight) = (operands[0].shape, operands[1].shape)
        let groups = convolution.groups
        try require(weight.count == x.count, "the weight needs as many axes as x")
        let (channels, features) = (try fixed(x[1], "the channels of x"), try fixed(weight[0], "the outputs of the weight"))
        try require(
            groups > 0 && channels % groups == 0 && features % groups == 0 && weight[1] == Dimension(channels / groups),
            "\(channels) channels do not suit \(groups) groups of a weight \(operands[1])")
        try require(weight.dropFirst(2).elementsEqual(convolution.window.kernel.map { Dimension($0) }), "the weight is not the kernel's size")
        if convolution.hasBias { try require(operands[2].shape == [weight[0]], "the bias must have \(features) elements") }
        let type = ValueType(operands[0].element, [x[0], weight[0]] + (try outputs(convolution.window)))
        if convolution.hasResidual { try require(operands[operands.count - 1] == type, "the residual must have the output's type") }
        return type
    }

    func transposedConvolution(_ convolution: TransposedConvolution) throws -> ValueType {
        try count(convolution.hasBias ? 3 : 2)
        try float(0)
        try sameElements(0, 1)
        try window(convolution.window)
        let (x, weight) = (operands[0].shape, operands[1].shape)
        try require(weight.count == x.count && weight[0] == x[1], "the weight must be [c, m/groups, kernel…] with the channels of x")
        let channels = try fixed(x[1], "the channels of x")
        try require(convolution.groups > 0 && channels % convolution.groups == 0, "\(channels) channels do not suit \(convolution.groups) groups")
        try require(weight.dropFirst(2).elementsEqual(convolution.window.kernel.map { Dimension($0) }), "the weight is not the kernel's size")
        try require(
            convolution.outputPadding.count == convolution.window.rank && convolution.outputPadding.allSatisfy { $0 >= 0 && $0 <= 1 << 30 },
            "the output padding needs one number, 0 or more, an axis of space")
        let features = weight[1] * convolution.groups
        if convolution.hasBias { try require(operands[2].shape == [features], "the bias must have \(features) elements") }
        let space = try convolution.window.kernel.indices.map { axis in
            let size = try fixed(x[axis + 2], "axis \(axis + 2)")
            guard let count = convolution.outputSize(axis, of: size) else { throw failure("the output would have a negative size on axis \(axis + 2)") }
            return Dimension(count)
        }
        return ValueType(operands[0].element, [x[0], features] + space)
    }

    func deformableConvolution(_ convolution: DeformableConvolution) throws -> ValueType {
        try count(3 + (convolution.hasBias ? 1 : 0) + (convolution.hasMask ? 1 : 0))
        for index in operands.indices { try float(index) }
        try window(convolution.window)
        let (x, weight) = (operands[0].shape, operands[1].shape)
        try require(x.count == 4 && weight.count == 4, "needs images and kernels of two axes")
        let channels = try fixed(x[1], "the channels of x")
        try require(
            convolution.groups > 0 && convolution.offsetGroups > 0 && channels % convolution.groups == 0 && channels % convolution.offsetGroups == 0
                && weight[1] == Dimension(channels / convolution.groups)
                && weight.dropFirst(2).elementsEqual(convolution.window.kernel.map { Dimension($0) }),
            "weight, groups and channels do not suit each other")
        let space = try outputs(convolution.window)
        let taps = convolution.window.kernel.reduce(1, *) * convolution.offsetGroups
        try require(operands[2].shape == [x[0], Dimension(2 * taps)] + space, "the offsets must be [n, \(2 * taps), \(space[0]), \(space[1])]")
        if convolution.hasBias { try require(operands[3].shape == [weight[0]], "one bias an output is needed") }
        if convolution.hasMask {
            try require(operands[operands.count - 1].shape == [x[0], Dimension(taps)] + space, "the mask must be [n, \(taps), \(space[0]), \(space[1])]")
        }
        return ValueType(operands[0].element, [x[0], weight[0]] + space)
    }

    func recurrent(_ recurrent: Recurrent) throws -> [ValueType] {
        let places = recurrent.operands
        try count(places.count)
        let directions = Dimension(recurrent.direction.count), hidden = Dimension(recurrent.hidden)
        try require(recurrent.hidden > 0 && recurrent.hidden <= 1 << 24, "the hidden size is not sane")
        try require(
            recurrent.activations.count == recurrent.activationCount * recurrent.direction.count,
            "needs \(recurrent.activationCount) functions a direction")
        let x = operands[0].shape
        try require(x.count == 3, "x must be [t, n, inputs]")
        for index in operands.indices where index != places.lengths {
            try float(index)
            try sameElements(0, index)
        }
        let gates = hidden * recurrent.gateCount
        try require(operands[1].shape == [directions, gates, x[2]], "the input weights must be [\(directions), \(gates), \(x[2])]")
        try require(operands[2].shape == [directions, gates, hidden], "the recurrent weights must be [\(directions), \(gates), \(hidden)]")
        if let bias = places.bias { try require(operands[bias].shape == [directions, gates * 2], "the bias must be [\(directions), \(gates * 2)]") }
        if let lengths = places.lengths {
            try indices(lengths)
            try require(operands[lengths].shape == [x[1]], "one length a sequence is needed")
        }
        let state = [directions, x[1], hidden]
        for place in [places.hidden, places.cell].compactMap({ $0 }) {
            try require(operands[place].shape == state, "initial states must be [\(directions), \(x[1]), \(hidden)]")
        }
        if let peepholes = places.peepholes { try require(operands[peepholes].shape == [directions, hidden * 3], "peepholes must be [\(directions), \(hidden * 3)]") }
        let element = operands[0].element
        let results = [ValueType(element, [x[0], directions, x[1], hidden]), ValueType(element, state)]
        return recurrent.isLSTM ? results + [ValueType(element, state)] : results
    }

    // MARK: Windows and sampling

    func pool(_ pool: Pool) throws -> [ValueType] {
        try count(1)
        try window(pool.window)
        let type = ValueType(operands[0].element, Array(operands[0].shape.prefix(2)) + (try outputs(pool.window, roundsUp: pool.roundsUp)))
        switch pool.kind {
        case .maximum(let indices):
            try require(operands[0].element != .bool, "compares numbers")
            return indices ? [type, ValueType(.i64, type.shape)] : [type]
        case .average: try float(0)
        case .norm(let p):
            try float(0)
            try require(p >= 1, "the norm must be 1 or more")
        }
        return [type]
    }

    func resize(_ resize: Resize) throws -> ValueType {
        try count(1)
        let rank = operands[0].shape.count
        try require(resize.scales.count == rank && resize.sizes.count == rank, "scales and sizes need one entry an axis")
        try require(resize.scales.allSatisfy { $0.isFinite && $0 > 0 } && resize.sizes.allSatisfy { $0 >= 0 }, "scales must be positive")
        if case .cropAndResize(let starts, let ends, _) = resize.coordinates {
            try require(starts.count == rank && ends.count == rank, "the region needs a start and an end an axis")
        }
        for (axis, size) in resize.sizes.enumerated() where size > 0 {
            try require(operands[0].shape[axis].fixed != 0, "axis \(axis) has nothing to resize")
        }
        return ValueType(operands[0].element, resize.sizes.map { Dimension($0) })
    }

    func gridSample() throws -> ValueType {
        try count(2)
        try float(0)
        try float(1)
        let (x, grid) = (operands[0].shape, operands[1].shape)
        try require(
            x.count >= 3 && grid.count == x.count && grid[0] == x[0] && grid[grid.count - 1] == Dimension(x.count - 2),
            "the grid must be [n, out…, \(x.count - 2)]")
        return ValueType(operands[0].element, Array(x.prefix(2)) + grid.dropFirst().dropLast())
    }

    func roiAlign(_ align: RoiAlign) throws -> ValueType {
        try count(3)
        try float(0)
        try float(1)
        try anyIndices(2)
        try require(operands[0].shape.count == 4, "x must be [n, c, h, w]")
        let boxes = operands[1].shape
        try require(boxes.count == 2 && boxes[1] == 4 && operands[2].shape == [boxes[0]], "needs boxes [r, 4] and r batch indices")
        try require(align.height > 0 && align.width > 0 && align.samples >= 0, "the output must have a size")
        return ValueType(operands[0].element, [boxes[0], operands[0].shape[1], Dimension(align.height), Dimension(align.width)])
    }

    // MARK: Elements

    func select() throws -> ValueType {
        try count(3)
        try require(operands[0].element == .bool, "the condition must be bool")
        try sameElements(1, 2)
        return ValueType(operands[1].element, try broadcast(operands[0].shape, broadcast(operands[1].shape, operands[2].shape)))
    }

    /// Scale and zero point may not make the result larger.
    private func scales() throws {
        try count(2...3)
        try float(1)
        for index in 1..<operands.count {
            try require(try broadcast(operands[0].shape, operands[index].shape) == operands[0].shape, "operand \(index) does not broadcast to operand 0")
        }
    }

    func quantize(to element: DType) throws -> ValueType {
        try scales()
        try float(0)
        if operands.count == 3 { try require(operands[2].element == element, "the zero point must be \(element)") }
        return ValueType(element, operands[0].shape)
    }

    func dequantize(to element: DType) throws -> ValueType {
        try scales()
        try require(element.isFloat, "makes floats")
        if operands.count == 3 { try sameElements(0, 2) }
        return ValueType(element, operands[0].shape)
    }

    func quantizedConvolution(_ convolution: QuantizedConvolution) throws -> ValueType {
        try count(4)
        try require(operands[0].element == .u8 || operands[0].element == .i8, "x must hold 8-bit numbers")
        try require(operands[1].element == .i8 && operands[2].element == .i32 && operands[3].element == .f32, "needs i8 weights, i32 biases, f32 factors")
        // Everything about shapes is that of a float convolution.
        let floats = [ValueType(.f32, operands[0].shape), ValueType(.f32, operands[1].shape), ValueType(.f32, operands[2].shape)]
        let plain = Convolution(window: convolution.window, groups: convolution.groups, hasBias: true)
        let type = try ShapeRule(node: node, operands: floats).convolution(plain)
        try require(operands[3].shape == operands[2].shape, "one factor an output channel is needed")
        return ValueType(operands[0].element, type.shape)
    }

    func quantizedLinear() throws -> ValueType {
        try count(4)
        try require(operands[0].element == .u8 || operands[0].element == .i8, "x must hold 8-bit numbers")
        try require(operands[1].element == .i8 && operands[2].element == .i32 && operands[3].element == .f32, "needs i8 weights, i32 biases, f32 factors")
        let (x, weight) = (operands[0].shape, operands[1].shape)
        try require(weight.count == 2 && x.last == weight.last, "the weight must be [features, \(x.last.map { "\($0)" } ?? "columns of x")]")
        try require(operands[2].shape == [weight[0]] && operands[3].shape == [weight[0]], "one bias and one factor a feature are needed")
        return ValueType(operands[0].element, x.dropLast() + [weight[0]])
    }

    func quantizedMean() throws -> ValueType {
        try count(1)
        try require(operands[0].element == .u8 || operands[0].element == .i8, "x must hold 8-bit numbers")
        let shape = operands[0].shape
        try require(shape.count > 2, "x must be [n, c, space…]")
        for axis in 2..<shape.count { try require(try fixed(shape[axis], "axis \(axis)") > 0, "axis \(axis) is empty") }
        return ValueType(operands[0].element, shape.prefix(2) + shape.dropFirst(2).map { _ in 1 })
    }

    // MARK: Moves

    func transpose(_ permutation: [Int]) throws -> ValueType {
        try count(1)
        let shape = operands[0].shape
        try require(permutation.sorted() == Array(shape.indices), "\(permutation) is no permutation of \(shape.count) axes")
        return ValueType(operands[0].element, permutation.map { shape[$0] })
    }

    func slice(_ slice: Slice) throws -> ValueType {
        try count(1)
        let shape = operands[0].shape
        try require(
            slice.starts.count == shape.count && slice.sizes.count == shape.count && slice.steps.count == shape.count, "needs one entry an axis")
        let result = try shape.indices.map { axis in
            let (start, size, step) = (slice.starts[axis], slice.sizes[axis], slice.steps[axis])
            if start == 0, step == 1, shape[axis] == Dimension(size) { return shape[axis] }
            let length = try fixed(shape[axis], "axis \(axis)")
            try require(size >= 0 && step != 0, "the step is 0 or the size negative")
            if size > 0 {
                let (reach, overflow) = (size - 1).multipliedReportingOverflow(by: step)
                let (last, overflowLast) = start.addingReportingOverflow(reach)
                try require(
                    !overflow && !overflowLast && (0..<length).contains(start) && (0..<length).contains(last), "axis \(axis) is left by the slice")
            }
            return Dimension(size)
        }
        return ValueType(operands[0].element, result)
    }

    func concat(_ axis: Int) throws -> ValueType {
        try require(!operands.isEmpty, "needs an operand")
        try self.axis(axis)
        var shape = operands[0].shape
        for (index, operand) in operands.enumerated().dropFirst() {
            try sameElements(0, index)
            try require(operand.shape.count == shape.count, "operand \(index) has another rank")
            for other in shape.indices where other != axis { try require(operand.shape[other] == shape[other], "operand \(index) differs on axis \(other)") }
            shape[axis] = shape[axis] + operand.shape[axis]
        }
        return ValueType(operands[0].element, shape)
    }

    func pad(_ pad: Pad) throws -> ValueType {
        try count(1...2)
        let shape = operands[0].shape
        try require(pad.low.count == shape.count && pad.high.count == shape.count, "needs one entry an axis")
        if operands.count == 2 {
            try sameElements(0, 1)
            try require(operands[1].shape.allSatisfy { $0 == 1 }, "the value must be one element")
        }
        let result = try shape.indices.map { axis in
            let (low, high) = (pad.low[axis], pad.high[axis])
            if low == 0, high == 0 { return shape[axis] }
            try require(abs(low) <= 1 << 40 && abs(high) <= 1 << 40, "the padding is absurd")
            let length = try fixed(shape[axis], "axis \(axis)")
            try require(length + low + high >= 0, "more is cut from axis \(axis) than there is")
            switch pad.mode {
            case .constant: break
            case .edge, .wrap: try require(length > 0 || length + low + high == 0, "axis \(axis) has nothing to repeat")
            case .reflect: try require(length > 0 || length + low + high == 0, "axis \(axis) has nothing to mirror")
            }
            return Dimension(length + low + high)
        }
        return ValueType(operands[0].element, result)
    }

    func expand(_ shape: [Dimension]) throws -> ValueType {
        try count(1)
        try require(try broadcast(operands[0].shape, shape) == shape, "does not broadcast to the shape")
        return ValueType(operands[0].element, shape)
    }

    // MARK: Look-ups

    func gather(_ axis: Int) throws -> ValueType {
        try count(2)
        try self.axis(axis)
        try anyIndices(1)
        let shape = operands[0].shape
        return ValueType(operands[0].element, shape[..<axis] + operands[1].shape + shape[(axis + 1)...])
    }

    /// Indices of x's rank that are no longer than x on the axes they do not pick along.
    private func elementIndices(_ axis: Int) throws {
        try self.axis(axis)
        try anyIndices(1)
        let (shape, indices) = (operands[0].shape, operands[1].shape)
        try require(indices.count == shape.count, "the indices need the rank of x")
        for other in shape.indices where other != axis {
            if let have = shape[other].fixed, let want = indices[other].fixed { try require(want <= have, "the indices are longer than x on axis \(other)") }
        }
    }

    func gatherElements(_ axis: Int) throws -> ValueType {
        try count(2)
        try elementIndices(axis)
        return ValueType(operands[0].element, operands[1].shape)
    }

    func gatherND(_ batchAxes: Int) throws -> ValueType {
        try count(2)
        try anyIndices(1)
        let (shape, indices) = (operands[0].shape, operands[1].shape)
        try require(batchAxes >= 0 && batchAxes < indices.count && batchAxes <= shape.count, "there are no \(batchAxes) batch axes")
        try require(indices.prefix(batchAxes).elementsEqual(shape.prefix(batchAxes)), "the batch axes differ")
        let depth = try fixed(indices[indices.count - 1], "the last axis of the indices")
        try require(depth >= 1 && batchAxes + depth <= shape.count, "indices of \(depth) numbers do not suit x")
        return ValueType(operands[0].element, indices.dropLast() + shape[(batchAxes + depth)...])
    }

    func scatterElements(_ axis: Int) throws -> ValueType {
        try count(3)
        try elementIndices(axis)
        try sameElements(0, 2)
        try require(operands[2].shape == operands[1].shape, "one update an index is needed")
        return operands[0]
    }

    func scatterND() throws -> ValueType {
        try count(3)
        try anyIndices(1)
        try sameElements(0, 2)
        let (shape, indices) = (operands[0].shape, operands[1].shape)
        try require(!indices.isEmpty, "the indices need an axis")
        let depth = try fixed(indices[indices.count - 1], "the last axis of the indices")
        try require(depth >= 0 && depth <= shape.count, "indices of \(depth) numbers do not suit x")
        try require(operands[2].shape == indices.dropLast() + shape[depth...], "the updates must be \(indices.dropLast() + shape[depth...])")
        return operands[0]
    }

    // MARK: Along axes

    func reduce(_ axes: [Int], keepsAxes: Bool) throws -> ValueType {
        try count(1)
        for axis in axes { try self.axis(axis) }
        try require(Set(axes).count == axes.count, "an axis is named twice")
        let shape = operands[0].shape.enumerated().compactMap { index, dimension in axes.contains(index) ? (keepsAxes ? 1 : nil) : dimension }
        return ValueType(operands[0].element, shape)
    }

    func topK(_ k: Int, _ axis: Int) throws -> [ValueType] {
        try count(1)
        try self.axis(axis)
        var shape = operands[0].shape
        let length = try fixed(shape[axis], "axis \(axis)")
        try require(k >= 0 && k <= length, "\(k) of \(length) elements are wanted")
        shape[axis] = Dimension(k)
        return [ValueType(operands[0].element, shape), ValueType(.i64, shape)]
    }

    func broadcast(_ a: [Dimension], _ b: [Dimension]) throws -> [Dimension] {
        let rank = max(a.count, b.count)
        return try (0..<rank).map { axis in
            let left = axis + a.count - rank >= 0 ? a[axis + a.count - rank] : 1
            let right = axis + b.count - rank >= 0 ? b[axis + b.count - rank] : 1
            if left == right || right == 1 { return left }
            try require(left == 1, "shapes do not broadcast on axis \(axis)")
            return right
        }
    }
}
