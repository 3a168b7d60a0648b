// Lowering of quantised networks: u8 images, channels last, from where floats are rounded to where they come back.
import CKernels

extension CPULowering {
    /// What `lowerQuantized` takes.
    static func canLowerQuantized(_ op: TensorOp, _ node: Node, in graph: Graph) -> Bool {
        let types = node.inputs.map { graph[$0].type }
        func isComputed(_ index: Int) -> Bool { graph[node.inputs[index]].weight == nil }
        func isNumber(_ index: Int, _ format: WeightFormat) -> Bool {
            graph[node.inputs[index]].weight.map { $0.format == format && $0.shape.elementCount == 1 } ?? false
        }
        switch op {
        case .quantize(let element):
            return element == .u8 && types[0].element == .f32 && isComputed(0) && isNumber(1, .dense(.f32)) && (node.inputs.count == 2 || isNumber(2, .dense(.u8)))
        case .dequantize(let element):
            return element == .f32 && types[0].element == .u8 && isComputed(0) && isNumber(1, .dense(.f32))
                && (node.inputs.count == 2 || isNumber(2, .dense(.u8)))
        case .quantizedSum(let sum):
            return types[0].element == .u8 && isComputed(0) && isComputed(1) && [sum.zeroA, sum.zeroB, sum.zero].allSatisfy((0...255).contains)
        case .quantizedMean(let mean):
            guard types[0].element == .u8, isComputed(0), let input = ImageSize(types[0]) else { return false }
            return [mean.inputZero, mean.outputZero].allSatisfy((0...255).contains) && input.pixels <= 1 << 23
        case .quantizedLinear(let linear):
            guard types[0].element == .u8, isComputed(0), isProduct(node, in: graph) else { return false }
            guard (0...255).contains(linear.inputZero), (0...255).contains(linear.outputZero) else { return false }
            let columns = types[0].shape.last?.fixed ?? 0
            return columns > 0 && columns <= mostProducts && types[0].shape.allSatisfy { $0 != 0 } && types[1].shape[0] != 0
        case .quantizedConvolution(let convolution):
            guard types[0].element == .u8, isComputed(0), let input = ImageSize(types[0]), let output = ImageSize(graph[node.outputs[0]].type) else { return false }
            guard isProduct(node, in: graph) else { return false }
            // Kernels read a little beyond the last pixel, where only memory of our own may be.
            if input.isPlain, input.channels % 4 != 0 { return false }
            let inputs = input.channels / convolution.groups
            // Where a zero would be outside of u8 the file is not what a quantiser writes.
            guard (0...255).contains(convolution.inputZero), (0...255).contains(convolution.outputZero) else { return false }
            return inputs * convolution.window.kernel.reduce(1, *) <= mostProducts && output.channels > 0
        default: return false
        }
    }

    /// Products of the largest numbers, and a bias of 2²⁹, stay in 32 bits.
    private static var mostProducts: Int { 49_000 }

    /// Whether weight, bias and factor are constants as kernels take them.
    private static func isProduct(_ node: Node, in graph: Graph) -> Bool {
        let formats: [WeightFormat?] = [.dense(.i8), .dense(.i32), .dense(.f32)]
        return (1...3).map { graph[node.inputs[$0]].weight?.format } == formats
    }

    /// Lowers a node on u8 numbers; false for any other.
    mutating func lowerQuantized(_ node: Node) throws -> Bool {
        switch node.op {
        case .tensor(.quantize(.u8)): try lowerQuantize(node)
        case .tensor(.dequantize(.f32)) where graph[node.inputs[0]].type.element == .u8: try lowerDequantize(node)
        case .tensor(.quantizedSum(let sum)): try lower(sum, node)
        case .tensor(.quantizedMean(let mean)): try lower(mean, node)
        case .tensor(.quantizedLinear(let linear)): try lower(linear, node)
        case .tensor(.quantizedConvolution(let convolution)): try lower(convolution, node)
        default: return false
        }
        return true
    }

    // MARK: Single numbers

    private func scaleAndZero(_ node: Node) throws -> (scale: Float, zero: UInt8) {
        (try floats(node.inputs[1])[0], node.inputs.count > 2 ? UInt8(try floats(node.inputs[2])[0]) : 0)
    }

    private mutating func lowerQuantize(_ node: Node) throws {
        let x = node.inputs[0]
        let (scale, zero) = try scaleAndZero(node)
        // Planes of a picture come as the network has them, and go on channels last.
        if !liesAsImage(x), let size = imageSize(x), !size.isPlain, size.channels <= Int(CK_LEVELS_PLANES) {
            let from = slot(reading: x), to = slot(writingImage: node.outputs[0])
            return try emitLevels(.quantizePlanes(scale: scale, zero: zero, planes: size.channels, pixels: size.pixels), node, from, from, to)
        }
        let (from, to) = slotsInAnyOrder(node)
        try emitLevels(.quantize(scale: scale, zero: zero), node, from, from, to)
    }

