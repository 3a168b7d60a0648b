// Convolution and pooling of every set, of f32 and of bf16 images: against a naive sum in Double over ONNX's own layouts, and against the scalar set,
// whose results the others must give within the tolerance of the header.
import CKernels
import Foundation
import TestSupport
import Testing

/// What a kernel of a set does.
enum ImageOperation: String, CaseIterable, Sendable {
    case dense, depthwise, maxPool, averagePool
    /// The dense convolution by other means: 3×3, stride and dilation 1.
    case winograd

    /// Those for any window.
    static let general = [ImageOperation.dense, .depthwise, .maxPool, .averagePool]

    func call(_ set: ck_conv_set, _ args: UnsafePointer<ck_conv_args>) {
        switch self {
        case .dense: set.dense(args)
        case .depthwise: set.depthwise(args)
        case .maxPool: set.max_pool(args)
        case .averagePool: set.average_pool(args)
        case .winograd:
            let bytes = ck_winograd_scratch_bytes(args.pointee.shape.output_channels, args.pointee.shape.input_channels)
            let scratch = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
            defer { scratch.deallocate() }
            // NaNs: nothing may be read that was not written.
            scratch.initializeMemory(as: UInt8.self, repeating: 0xff, count: bytes)
            set.winograd(args, scratch)
        }
    }

    var isPool: Bool { self == .maxPool || self == .averagePool }
    /// Whether an output sums over all inputs.
    var isDense: Bool { self == .dense || self == .winograd }
}

/// Sizes of one convolution; the output's follow as ONNX says.
struct Window: CustomStringConvertible {
    var input = (height: 6, width: 9), kernel = (height: 3, width: 3), stride = (height: 1, width: 1), dilation = (height: 1, width: 1)
    /// Top, left, bottom, right.
    var pads = (1, 1, 1, 1)
    /// Rounds the output size up, as pooling may.
    var ceil = false

    private func size(_ input: Int, _ pads: Int, _ kernel: Int, _ stride: Int, _ dilation: Int) -> Int {
        let span = input + pads - dilation * (kernel - 1) - 1
        return span < 0 ? 0 : (ceil ? (span + stride - 1) / stride : span / stride) + 1
    }
    var output: (height: Int, width: Int) {
        (
            size(input.height, pads.0 + pads.2, kernel.height, stride.height, dilation.height),
            size(input.width, pads.1 + pads.3, kernel.width, stride.width, dilation.width)
        )
    }
    var pixels: Int { output.height * output.width }
    var taps: Int { kernel.height * kernel.width }
    var description: String {
        "\(input) kernel \(kernel) stride \(stride) dilation \(dilation) pads \(pads)\(ceil ? " ceil" : "")"
    }

    func shape(inputs: Int, outputs: Int) -> ck_conv_shape {
        ck_conv_shape(
            input_height: Int64(input.height), input_width: Int64(input.width), output_height: Int64(output.height), output_width: Int64(output.width),
            kernel_height: Int64(kernel.height), kernel_width: Int64(kernel.width), stride_height: Int64(stride.height), stride_width: Int64(stride.width),
            dilation_height: Int64(dilation.height), dilation_width: Int64(dilation.width), pad_top: Int64(pads.0), pad_left: Int64(pads.1),
            pad_bottom: Int64(pads.2), pad_right: Int64(pads.3), input_channels: Int64(inputs), output_channels: Int64(outputs))
    }

    /// The input position under a tap, nil outside.
    func position(_ pixel: Int, _ ky: Int, _ kx: Int) -> Int? {
        let y = pixel / output.width * stride.height - pads.0 + ky * dilation.height
        let x = pixel % output.width * stride.width - pads.1 + kx * dilation.width
        return (0..<input.height).contains(y) && (0..<input.width).contains(x) ? y * input.width + x : nil
    }

    /// Whether a tap is within the padded input: ceil mode goes beyond it.
    func isPadded(_ pixel: Int, _ ky: Int, _ kx: Int) -> Bool {
        pixel / output.width * stride.height + ky * dilation.height < pads.0 + input.height + pads.2
            && pixel % output.width * stride.width + kx * dilation.width < pads.1 + input.width + pads.3
    }
}

