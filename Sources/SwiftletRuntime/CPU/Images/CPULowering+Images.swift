// Lowering of what works on images, channels last: convolutions and pooling always, elementwise operations and joins where their operands lie so.
import CKernels

extension CPULowering {
    /// Lowers `node` channels last if that is how it should run. False when it is for the plain lowering.
    mutating func lowerImages(_ node: Node, _ vector: VectorKernels) throws -> Bool {
        switch node.op {
        case .tensor(.convolution(let convolution)): try lower(convolution, node)
        case .tensor(.transposedConvolution(let convolution)): try lower(convolution, node)
        case .tensor(.pool(let pool)): try lower(pool, node)
        case .tensor(.resize(let resize)): try lower(resize, node)
        case .tensor(.concat(axis: 1)):
            guard node.inputs.contains(where: liesAsImage), imageSize(node.outputs[0]) != nil else { return false }
            lowerImageConcat(node)
        case .tensor(.reduce(.mean, let axes, keepsAxes: true)):
            guard liesAsImage(node.inputs[0]) || graph[node.inputs[0]].type.element == .bf16 else { return false }
            let shape = try sizes(node.inputs[0])
            guard axes == Array(2..<shape.count) else { return false }
            try lower(Pool(kind: .average(countsPadding: false), window: Window(kernel: Array(shape.dropFirst(2)))), node)
        case .tensor(.cast(_, saturates: _)): try lowerCast(node, vector)
        case .tensor(.transpose([0, 2, 3, 1])):
            guard let image = imageSlots[node.inputs[0]], !partition.outputs.contains(root(node.outputs[0])) else { return false }
            // The result is what lies there already.
            touch(image)
            slotOfValue[node.outputs[0]] = image
        case .unary(let function):
            if graph[node.inputs[0]].type.element == .bf16 {
                try lowerPixels(node.inputs[0], node, epilogue: epilogue(bias: nil, function, node))
                return true
            }
            guard liesAsImage(node.inputs[0]) else { return false }
            lowerImageElements(.unary(function), node, vector)
        case .binary(let function): return try lowerImages(function, node, vector)
        default: return try lowerQuantized(node)
        }
        return true
    }

    // MARK: Windows

    /// The kernels' name for a function, with its parameters; nil when it is none that they know.
    static func activation(_ function: Unary) -> (kind: ck_conv_activation, alpha: Float, beta: Float)? {
        switch function {
        case .relu: (CK_CONV_RELU, 0, 0)
        case .clip(let low, let high): (CK_CONV_CLIP, low, high)
        case .leakyRelu(let slope): (CK_CONV_LEAKY_RELU, slope, 0)
        case .hardSigmoid(let alpha, let beta): (CK_CONV_HARD_SIGMOID, alpha, beta)
        case .hardSwish: (CK_CONV_HARD_SWISH, 0, 0)
        case .sigmoid: (CK_CONV_SIGMOID, 0, 0)
        case .silu, .swish(1): (CK_CONV_SILU, 0, 0)
        case .tanh: (CK_CONV_TANH, 0, 0)
        case .gelu: (CK_CONV_GELU, 0, 0)
        case .geluTanh: (CK_CONV_GELU_TANH, 0, 0)
        default: nil
        }
    }

    /// What one call of a window kernel is made of, before addresses are known.
    struct LoweredWindow {
        let kernel: WindowStep.Kernel
        let shape: ck_conv_shape
        var groups = 1
        let x, out: SlotID
        /// The whole images.
        let input, output: ImageSize
        var panels: UnsafeRawPointer?
        var groupPanelBytes = 0
        var epilogue = ck_conv_epilogue()
        var residual: SlotID?
        var factor: SlotID?
        var countsPadding = false
        let cut: WindowCut