    private mutating func lowerDequantize(_ node: Node) throws {
        let (scale, zero) = try scaleAndZero(node), (from, to) = slotsInAnyOrder(node)
        try emitLevels(.dequantize(scale: scale, zero: zero), node, from, from, to)
    }

    private mutating func lower(_ sum: QuantizedSum, _ node: Node) throws {
        let asImage = imageSize(node.outputs[0])?.isPlain == false
        for input in node.inputs { if asImage { prepareImage(input) } else { preparePlain(input) } }
        let operands = node.inputs.map { asImage ? slot(readingImage: $0) : slot(reading: $0) }
        let to = asImage ? slot(writingImage: node.outputs[0], inPlace: node.inputs[0]) : slot(writing: node.outputs[0])
        let form = ck_levels_sum(
            zero_a: UInt8(sum.zeroA), zero_b: UInt8(sum.zeroB), factor_a: sum.factorA, factor_b: sum.factorB, zero: UInt8(sum.zero),
            low: UInt8(sum.range.lowerBound), high: UInt8(sum.range.upperBound))
        try emitLevels(.sum(form), node, operands[0], operands[1], to)
    }

    private mutating func lower(_ mean: QuantizedMean, _ node: Node) throws {
        guard let input = imageSize(node.inputs[0]) else { throw noKernel(node) }
        prepareImage(node.inputs[0])
        let form = ck_levels_mean(
            pixels: Int64(input.pixels), pixel_stride: Int64(input.channels), channels: Int64(input.channels), zero_x: UInt8(mean.inputZero),
            factor: mean.factor, zero: UInt8(mean.outputZero), low: UInt8(mean.range.lowerBound), high: UInt8(mean.range.upperBound))
        let from = slot(readingImage: node.inputs[0])
        let to = slot(writingImage: node.outputs[0])
        try emitLevels(.mean(form), node, from, from, to)
    }

    private mutating func emitLevels(_ function: LevelStep.Function, _ node: Node, _ a: SlotID, _ b: SlotID, _ out: SlotID) throws {
        guard let set = ck_levels_find(backend.isa) else { throw noKernel(node) }
        let count = try sizes(node.inputs[0]).reduce(1, *)
        emit { binder in .levels(try binder.keep(LevelStep(set: set, function: function, a: binder.raw(a), b: binder.raw(b), out: binder.raw(out), count: count))) }
    }

    // MARK: Products

    private func quantizedKernels(_ node: Node) throws -> ck_conv_u8_set {
        guard let set = ck_conv_u8_find(backend.isa)?.pointee else { throw noKernel(node) }
        return set
    }