/// The epilogue's parts in Swift's terms.
struct Finish {
    var bias = false, factor = false, offset = false
    var residual: Residual?
    var activation = CK_CONV_IDENTITY
    var alpha: Float = 0, beta: Float = 0

    enum Residual { case first, last, inPlace }

    /// Each activation with each kind of residual, with and without factors and offsets, every second one with a bias.
    static let every: [Finish] = (0..<CK_CONV_ACTIVATION_COUNT.rawValue).flatMap { code in
        let kinds: [(Residual?, Bool)] = [(nil, false), (.first, true), (.last, true), (.inPlace, false), (.first, false), (.last, false), (nil, true)]
        let activation = ck_conv_activation(rawValue: code)
        return kinds.map { residual, scaled in
            Finish(
                bias: code % 2 == 0, factor: scaled, offset: scaled && residual != .last, residual: residual, activation: activation,
                alpha: activation == CK_CONV_CLIP ? -0.5 : 0.2, beta: 0.6)
        }
    }

    func activate(_ x: Double) -> Double {
        switch activation {
        case CK_CONV_RELU: max(x, 0)
        case CK_CONV_CLIP: min(max(x, Double(alpha)), Double(beta))
        case CK_CONV_LEAKY_RELU: x < 0 ? Double(alpha) * x : x
        case CK_CONV_HARD_SIGMOID: min(max(Double(alpha) * x + Double(beta), 0), 1)
        case CK_CONV_HARD_SWISH: x * min(max(x / 6 + 0.5, 0), 1)
        case CK_CONV_SIGMOID: 1 / (1 + exp(-x))
        case CK_CONV_SILU: x / (1 + exp(-x))
        case CK_CONV_TANH: tanh(x)
        case CK_CONV_GELU: 0.5 * x * erfc(-x / 2.0.squareRoot())
        case CK_CONV_GELU_TANH: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        default: x
        }
    }
}

private let guardValue: Float = 12345.678

/// One layer with its data: memory is exactly as long as a kernel may read, and the output stands between guards.
struct ImageLayer {
    let operation: ImageOperation, window: Window, inputs: Int, outputs: Int
    let inputStride: Int, outputStride: Int
    var input: [Float]
    let weights: [Float], panels: [Float]
    let bias: [Float], factor: [Float], offset: [Float], residual: [Float]
    let finish: Finish
    let countsPadding: Bool
    /// Whether images are of bf16.
    let isNarrow: Bool

    init(
        _ operation: ImageOperation, _ window: Window, inputs: Int? = nil, outputs: Int, widerBy: Int = 0, finish: Finish = Finish(),
        countsPadding: Bool = false, isNarrow: Bool = false
    ) {
        self.isNarrow = isNarrow
        // What exists in bf16 is exactly that, so that results differ by their own rounding alone.
        func stored(_ values: [Float]) -> [Float] { isNarrow ? values.map { ck_bfloat_to_float(ck_float_to_bfloat($0)) } : values }
        self.operation = operation
        self.window = window
        self.outputs = outputs
        self.inputs = operation.isDense ? inputs ?? outputs : outputs
        self.finish = finish
        self.countsPadding = countsPadding
        inputStride = self.inputs + widerBy
        outputStride = outputs + 2 * widerBy
        var random = SeededGenerator(seed: UInt64(outputs * 31 + self.inputs * 7 + window.pixels))
        input = stored(random.floats((window.input.height * window.input.width - 1) * inputStride + self.inputs))
        let products = operation.isDense ? self.inputs : 1
        let values = operation.isPool ? [] : random.floats(outputs * products * window.taps)
        weights = operation == .depthwise ? values : stored(values)
        bias = random.floats(outputs)
        factor = random.floats(outputs)
        offset = random.floats(outputs)
        residual = stored(random.floats(max(0, (window.pixels - 1) * outputStride + outputs)))
        let isPaired = isNarrow && operation == .dense
        let (rows, columns, taps) = (Int64(outputs), Int64(products), Int64(window.taps))
        let bytes =
            operation == .winograd ? ck_winograd_packed_bytes(rows, columns)
            : isPaired ? ck_conv_bf16_packed_bytes(rows, columns, taps) : ck_conv_packed_bytes(rows, columns, taps)
        var panels = [Float](repeating: .nan, count: bytes / 4)
        if !operation.isPool {
            weights.withUnsafeBufferPointer { values in
                var file = ck_conv_weights(
                    values: values.baseAddress, output_channels: Int64(outputs), input_channels: Int64(products), taps: Int64(window.taps),
                    output_stride: Int64(products * window.taps), input_stride: Int64(window.taps), tap_stride: 1)
                if operation == .winograd {
                    ck_winograd_pack(&file, &panels)
                } else if isPaired {
                    panels.withUnsafeMutableBytes { ck_conv_bf16_pack(&file, $0.bindMemory(to: UInt16.self).baseAddress) }
                } else {
                    ck_conv_pack(&file, &panels)
                }
            }
        }
        self.panels = panels
    }