        /// The call for all pixels and panels of the first image; without a binder, or what it is not to read or write, without addresses.
        func args(_ binder: StepBinder?, readsInput: Bool, writesOutput: Bool) -> ck_conv_args {
            var args = ck_conv_args()
            args.shape = shape
            args.input_pixel_stride = Int64(input.channels)
            args.panels = panels
            args.output_pixel_stride = Int64(output.channels)
            args.epilogue = epilogue
            args.average_counts_padding = countsPadding
            guard let binder else { return args }
            if readsInput { args.input = UnsafeRawPointer(binder.raw(x)) }
            if writesOutput { args.output = binder.raw(out) }
            if let residual {
                args.epilogue.residual = UnsafeRawPointer(binder.raw(residual))
                args.epilogue.residual_pixel_stride = Int64(output.channels)
            }
            if let factor { args.epilogue.factor = UnsafePointer(binder.floats(factor)) }
            return args
        }
    }

    /// A window step that what follows can still ride on.
    final class OpenWindow {
        var window: LoweredWindow
        init(_ window: LoweredWindow) { self.window = window }
    }

    /// `result`: the value that the step makes, when what follows may ride on it.
    private mutating func emit(_ window: LoweredWindow, result: ValueID? = nil) {
        let open = OpenWindow(window)
        windowSteps[steps.count] = open
        lastWindow = result.map { (open, $0, steps.count) }
        let scratchBytes = window.kernel.scratchBytes
        emit(scratchBytes: { _ in scratchBytes }) { binder in
            let window = open.window
            let args = window.args(binder, readsInput: true, writesOutput: true)
            return .window(
                try binder.keep(WindowStep(
                    kernel: window.kernel, args: try binder.store([args]), images: window.input.count, groups: window.groups,
                    elementBytes: window.input.elementBytes, inputStride: window.input.elements, outputStride: window.output.elements, residualStride: window.output.elements,
                    factorStride: window.factor == nil ? 0 : window.output.channels, groupInputs: Int(window.shape.input_channels),
                    groupOutputs: Int(window.shape.output_channels), groupPanelBytes: window.groupPanelBytes, cut: window.cut)))
        }
    }

    /// The kernels for images of `element`.
    private func convolutionKernels(_ element: DType = .f32) throws -> ck_conv_set {
        guard let set = element == .bf16 ? ck_conv_bf16_find(backend.isa) : ck_conv_find(backend.isa) else {
            throw SwiftletError.unsupported(file: "kernels", place: "convolution", reason: "no kernels are in this build", remedy: "Rebuild the package.")
        }
        return set.pointee
    }

    /// A kernel function that is there, or an error.
    private func required(_ kernel: ck_conv_function?) throws -> WindowKernel {
        guard let kernel else {
            throw SwiftletError.unsupported(file: "kernels", place: "convolution", reason: "a kernel is missing from this build", remedy: "Rebuild the package.")
        }
        return kernel
    }

    /// The window as the kernels have it; one axis of space is the width of images of one row.
    static func shape(_ window: Window, from input: ImageSize, to output: ImageSize, inputs: Int, outputs: Int) -> ck_conv_shape {
        let isRow = window.rank == 1
        func pair(_ values: [Int], _ missing: Int) -> (Int64, Int64) { isRow ? (Int64(missing), Int64(values[0])) : (Int64(values[0]), Int64(values[1])) }
        var shape = ck_conv_shape()
        (shape.input_height, shape.input_width) = (Int64(input.height), Int64(input.width))
        (shape.output_height, shape.output_width) = (Int64(output.height), Int64(output.width))
        (shape.kernel_height, shape.kernel_width) = pair(window.kernel, 1)
        (shape.stride_height, shape.stride_width) = pair(window.strides, 1)
        (shape.dilation_height, shape.dilation_width) = pair(window.dilations, 1)
        (shape.pad_top, shape.pad_left) = pair(window.low, 0)
        (shape.pad_bottom, shape.pad_right) = pair(window.high, 0)
        (shape.input_channels, shape.output_channels) = (Int64(inputs), Int64(outputs))
        return shape
    }