    /// Packs the weights of `groups` products, which are the node's operands 1 and 2. Returns the panels, and the bytes of a group's.
    private mutating func packQuantized(_ node: Node, _ weights: ck_conv_u8_weights, groups: Int) throws -> (UnsafeRawPointer, Int) {
        var call = weights
        let bytes = ck_conv_u8_packed_bytes(&call)
        let (outputs, inputs, height, width) = (
            Int(call.output_channels), Int(call.input_channels), Int(call.kernel_height), Int(call.kernel_width)
        )
        let bias = try constant(node.inputs[2])
        let numbers = bias.store.withBytes { raw in (0..<outputs * groups).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) } }
        let form = PackedConstants.Form.quantizedConvolution(
            outputs: outputs, inputs: inputs, height: height, width: width, groups: groups, depthwise: call.depthwise, zero: call.input_zero, bias: numbers)
        let panels = try packed(node.inputs[1], form, partBytes: bytes, parts: groups) { source, group, target in
            numbers.withUnsafeBufferPointer { numbers in
                call.values = source.assumingMemoryBound(to: Int8.self) + group * outputs * inputs * height * width
                call.bias = numbers.baseAddress.map { $0 + group * outputs }
                ck_conv_u8_pack(&call, target)
            }
        }
        return (panels, bytes)
    }

    /// Rows are pixels: the last axis of a tensor as the graph has it is the channels.
    private mutating func lower(_ linear: QuantizedLinear, _ node: Node) throws {
        let set = try quantizedKernels(node)
        let matrix = try sizes(node.inputs[1])
        let (features, columns) = (matrix[0], matrix[1])
        let rows = try sizes(node.inputs[0]).dropLast().reduce(1, *)
        guard let kernel = set.dense else { throw noKernel(node) }
        preparePlain(node.inputs[0])
        var form = ck_conv_u8_weights()
        (form.output_channels, form.input_channels, form.kernel_height, form.kernel_width) = (Int64(features), Int64(columns), 1, 1)
        form.input_zero = UInt8(linear.inputZero)
        let (panels, bytes) = try packQuantized(node, form, groups: 1)
        var shape = ck_conv_shape()
        (shape.input_height, shape.input_width, shape.output_height, shape.output_width) = (1, Int64(rows), 1, Int64(rows))
        (shape.kernel_height, shape.kernel_width, shape.stride_height, shape.stride_width) = (1, 1, 1, 1)
        (shape.dilation_height, shape.dilation_width) = (1, 1)
        (shape.input_channels, shape.output_channels) = (Int64(columns), Int64(features))
        let cut = WindowCut(
            pixels: rows, channels: features, pixelTile: Int(set.pixel_tile), panelTile: Int(set.panel_tile),
            multiplyAccumulates: rows * features * columns / 3, threads: pool.threadCount, weightBytes: bytes, inputBytes: rows * columns)
        var x = slot(reading: node.inputs[0])
        if columns % 4 != 0 {
            // Kernels read a little beyond the last row, where only memory of our own may be.
            let own = temporary(byteCount: { _ in rows * columns + 3 })
            emitCopy(from: x, to: own, elementBytes: 1, [(rows * columns, 1, 1)])
            touch(own)
            x = own
        }
        let out = slot(writing: node.outputs[0])
        try emitProduct(
            node, shape, panels, x: x, out: out, strides: (columns, features), zeros: (linear.inputZero, linear.outputZero), range: linear.range
        ) { args in
            QuantizedWindowStep(
                kernel: kernel, args: args, images: 1, groups: 1, inputStride: 0, outputStride: 0, groupInputs: columns, groupOutputs: features,
                groupPanelBytes: bytes, cut: cut)
        }
    }

    private mutating func lower(_ convolution: QuantizedConvolution, _ node: Node) throws {
        guard let input = imageSize(node.inputs[0]), let output = imageSize(node.outputs[0]) else { throw noKernel(node) }
        let set = try quantizedKernels(node)
        prepareImage(node.inputs[0])
        let groups = convolution.groups
        let (inputs, outputs) = (input.channels / groups, output.channels / groups)
        let isDepthwise = inputs == 1 && outputs == 1
        guard let kernel = isDepthwise ? set.depthwise : set.dense else { throw noKernel(node) }
        let channels = isDepthwise ? output.channels : outputs
        let taps = convolution.window.kernel.reduce(1, *)
        let (height, width) = convolution.window.rank == 1 ? (1, taps) : (convolution.window.kernel[0], convolution.window.kernel[1])
        var form = ck_conv_u8_weights()
        (form.output_channels, form.input_channels) = (Int64(channels), Int64(isDepthwise ? 1 : inputs))
        (form.kernel_height, form.kernel_width) = (Int64(height), Int64(width))
        (form.input_zero, form.depthwise) = (UInt8(convolution.inputZero), isDepthwise)
        let callGroups = isDepthwise ? 1 : groups
        let (panels, bytes) = try packQuantized(node, form, groups: callGroups)
        let geometry = Self.shape(convolution.window, from: input, to: output, inputs: isDepthwise ? output.channels : inputs, outputs: channels)
        let cut = WindowCut(
            pixels: output.pixels, channels: channels,
            // Depthwise kernels go along rows, two at a time.
            pixelTile: isDepthwise ? 2 * output.width : Int(set.pixel_tile), panelTile: Int(isDepthwise ? set.depthwise_panel_tile : set.panel_tile),
            multiplyAccumulates: output.pixels * channels * taps * (isDepthwise ? 3 : inputs) / 3, threads: pool.threadCount,
            weightBytes: isDepthwise ? 0 : bytes, inputBytes: isDepthwise ? 0 : input.pixels * inputs)
        let x = slot(readingImage: node.inputs[0])
        let out = slot(writingImage: node.outputs[0])
        try emitProduct(
            node, geometry, panels, x: x, out: out, strides: (input.channels, output.channels), zeros: (convolution.inputZero, convolution.outputZero),
            range: convolution.range
        ) { args in
            QuantizedWindowStep(
                kernel: kernel, args: args, images: input.count, groups: callGroups, inputStride: input.elements, outputStride: output.elements,
                groupInputs: inputs, groupOutputs: outputs, groupPanelBytes: bytes, cut: cut)
        }
    }

    /// `strides`: bytes from pixel to pixel. `step` is made of the call for all pixels and panels.
    private mutating func emitProduct(
        _ node: Node, _ shape: ck_conv_shape, _ panels: UnsafeRawPointer, x: SlotID, out: SlotID, strides: (input: Int, output: Int),
        zeros: (input: Int, output: Int), range: ClosedRange<Int>, step: @escaping (UnsafePointer<ck_conv_u8_args>) -> QuantizedWindowStep
    ) throws {
        let factors = try vector(floats(node.inputs[3]))
        emit { binder in
            var args = ck_conv_u8_args()
            args.shape = shape
            args.input = UnsafePointer(binder.raw(x).assumingMemoryBound(to: UInt8.self))
            args.input_pixel_stride = Int64(strides.input)
            args.panels = panels
            args.input_zero = UInt8(zeros.input)
            args.factor = factors
            (args.output_zero, args.low, args.high) = (UInt8(zeros.output), UInt8(range.lowerBound), UInt8(range.upperBound))
            args.output = binder.raw(out).assumingMemoryBound(to: UInt8.self)
            args.output_pixel_stride = Int64(strides.output)
            return .quantizedWindow(try binder.keep(step(try binder.store([args]))))
        }
    }
}