    /// Which part of a range an output pixel is in: itself, or its tile.
    func unit(_ pixel: Int) -> Int {
        operation == .winograd ? pixel / window.output.width / 4 * ((window.output.width + 3) / 4) + pixel % window.output.width / 4 : pixel
    }

    /// The output [pixels, outputs] of a kernel over ranges of pixels (tiles) and of panels; what was not computed must still be a guard.
    func run(_ set: ck_conv_set, pixels: Range<Int>? = nil, panels range: Range<Int>? = nil) throws -> [Float] {
        let pixels = pixels ?? 0..<(window.pixels == 0 ? 0 : unit(window.pixels - 1) + 1), range = range ?? 0..<(outputs + 15) / 16
        let margin = 19
        var floats = [Float](repeating: guardValue, count: residual.count + 2 * margin)
        if finish.residual == .inPlace { floats.replaceSubrange(margin..<margin + residual.count, with: residual) }
        var memory = encoded(floats)
        let elementBytes = isNarrow ? 2 : 4
        let (input, residual) = (encoded(input), encoded(residual))
        memory.withUnsafeMutableBytes { memory in
            // Swift arrays are 16-byte aligned, so an odd margin leaves the output unaligned.
            let output = memory.baseAddress.map { $0 + margin * elementBytes }
            input.withUnsafeBytes { input in
                panels.withUnsafeBytes { panels in
                    bias.withUnsafeBufferPointer { bias in
                        factor.withUnsafeBufferPointer { factor in
                            offset.withUnsafeBufferPointer { offset in
                                residual.withUnsafeBytes { residual in
                                    var args = ck_conv_args()
                                    args.shape = window.shape(inputs: inputs, outputs: outputs)
                                    args.input = input.baseAddress
                                    args.input_pixel_stride = Int64(inputStride)
                                    args.panels = operation.isPool ? nil : panels.baseAddress
                                    args.output = output
                                    args.output_pixel_stride = Int64(outputStride)
                                    args.epilogue.bias = finish.bias ? bias.baseAddress : nil
                                    args.epilogue.factor = finish.factor ? factor.baseAddress : nil
                                    args.epilogue.offset = finish.offset ? offset.baseAddress : nil
                                    args.epilogue.residual = finish.residual.map { $0 == .inPlace ? UnsafeRawPointer(output) : residual.baseAddress } ?? nil
                                    args.epilogue.residual_pixel_stride = Int64(outputStride)
                                    args.epilogue.residual_first = finish.residual == .first
                                    args.epilogue.activation = finish.activation
                                    args.epilogue.alpha = finish.alpha
                                    args.epilogue.beta = finish.beta
                                    args.first_pixel = Int64(pixels.lowerBound)
                                    args.pixel_count = Int64(pixels.count)
                                    args.first_panel = Int64(range.lowerBound)
                                    args.panel_count = Int64(range.count)
                                    args.average_counts_padding = countsPadding
                                    operation.call(set, &args)
                                }
                            }
                        }
                    }
                }
            }
        }
        var result: [Float] = []
        var overwritten = 0
        let expected = decoded(encoded(floats))
        for (index, value) in decoded(memory).enumerated() {
            let at = index - margin, pixel = at >= 0 ? at / outputStride : -1, channel = at >= 0 ? at % outputStride : -1
            if pixel >= 0, pixel < window.pixels, pixels.contains(unit(pixel)), channel < outputs, range.contains(channel / 16) {
                result.append(value)
            } else {
                if value != expected[index] { overwritten += 1 }
            }
        }
        try #require(overwritten == 0, "\(overwritten) guards overwritten")
        return result
    }