    /// Packs `groups` matrices of weights `[outputs, inputs, taps]`, f32 or bf16; returns the panels and the bytes from one group's to the next.
    private mutating func pack(
        _ value: ValueID, outputs: Int, inputs: Int, taps: Int, groups: Int, as panels: PackedConstants.ConvolutionPanels
    ) throws -> (UnsafeRawPointer, Int) {
        let (rows, columns, depth) = (Int64(outputs), Int64(inputs), Int64(taps))
        let bytes =
            switch panels {
            case .floats: ck_conv_packed_bytes(rows, columns, depth)
            case .winograd: ck_winograd_packed_bytes(rows, columns)
            case .pairs: ck_conv_bf16_packed_bytes(rows, columns, depth)
            }
        let form = PackedConstants.Form.convolution(outputs: outputs, inputs: inputs, taps: taps, groups: groups, panels: panels)
        let count = outputs * inputs * taps
        let isNarrow = graph[value].type.element == .bf16
        let packed = try packed(value, form, partBytes: bytes, parts: groups) { source, group, target in
            let widened = isNarrow ? (group * count..<(group + 1) * count).map { ck_bfloat_to_float(source.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) } : []
            widened.withUnsafeBufferPointer { widened in
                var call = ck_conv_weights()
                call.values = isNarrow ? widened.baseAddress : source.assumingMemoryBound(to: Float.self) + group * count
                (call.output_channels, call.input_channels, call.taps) = (rows, columns, depth)
                (call.output_stride, call.input_stride, call.tap_stride) = (Int64(inputs * taps), depth, 1)
                switch panels {
                case .floats: ck_conv_pack(&call, target.assumingMemoryBound(to: Float.self))
                case .winograd: ck_winograd_pack(&call, target.assumingMemoryBound(to: Float.self))
                case .pairs: ck_conv_bf16_pack(&call, target.assumingMemoryBound(to: UInt16.self))
                }
            }
        }
        return (packed, bytes)
    }

    /// Packs the weights of a transposed convolution, `[inputs, features, taps]`, as those of a 1 × 1 one with outputs in the order (tap, feature).
    private mutating func packTransposed(_ value: ValueID, inputs: Int, features: Int, taps: Int) throws -> UnsafeRawPointer {
        let outputs = taps * features
        let form = PackedConstants.Form.transposedConvolution(outputs: outputs, inputs: inputs, taps: taps)
        let panels = try packed(value, form, partBytes: ck_conv_packed_bytes(Int64(outputs), Int64(inputs), 1)) { source, _, target in
            let source = source.assumingMemoryBound(to: Float.self)
            var ordered = [Float](repeating: 0, count: outputs * inputs)
            for channel in 0..<inputs {
                for feature in 0..<features {
                    for tap in 0..<taps { ordered[(tap * features + feature) * inputs + channel] = source[(channel * features + feature) * taps + tap] }
                }
            }
            ordered.withUnsafeBufferPointer { values in
                var call = ck_conv_weights()
                call.values = values.baseAddress
                (call.output_channels, call.input_channels, call.taps) = (Int64(outputs), Int64(inputs), 1)
                (call.output_stride, call.input_stride, call.tap_stride) = (Int64(inputs), 1, 1)
                ck_conv_pack(&call, target.assumingMemoryBound(to: Float.self))
            }
        }
        return panels
    }

    /// What rides on a convolution from the start.
    private mutating func epilogue(bias: [Float]?, _ function: Unary?, _ node: Node) throws -> ck_conv_epilogue {
        var epilogue = ck_conv_epilogue()
        if let bias { epilogue.bias = try vector(bias) }
        if let function {
            guard let (kind, alpha, beta) = Self.activation(function) else { throw noKernel(node) }
            (epilogue.activation, epilogue.alpha, epilogue.beta) = (kind, alpha, beta)
        }
        return epilogue
    }

