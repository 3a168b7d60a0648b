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
        case .quantizedSum: return types[0].element == .u8 && isComputed(0) && isComputed(1)
        case .quantizedConvolution(let convolution):
            guard types[0].element == .u8, isComputed(0), let input = ImageSize(types[0]), let output = ImageSize(graph[node.outputs[0]].type) else { return false }
            let formats: [WeightFormat?] = [.dense(.i8), .dense(.i32), .dense(.f32)]
            guard (1...3).map({ graph[node.inputs[$0]].weight?.format }) == formats else { return false }
            // Kernels read a little beyond the last pixel, where only memory of our own may be.
            if input.isPlain, input.channels % 4 != 0 { return false }
            let inputs = input.channels / convolution.groups
            // Where a zero would be outside of u8 the file is not what a quantiser writes.
            guard (0...255).contains(convolution.inputZero), (0...255).contains(convolution.outputZero) else { return false }
            // Products of the largest numbers, and a bias of 2²⁹, stay in 32 bits.
            return inputs * convolution.window.kernel.reduce(1, *) <= 49_000 && output.channels > 0
        default: return false
        }
    }

    /// Lowers a node on u8 numbers; false for any other.
    mutating func lowerQuantized(_ node: Node) throws -> Bool {
        switch node.op {
        case .tensor(.quantize(.u8)): try lowerLevels(node, asImage: imageSize(node.inputs[0])?.isPlain == false) { .quantize(scale: $0, zero: $1) }
        case .tensor(.dequantize(.f32)) where graph[node.inputs[0]].type.element == .u8:
            try lowerLevels(node, asImage: liesAsImage(node.inputs[0])) { .dequantize(scale: $0, zero: $1) }
        case .tensor(.quantizedSum(let sum)): try lower(sum, node)
        case .tensor(.quantizedConvolution(let convolution)): try lower(convolution, node)
        default: return false
        }
        return true
    }

    private mutating func lowerLevels(_ node: Node, asImage: Bool, _ function: (Float, Float) -> LevelStep.Function) throws {
        let x = node.inputs[0]
        if asImage { prepareImage(x) } else { preparePlain(x) }
        let scale = try floats(node.inputs[1])[0]
        let zero = node.inputs.count > 2 ? try floats(node.inputs[2])[0] : 0
        let from = asImage ? slot(readingImage: x) : slot(reading: x)
        let to = asImage ? slot(writingImage: node.outputs[0]) : slot(writing: node.outputs[0])
        try emitLevels(function(scale, zero), from, from, to, of: node.outputs[0])
    }

    private mutating func lower(_ sum: QuantizedSum, _ node: Node) throws {
        let asImage = imageSize(node.outputs[0])?.isPlain == false
        for input in node.inputs { if asImage { prepareImage(input) } else { preparePlain(input) } }
        let operands = node.inputs.map { asImage ? slot(readingImage: $0) : slot(reading: $0) }
        let to = asImage ? slot(writingImage: node.outputs[0], inPlace: node.inputs[0]) : slot(writing: node.outputs[0])
        try emitLevels(.sum(sum), operands[0], operands[1], to, of: node.outputs[0])
    }

    private mutating func emitLevels(_ function: LevelStep.Function, _ a: SlotID, _ b: SlotID, _ out: SlotID, of value: ValueID) throws {
        let count = try sizes(value).reduce(1, *)
        emit { binder in .levels(LevelStep(function: function, a: binder.raw(a), b: binder.raw(b), out: binder.raw(out), count: count)) }
    }

    private mutating func lower(_ convolution: QuantizedConvolution, _ node: Node) throws {
        guard let input = imageSize(node.inputs[0]), let output = imageSize(node.outputs[0]), let bias = graph[node.inputs[2]].weight,
            let set = ck_conv_u8_find(backend.isa)?.pointee
        else { throw noKernel(node) }
        prepareImage(node.inputs[0])
        let groups = convolution.groups
        let (inputs, outputs) = (input.channels / groups, output.channels / groups)
        let isDepthwise = inputs == 1 && outputs == 1
        guard let kernel = isDepthwise ? set.depthwise : set.dense else { throw noKernel(node) }
        let channels = isDepthwise ? output.channels : outputs
        let taps = convolution.window.kernel.reduce(1, *)
        let (height, width) = convolution.window.rank == 1 ? (1, taps) : (convolution.window.kernel[0], convolution.window.kernel[1])
        let callGroups = isDepthwise ? 1 : groups

        var call = ck_conv_u8_weights()
        (call.output_channels, call.input_channels) = (Int64(channels), Int64(isDepthwise ? 1 : inputs))
        (call.kernel_height, call.kernel_width) = (Int64(height), Int64(width))
        (call.input_zero, call.depthwise) = (UInt8(convolution.inputZero), isDepthwise)
        let bytes = ck_conv_u8_packed_bytes(&call)
        let numbers = bias.store.withBytes { raw in (0..<output.channels).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) } }
        let form = PackedConstants.Form.quantizedConvolution(
            outputs: channels, inputs: isDepthwise ? 1 : inputs, height: height, width: width, groups: callGroups, depthwise: isDepthwise,
            zero: UInt8(convolution.inputZero), bias: numbers)
        let panels = try packed(node.inputs[1], form, partBytes: bytes, parts: callGroups) { source, group, target in
            numbers.withUnsafeBufferPointer { numbers in
                call.values = source.assumingMemoryBound(to: Int8.self) + group * channels * (isDepthwise ? 1 : inputs) * taps
                call.bias = numbers.baseAddress.map { $0 + group * channels }
                ck_conv_u8_pack(&call, target)
            }
        }
        let factors = try vector(floats(node.inputs[3]))

        let x = slot(readingImage: node.inputs[0])
        let out = slot(writingImage: node.outputs[0])
        let geometry = shape(convolution.window, from: input, to: output, inputs: isDepthwise ? output.channels : inputs, outputs: channels)
        let cut = WindowCut(
            pixels: output.pixels, channels: channels, pixelTile: Int(isDepthwise ? 1 : set.pixel_tile),
            panelTile: Int(isDepthwise ? 1 : set.panel_tile), multiplyAccumulates: output.pixels * channels * taps * (isDepthwise ? 4 : inputs) / 3,
            threads: pool.threadCount)
        emit { binder in
            var args = ck_conv_u8_args()
            args.shape = geometry
            args.input = UnsafePointer(binder.raw(x).assumingMemoryBound(to: UInt8.self))
            args.input_pixel_stride = Int64(input.channels)
            args.panels = panels
            args.input_zero = UInt8(convolution.inputZero)
            args.factor = factors
            (args.output_zero, args.low, args.high) = (
                UInt8(convolution.outputZero), UInt8(convolution.range.lowerBound), UInt8(convolution.range.upperBound)
            )
            args.output = binder.raw(out).assumingMemoryBound(to: UInt8.self)
            args.output_pixel_stride = Int64(output.channels)
            return .quantizedWindow(
                QuantizedWindowStep(
                    kernel: kernel, args: try binder.store([args]), images: input.count, groups: callGroups, inputStride: input.elements,
                    outputStride: output.elements, groupInputs: inputs, groupOutputs: outputs, groupPanelBytes: bytes, cut: cut))
        }
    }
}