    /// Numbers as images hold them, and back.
    private func encoded(_ values: [Float]) -> [UInt8] {
        isNarrow ? values.map { ck_float_to_bfloat($0) }.withUnsafeBytes { Array($0) } : values.withUnsafeBytes { Array($0) }
    }

    private func decoded(_ bytes: [UInt8]) -> [Float] {
        bytes.withUnsafeBytes { bytes in
            isNarrow ? bytes.bindMemory(to: UInt16.self).map { ck_bfloat_to_float($0) } : Array(bytes.bindMemory(to: Float.self))
        }
    }

    /// The output in Double, and the sum of the magnitudes that errors are measured against.
    func naive() -> [(value: Double, scale: Double)] {
        (0..<window.pixels).flatMap { pixel in (0..<outputs).map { value(pixel, $0) } }
    }

    private func value(_ pixel: Int, _ channel: Int) -> (Double, Double) {
        var sum = operation == .maxPool ? -Double.infinity : 0, scale = 0.0, inside = 0, padded = 0
        for ky in 0..<window.kernel.height {
            for kx in 0..<window.kernel.width {
                padded += window.isPadded(pixel, ky, kx) ? 1 : 0
                guard let position = window.position(pixel, ky, kx) else { continue }
                inside += 1
                let tap = ky * window.kernel.width + kx, at = position * inputStride
                switch operation {
                case .dense, .winograd:
                    for i in 0..<inputs {
                        let product = Double(input[at + i]) * Double(weights[(channel * inputs + i) * window.taps + tap])
                        sum += product
                        scale += abs(product)
                    }
                case .depthwise:
                    let product = Double(input[at + channel]) * Double(weights[channel * window.taps + tap])
                    sum += product
                    scale += abs(product)
                case .maxPool: sum = max(sum, Double(input[at + channel]))
                case .averagePool:
                    sum += Double(input[at + channel])
                    scale += abs(Double(input[at + channel]))
                }
            }
        }
        if operation == .averagePool {
            let count = countsPadding ? padded : inside
            sum = count > 0 ? sum / Double(count) : 0
        }
        let added = finish.residual == nil ? 0 : Double(residual[pixel * outputStride + channel])
        sum += finish.bias ? Double(bias[channel]) : 0
        if finish.residual == .first { sum += added }
        sum = finish.activate(sum)
        if finish.factor { sum *= Double(factor[channel]) }
        if finish.offset { sum += Double(offset[channel]) }
        if finish.residual != nil, finish.residual != .first { sum += added }
        return (sum, scale + 3)
    }

    /// The largest error of a result over what rounding explains: half an ulp a product and a few for the epilogue.
    /// `ofSet`: what is expected is a set's result too, rounded as this one.
    func worst(_ result: [Float], _ expected: [(value: Double, scale: Double)], ofSet: Bool = false) -> Double {
        let products = Double(window.taps * (operation.isDense ? inputs : 1))
        return zip(result, expected).map { actual, expected in
            if Double(actual) == expected.value { return 0 }
            let error = abs(Double(actual) - expected.value)
            // Winograd's transforms multiply by up to 8, and what cancels leaves its rounding behind.
            let steps = operation == .winograd ? 16 * (products + 64) : products + 8
            // Half of the last of 8 bits; or all of it, where a sum next to the middle between two numbers goes either way.
            let stored = isNarrow ? (ofSet ? 0x1p-7 : 0x1p-8) * abs(expected.value) : 0
            return error.isNaN ? .infinity : error / (0x1p-23 * steps * expected.scale + stored)
        }.max() ?? 0
    }
}

extension RowReference {
    /// The sets of f32 images and those of bf16.
    fileprivate static let images = convolution + convolutionBF16 + convolutionTwins

    fileprivate var isNarrow: Bool { isOfBF16 }
    fileprivate var imageOperations: [ImageOperation] { isNarrow ? ImageOperation.general : ImageOperation.allCases }
}

private func set(_ reference: RowReference) throws -> ck_conv_set { try reference.convolutionSet() }