    private mutating func lower(_ convolution: Convolution, _ node: Node) throws {
        guard let input = imageSize(node.inputs[0]), let output = imageSize(node.outputs[0]) else { throw noKernel(node) }
        let element = graph[node.inputs[0]].type.element
        let set = try convolutionKernels(element)
        let residualValue = convolution.hasResidual ? node.inputs.last : nil
        prepareImage(node.inputs[0])
        if let residualValue { prepareImage(residualValue) }
        let taps = convolution.window.kernel.reduce(1, *)
        let (inputs, outputs) = (input.channels / convolution.groups, output.channels / convolution.groups)
        let isDepthwise = inputs == 1 && outputs == 1
        let channels = isDepthwise ? output.channels : outputs
        let geometry = Self.shape(convolution.window, from: input, to: output, inputs: isDepthwise ? output.channels : inputs, outputs: channels)
        let winograd = isDepthwise ? nil : withUnsafePointer(to: geometry) { ck_winograd_pays($0) } ? set.winograd : nil
        let sparse = convolution.groups == 1 && element == .f32 ? try sparsePointwise(node.inputs[1], geometry) : nil
        let (panels, groupPanelBytes) =
            if let sparse { (sparse.panels, 0) }
            else if isDepthwise { try pack(node.inputs[1], outputs: output.channels, inputs: 1, taps: taps, groups: 1, as: .floats) }
            else {
                try pack(
                    node.inputs[1], outputs: outputs, inputs: inputs, taps: taps, groups: convolution.groups,
                    as: element == .bf16 ? .pairs : winograd == nil ? .floats : .winograd)
            }
        var epilogue = try epilogue(bias: convolution.hasBias ? floats(node.inputs[2]) : nil, convolution.activation, node)
        epilogue.residual_first = convolution.addsResidualFirst
        let x = slot(readingImage: node.inputs[0])
        let residual = residualValue.map { slot(readingImage: $0) }
        let out = slot(writingImage: node.outputs[0])
        let tile = Int(CK_WINOGRAD_TILE)
        let tiles = (output.height + tile - 1) / tile * ((output.width + tile - 1) / tile)
        emit(
            LoweredWindow(
                kernel: try sparse?.kernel ?? winograd.map { .scratch($0, bytes: ck_winograd_scratch_bytes(Int64(channels), Int64(inputs))) }
                    ?? .plain(required(isDepthwise ? set.depthwise : set.dense)),
                shape: geometry, groups: isDepthwise ? 1 : convolution.groups, x: x, out: out, input: input, output: output, panels: panels,
                groupPanelBytes: groupPanelBytes, epilogue: epilogue, residual: residual,
                cut: sparse?.cut ?? WindowCut(
                    pixels: winograd == nil ? output.pixels : tiles, channels: channels,
                    pixelTile: isDepthwise ? Self.depthwiseRun(output.width) : winograd != nil ? 1 : Int(set.pixel_tile),
                    panelTile: Int(isDepthwise ? 1 : set.panel_tile),
                    // Depthwise sums reuse little: a product is worth several of a dense one.
                    multiplyAccumulates: output.pixels * channels * taps * (isDepthwise ? 4 : inputs), threads: pool.threadCount,
                    weightBytes: isDepthwise ? 0 : groupPanelBytes, inputBytes: isDepthwise ? 0 : input.pixels * inputs * input.elementBytes,
                    // Every part of the channels transforms the input anew.
                    repeatedWork: winograd == nil ? 0 : tiles * inputs * Self.winogradInputWork)),
            result: node.outputs[0])
    }

    /// Pixels along a row that depthwise kernels take together, or a whole row where it is no multiple of those.
    private static func depthwiseRun(_ width: Int) -> Int { width % 8 == 0 ? 8 : width % 7 == 0 ? 7 : width <= 64 ? width : 8 }

    /// The transformation of one channel of a Winograd tile, in multiply-accumulates of the same time.
    private static let winogradInputWork = 300

    /// Steps as wide as the kernel: each pixel makes its own pixels, so the product is a 1 × 1 convolution whose outputs are moved to their places.
    private mutating func lower(_ convolution: TransposedConvolution, _ node: Node) throws {
        guard let input = imageSize(node.inputs[0]), let output = imageSize(node.outputs[0]) else { throw noKernel(node) }
        let set = try convolutionKernels()
        prepareImage(node.inputs[0])
        let window = convolution.window
        let (kernelHeight, kernelWidth) = window.rank == 1 ? (1, window.kernel[0]) : (window.kernel[0], window.kernel[1])
        let taps = kernelHeight * kernelWidth
        let features = output.channels
        let products = taps * features
        let panels = try packTransposed(node.inputs[1], inputs: input.channels, features: features, taps: taps)
        let bias = try convolution.hasBias ? floats(node.inputs[2]) : nil
        let epilogue = try epilogue(bias: bias.map { bias in (0..<taps).flatMap { _ in bias } }, convolution.activation, node)
        let x = slot(readingImage: node.inputs[0])
        let product = input.with(channels: products)
        let middle = temporary { _ in product.count * product.elements * MemoryLayout<Float>.stride }
        emit(
            LoweredWindow(
                kernel: .plain(try required(set.dense)),
                shape: Self.shape(Window(kernel: [1, 1]), from: input, to: product, inputs: input.channels, outputs: products), x: x, out: middle, input: input,
                output: product, panels: panels, epilogue: epilogue,
                cut: WindowCut(
                    pixels: input.pixels, channels: products, pixelTile: Int(set.pixel_tile), panelTile: Int(set.panel_tile),
                    multiplyAccumulates: product.elements * input.channels, threads: pool.threadCount)))
        touch(middle)
        let out = slot(writingImage: node.outputs[0])
        let row = kernelWidth * features
        emitCopy(from: middle, to: out, [
            (input.count * input.height, input.width * products, kernelHeight * input.width * row), (kernelHeight, row, input.width * row),
            (input.width, products, row), (row, 1, 1),
        ])
    }