/// Kernels, strides, dilations and pads: those with bodies of their own, others, and windows that reach far outside.
private let windows: [Window] = [
    Window(kernel: (1, 1), pads: (0, 0, 0, 0)),
    Window(kernel: (1, 1), stride: (2, 2), pads: (0, 0, 0, 0)),
    Window(),
    Window(input: (7, 23), stride: (2, 2), pads: (0, 0, 1, 1)),
    Window(input: (7, 31), kernel: (5, 5), pads: (2, 2, 2, 2)),
    Window(input: (9, 33), kernel: (5, 5), stride: (2, 2), pads: (1, 1, 2, 2)),
    Window(input: (5, 12), kernel: (3, 5), stride: (1, 2), pads: (0, 2, 2, 1)),
    Window(input: (8, 8), kernel: (2, 4), stride: (3, 3), pads: (1, 0, 0, 2)),
    Window(input: (11, 10), kernel: (3, 3), dilation: (2, 3), pads: (2, 3, 2, 3)),
    Window(input: (2, 3), kernel: (5, 5), pads: (2, 2, 2, 2)),
    Window(input: (3, 2), kernel: (7, 7), stride: (2, 1), pads: (3, 6, 3, 6)),
    Window(input: (1, 40), kernel: (1, 3), pads: (0, 1, 0, 1)),
    Window(input: (6, 6), kernel: (3, 3), pads: (-1, -2, 0, 1)),
    Window(input: (1, 1), kernel: (1, 1), pads: (0, 0, 0, 0)),
]

@Suite struct ConvolutionTests {
    @Test(arguments: RowReference.images.runnable) func everyWindowMatchesDouble(reference: RowReference) throws {
        let set = try set(reference)
        for operation in ImageOperation.general {
            for window in windows {
                for (inputs, outputs, wider) in [(1, 1, 0), (3, 16, 0), (3, 17, 1), (16, 33, 0), (19, 40, 5), (8, 24, 0), (67, 33, 1)] {
                    let layer = ImageLayer(operation, window, inputs: inputs, outputs: outputs, widerBy: wider, isNarrow: reference.isNarrow)
                    #expect(layer.worst(try layer.run(set), layer.naive()) <= 1, "\(operation) \(inputs) to \(outputs) \(window)")
                }
            }
        }
    }

    /// Every number of channels and of pixels about the edges of vectors and tiles.
    @Test(arguments: RowReference.images.runnable) func everyTailMatchesDouble(reference: RowReference) throws {
        let set = try set(reference)
        let tile = Int(set.pixel_tile), channels = [1, 3, 4, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 48, 50, 64, 65]
        for outputs in channels {
            for pixels in Array(1...17) + [tile - 1, tile, tile + 1, 2 * tile - 1, 2 * tile + 1] where pixels > 0 {
                let row = Window(input: (1, pixels), kernel: (1, 1), pads: (0, 0, 0, 0))
                let layers = [
                    ImageLayer(.dense, row, inputs: 5, outputs: outputs, isNarrow: reference.isNarrow),
                    ImageLayer(.dense, Window(input: (1, pixels)), inputs: 9, outputs: outputs, isNarrow: reference.isNarrow),
                    ImageLayer(.depthwise, Window(input: (2, pixels)), outputs: outputs, isNarrow: reference.isNarrow),
                    ImageLayer(.depthwise, Window(input: (2, 2 * pixels), kernel: (3, 5), stride: (1, 2), pads: (1, 2, 1, 1)), outputs: outputs, isNarrow: reference.isNarrow),
                ]
                for layer in layers {
                    #expect(layer.worst(try layer.run(set), layer.naive()) <= 1, "\(layer.operation) to \(outputs), \(layer.window)")
                }
            }
        }
    }

    @Test(arguments: RowReference.images.runnable) func everyEpilogueMatchesDouble(reference: RowReference) throws {
        let set = try set(reference)
        for finish in Finish.every {
            for operation in reference.imageOperations {
                for outputs in [24, 33, 64] {
                    let layer = ImageLayer(operation, Window(input: (4, 8)), inputs: 5, outputs: outputs, widerBy: 3, finish: finish, isNarrow: reference.isNarrow)
                    #expect(layer.worst(try layer.run(set), layer.naive()) <= 1, "\(operation) to \(outputs), \(finish)")
                }
            }
        }
    }

    /// Ranges of pixels and of panels write what they say and nothing else, with the bits of the whole.
    @Test(arguments: RowReference.images.runnable) func rangesGiveTheBitsOfTheWhole(reference: RowReference) throws {
        let set = try set(reference)
        let window = Window(input: (5, 19), kernel: (3, 3))
        for operation in reference.imageOperations {
            let layer = ImageLayer(operation, window, inputs: 20, outputs: 72, widerBy: 1, finish: Finish(bias: true, activation: CK_CONV_SILU), isNarrow: reference.isNarrow)
            let whole = try layer.run(set)
            for pixels in [0..<0, 0..<1, 3..<40, 17..<95, 94..<95] {
                for panels in [0..<0, 0..<1, 1..<2, 1..<4, 3..<5, 4..<5] {
                    let expected = (0..<window.pixels).filter { pixels.contains(layer.unit($0)) }.flatMap { pixel in
                        panels.flatMap { panel in (panel * 16..<min(72, panel * 16 + 16)).map { whole[pixel * 72 + $0] } }
                    }
                    let part = try layer.run(set, pixels: pixels, panels: panels)
                    #expect(part.map(\.bitPattern) == expected.map(\.bitPattern), "\(operation) pixels \(pixels) panels \(panels)")
                }
            }
        }
    }

    /// More weights than a block holds, more channels than the row of zeros, long sums.
    @Test(arguments: RowReference.images.runnable) func largeLayersMatchTheScalarSet(reference: RowReference) throws {
        let set = try set(reference), scalar = try #require(reference.isNarrow ? ck_conv_bf16_find(0) : ck_conv_find(0)).pointee
        let layers = [
            ImageLayer(.dense, Window(input: (7, 7), kernel: (1, 1), pads: (0, 0, 0, 0)), inputs: 1152, outputs: 320, finish: Finish(bias: true), isNarrow: reference.isNarrow),
            ImageLayer(.dense, Window(input: (3, 5)), inputs: 1100, outputs: 24, isNarrow: reference.isNarrow),
            ImageLayer(.dense, Window(input: (20, 20)), inputs: 96, outputs: 40, finish: Finish(bias: true, activation: CK_CONV_RELU), isNarrow: reference.isNarrow),
            ImageLayer(.dense, Window(input: (40, 50), stride: (2, 2)), inputs: 3, outputs: 32, isNarrow: reference.isNarrow),
            ImageLayer(.depthwise, Window(input: (14, 14), kernel: (5, 5), pads: (2, 2, 2, 2)), outputs: 672, isNarrow: reference.isNarrow),
            ImageLayer(.averagePool, Window(input: (7, 7), kernel: (7, 7), pads: (0, 0, 0, 0)), outputs: 1280, isNarrow: reference.isNarrow),
        ]
        for layer in layers {
            let expected = try layer.run(scalar).map { (value: Double($0), scale: 3.0 * Double(layer.inputs * layer.window.taps).squareRoot()) }
            #expect(layer.worst(try layer.run(set), expected, ofSet: true) <= 1, "\(layer.operation) \(layer.inputs) to \(layer.outputs) \(layer.window)")
        }
    }

    @Test(arguments: RowReference.images.runnable) func averagesCountAsONNXDoes(reference: RowReference) throws {
        let set = try set(reference)
        for counts in [false, true] {
            for ceil in [false, true] {
                for kernel in [2, 3] {
                    let window = Window(input: (5, 6), kernel: (kernel, kernel), stride: (2, 2), pads: (1, 1, 1, 0), ceil: ceil)
                    let layer = ImageLayer(.averagePool, window, outputs: 70, countsPadding: counts, isNarrow: reference.isNarrow)
                    #expect(layer.worst(try layer.run(set), layer.naive()) <= 1, "\(window), counts padding \(counts)")
                }
            }
        }
        // A window without a pixel of the input: nothing to average, and no largest number.
        let outside = Window(input: (2, 2), kernel: (1, 1), stride: (1, 1), pads: (0, 1, 0, 0))
        #expect(try ImageLayer(.averagePool, outside, outputs: 1, isNarrow: reference.isNarrow).run(set)[0] == 0)
        #expect(try ImageLayer(.maxPool, outside, outputs: 1, isNarrow: reference.isNarrow).run(set)[0] == -.infinity)
    }