    private mutating func lower(_ pool: Pool, _ node: Node) throws {
        guard let input = imageSize(node.inputs[0]), let output = imageSize(node.outputs[0]) else { throw noKernel(node) }
        let set = try convolutionKernels(graph[node.inputs[0]].type.element)
        prepareImage(node.inputs[0])
        let kernel: WindowStep.Kernel, countsPadding: Bool
        switch pool.kind {
        case .maximum: (kernel, countsPadding) = (try .plain(required(set.max_pool)), false)
        case .average(let counts): (kernel, countsPadding) = (try .plain(required(set.average_pool)), counts)
        case .norm: throw noKernel(node)
        }
        let x = slot(readingImage: node.inputs[0])
        let out = slot(writingImage: node.outputs[0])
        let taps = pool.window.kernel.reduce(1, *)
        emit(
            LoweredWindow(
                kernel: kernel, shape: Self.shape(pool.window, from: input, to: output, inputs: input.channels, outputs: output.channels), x: x, out: out,
                input: input, output: output, countsPadding: countsPadding,
                cut: WindowCut(
                    pixels: output.pixels, channels: output.channels, pixelTile: 1, panelTile: 4,
                    multiplyAccumulates: output.elements * taps * 4, threads: self.pool.threadCount)))
    }

    private mutating func lower(_ resize: Resize, _ node: Node) throws {
        guard let input = imageSize(node.inputs[0]), let output = imageSize(node.outputs[0]) else { throw noKernel(node) }
        prepareImage(node.inputs[0])
        let x = slot(readingImage: node.inputs[0])
        let out = slot(writingImage: node.outputs[0])
        let rank = graph[node.inputs[0]].type.shape.count
        func table(_ axis: Int?, _ length: Int) -> (starts: [Int32], taps: [ResizeTaps.Tap]) {
            var (starts, taps): ([Int32], [ResizeTaps.Tap]) = ([0], [])
            let line = axis.map { ResizedAxis(resize, $0, length: length) }
            for place in 0..<(axis.map { resize.sizes[$0] } ?? 1) {
                if let line, !line.isIdentity {
                    for source in line.places[place] ?? [] { taps.append(.init(index: Int32(source.index), weight: Float(source.weight))) }
                } else {
                    taps.append(.init(index: Int32(place), weight: 1))
                }
                starts.append(Int32(taps.count))
            }
            return (starts, taps)
        }
        let rows = table(rank == 4 ? 2 : nil, input.height), columns = table(rank - 1, input.width)
        emit { binder in
            .resize(
                try binder.keep(ResizeStep(
                    x: binder.floats(x), out: binder.floats(out), images: input.count, height: input.height, width: input.width, channels: input.channels,
                    outHeight: output.height, outWidth: output.width, rows: ResizeTaps(starts: try binder.store(rows.starts), taps: try binder.store(rows.taps)),
                    columns: ResizeTaps(starts: try binder.store(columns.starts), taps: try binder.store(columns.taps)))))
        }
    }

    // MARK: Elements