    /// A NaN in the input is in every output that reads it, whatever the activation, and in no other.
    @Test(arguments: RowReference.images.runnable) func notANumberStaysWhereItBelongs(reference: RowReference) throws {
        let set = try set(reference)
        // Winograd spreads it over its tiles, which is why it is not here.
        for operation in [ImageOperation.dense, .depthwise] {
            for code in 0..<CK_CONV_ACTIVATION_COUNT.rawValue {
                let finish = Finish(activation: ck_conv_activation(rawValue: code), alpha: -1, beta: 1)
                var layer = ImageLayer(operation, Window(input: (1, 12)), inputs: 16, outputs: 16, finish: finish, isNarrow: reference.isNarrow)
                layer.input[6 * 16 + 2] = .nan
                let result = try layer.run(set)
                for pixel in 0..<12 {
                    for channel in 0..<16 {
                        let reads = (5...7).contains(pixel) && (operation == .dense || channel == 2)
                        #expect(result[pixel * 16 + channel].isNaN == reads, "\(operation) activation \(code) pixel \(pixel) channel \(channel)")
                    }
                }
            }
        }
    }

    @Test(arguments: RowReference.convolution.runnable) func winogradMatchesDouble(reference: RowReference) throws {
        let set = try set(reference)
        for input in [(1, 1), (4, 4), (5, 7), (8, 8), (9, 14), (13, 31), (21, 40)] {
            for pads in [(1, 1, 1, 1), (0, 0, 0, 0), (2, 0, 0, 3), (-1, 1, 0, 1)] {
                let window = Window(input: input, pads: pads)
                guard window.output.height > 0, window.output.width > 0 else { continue }
                for (inputs, outputs, wider) in [(1, 1, 0), (3, 17, 2), (16, 16, 0), (24, 40, 1), (33, 8, 0), (40, 72, 0)] {
                    let layer = ImageLayer(.winograd, window, inputs: inputs, outputs: outputs, widerBy: wider, finish: Finish(bias: true))
                    #expect(layer.worst(try layer.run(set), layer.naive()) <= 1, "\(inputs) to \(outputs) \(window)")
                }
            }
        }
        // Against the scale of the output, as networks are compared: 1e-4 is asked for.
        let layer = ImageLayer(.winograd, Window(input: (20, 20)), inputs: 256, outputs: 32), expected = layer.naive()
        let error = zip(try layer.run(set), expected).map { abs(Double($0) - $1.value) }.max() ?? 0, largest = expected.map { abs($0.value) }.max() ?? 1
        print("\(reference.name): Winograd's error \(error / largest) of the largest output")
        #expect(error <= 2e-5 * largest)
    }

    /// The choice between the two is for what Winograd can compute, and leaves out what it is bad at.
    @Test func winogradPaysWhereItCan() {
        func pays(_ window: Window, _ inputs: Int, _ outputs: Int) -> Bool {
            var shape = window.shape(inputs: inputs, outputs: outputs)
            return ck_winograd_pays(&shape)
        }
        #expect(pays(Window(input: (160, 160)), 96, 24))
        #expect(!pays(Window(input: (160, 160)), 3, 24))
        #expect(!pays(Window(input: (7, 7)), 512, 512))
        #expect(!pays(Window(input: (160, 160), stride: (1, 2)), 96, 24))
        #expect(!pays(Window(input: (160, 160), kernel: (3, 5)), 96, 24))
        #expect(!pays(Window(input: (160, 160), dilation: (2, 1)), 96, 24))
    }

    @Test func lookUpHonoursTheMask() throws {
        #expect(try #require(ck_conv_find(0)).pointee.isa == 0)
        for mask in [UInt32(CK_ISA_AVX2), machineISA] { #expect(try #require(ck_conv_find(mask)).pointee.isa & ~mask == 0) }
        #expect(ck_conv_set_at(ck_conv_set_count()) == nil)
        #expect(try #require(ck_conv_bf16_find(0)).pointee.isa == 0)
        for mask in [UInt32(CK_ISA_AVX2), UInt32(CK_ISA_AVX512), machineISA] { #expect(try #require(ck_conv_bf16_find(mask)).pointee.isa & ~mask == 0) }
        #expect(ck_conv_bf16_set_at(ck_conv_bf16_set_count()) == nil)
    }
}