    /// Between f32 and bf16, in whichever order the elements lie.
    private mutating func lowerCast(_ node: Node, _ vector: VectorKernels) throws {
        let x = node.inputs[0], (from, to) = slotsInAnyOrder(node)
        let count = try sizes(x).reduce(1, *)
        let function: CastStep.Function = graph[x].type.element == .f32 ? .narrow(vector.f32ToBF16) : .widen(vector.bf16ToF32)
        emit { binder in .cast(try binder.keep(CastStep(function: function, x: UnsafeRawPointer(binder.raw(from)), out: binder.raw(to), count: count))) }
    }

    private mutating func lowerImageConcat(_ node: Node) {
        for input in node.inputs { prepareImage(input) }
        guard let output = imageSize(node.outputs[0]) else { return }
        let parts = node.inputs.compactMap { input in imageSize(input).map { (slot: slot(readingImage: input), channels: $0.channels) } }
        let out = slot(writingImage: node.outputs[0])
        var first = 0
        for (index, part) in parts.enumerated() {
            // Every part is a step of its own; the ones to come must live that long.
            for later in parts[index...] { touch(later.slot) }
            touch(out)
            emitCopy(from: part.slot, to: out, outOffset: first, elementBytes: output.elementBytes, [
                (output.count * output.pixels, part.channels, output.channels), (part.channels, 1, 1),
            ])
            first += part.channels
        }
    }

    private mutating func lowerImages(_ function: Binary, _ node: Node, _ vector: VectorKernels) throws -> Bool {
        let (a, b) = (node.inputs[0], node.inputs[1])
        let isNarrow = graph[a].type.element == .bf16
        guard liesAsImage(a) || liesAsImage(b) || isNarrow, imageSize(node.outputs[0]) != nil else { return false }
        if graph[a].type == graph[b].type {
            if function == .add, rideSum(of: a, b, result: node.outputs[0]) || rideSum(of: b, a, result: node.outputs[0]) { return true }
            if isNarrow {
                try lowerPixels(a, node, epilogue: ck_conv_epilogue(), adding: b)
                return true
            }
            prepareImage(a)
            prepareImage(b)
            lowerImageElements(.binary(function), node, vector)
            return true
        }
        // One operand of the result's shape, the other one number a channel.
        let (image, other) = graph[a].type == graph[node.outputs[0]].type ? (a, b) : (b, a)
        guard graph[image].type == graph[node.outputs[0]].type, liesAsImage(image) || isNarrow, let channels = channelVector(other, of: node.outputs[0]) else { return false }
        guard function == .multiply || function == .add || (image == a && function == .subtract) || (image == a && function == .divide) else { return false }
        if case .constant(let values) = channels, try ride(function, values, on: image, result: node.outputs[0]) { return true }
        var epilogue = ck_conv_epilogue()
        var factor: ValueID?
        switch channels {
        case .constant(let values):
            switch function {
            case .multiply: epilogue.factor = try self.vector(values)
            case .divide: epilogue.factor = try self.vector(values.map { 1 / $0 })
            case .subtract: epilogue.offset = try self.vector(values.map { -$0 })
            default: epilogue.offset = try self.vector(values)
            }
        case .computed:
            guard function == .multiply else { return false }
            factor = other
        }
        try lowerPixels(image, node, epilogue: epilogue, factor: factor)
        return true
    }

    /// Each pixel by itself: an average over one with what happens behind it. `factor`: a computed number a channel; `adding`: another image.
    private mutating func lowerPixels(_ image: ValueID, _ node: Node, epilogue: ck_conv_epilogue, factor: ValueID? = nil, adding: ValueID? = nil) throws {
        guard let size = imageSize(image) else { throw noKernel(node) }
        let set = try convolutionKernels(graph[image].type.element)
        prepareImage(image)
        if let adding { prepareImage(adding) }
        if let factor { preparePlain(factor) }
        let factorSlot = factor.map { slot(reading: $0) }
        let x = slot(readingImage: image)
        let residual = adding.map { slot(readingImage: $0) }
        let out = slot(writingImage: node.outputs[0], inPlace: image)
        emit(
            LoweredWindow(
                kernel: .plain(try required(set.average_pool)),
                shape: Self.shape(Window(kernel: [1, 1]), from: size, to: size, inputs: size.channels, outputs: size.channels), x: x, out: out, input: size,
                output: size, epilogue: epilogue, residual: residual, factor: factorSlot,
                cut: WindowCut(
                    pixels: size.pixels, channels: size.channels, pixelTile: 1, panelTile: 1 << 20, multiplyAccumulates: size.elements * 8,
                    threads: pool.threadCount)),
            result: node.outputs[0])
    }

    /// The window step before, when it makes `image` and nobody reads that but the node being lowered, which may then ride on the step.
    private func openWindow(making image: ValueID) -> OpenWindow? {
        guard let (open, made, step) = lastWindow, made == image, step == steps.count - 1, readersLeft[root(image), default: 0] == 1,
            !partition.outputs.contains(root(image)), let size = imageSize(image), !size.isPlain
        else { return nil }
        return open
    }

    /// The window step before makes `result` now.
    private mutating func ride(on open: OpenWindow, result: ValueID) {
        lastWindow = (open, result, steps.count - 1)
        imageSlots[result] = open.window.out
    }

    /// Puts one number a channel into the epilogue of the window step before, if nobody else reads what that made.
    private mutating func ride(_ function: Binary, _ values: [Float], on image: ValueID, result: ValueID) throws -> Bool {
        guard let open = openWindow(making: image) else { return false }
        let residualIsLast = open.window.residual != nil && !open.window.epilogue.residual_first
        guard open.window.epilogue.offset == nil, open.window.factor == nil, !residualIsLast else { return false }
        switch function {
        case .multiply, .divide:
            guard open.window.epilogue.factor == nil else { return false }
            open.window.epilogue.factor = try vector(function == .multiply ? values : values.map { 1 / $0 })
        case .add: open.window.epilogue.offset = try vector(values)
        case .subtract: open.window.epilogue.offset = try vector(values.map { -$0 })
        default: return false
        }
        ride(on: open, result: result)
        return true
    }

    /// Puts the sum with an image that is there already into the epilogue of the window step before.
    private mutating func rideSum(of image: ValueID, _ other: ValueID, result: ValueID) -> Bool {
        guard let open = openWindow(making: image), image != other, open.window.residual == nil, let residual = imageSlots[other] else { return false }
        touch(residual)
        open.window.residual = residual
        open.window.epilogue.residual_first = false
        ride(on: open, result: result)
        return true
    }

    private enum ChannelVector {
        case constant([Float])
        /// `[n, c, 1, 1]`, computed.
        case computed
    }

    /// An operand that has one number for all pixels of a channel.
    private func channelVector(_ value: ValueID, of result: ValueID) -> ChannelVector? {
        if let values = graph.channelConstant(value, of: result) { return .constant(values) }
        return graph.isChannelVector(value, of: result) ? .computed : nil
    }

    /// An operation whose operands all lie as the result does: the order of elements does not matter.
    private mutating func lowerImageElements(_ function: ElementStep.Function, _ node: Node, _ vector: VectorKernels) {
        let operands = node.inputs.map { slot(readingImage: $0) }
        let out = slot(writingImage: node.outputs[0], inPlace: node.inputs[0])
        let count = (imageSize(node.outputs[0]).map { $0.count * $0.elements }) ?? 0
        let kernel = fastest(function, pairs: true, vector)
        emit { binder in
            let axes = [ElementStep.Axis(size: count, strideA: 1, strideB: operands.count > 1 ? 1 : 0)]
            return .elements(
                try binder.keep(ElementStep(
                    function: kernel, a: binder.floats(operands[0]), b: binder.floats(operands[operands.count - 1]), out: binder.floats(out),
                    axes: try binder.store(axes), axisCount: 1)))
        }
    }

    /// The fastest form of an elementwise function. `pairs`: whether both operands of one of two run on along the last axis.
    func fastest(_ function: ElementStep.Function, pairs: Bool, _ vector: VectorKernels) -> ElementStep.Function {
        switch function {
        case .unary(let unary): vector.function(unary).map { .kernel($0) } ?? function
        case .binary(.add) where pairs: .pairs(vector.add)
        case .binary(.multiply) where pairs: .pairs(vector.multiply)
        case .binary, .kernel, .pairs: function
        }
    }
}
