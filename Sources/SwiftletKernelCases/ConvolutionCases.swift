// The convolution sets on the layers of vision models, of f32 and of bf16: the direct kernel, and Winograd's where it pays; held against the scalar set.
import CKernels
import SwiftletTensor

enum ConvolutionCases {
    enum Method: String { case dense, depthwise, winograd }

    /// Cases of one set on one layer: every method that can compute it and is not known to lose. `image`: what the set's images hold.
    static func make<Number: ImageNumber>(set: ck_conv_set, image: Number.Type, layer: Layer) -> [KernelCase] {
        guard case .convolution(let shape) = layer.shape else { return [] }
        var sizes = shape.kernelShape
        let direct: Method = shape.isDepthwise ? .depthwise : .dense
        let methods = set.winograd != nil && !shape.isDepthwise && ck_winograd_pays(&sizes) ? [direct, .winograd] : [direct]
        return methods.map { method in
            KernelCase(
                family: .convolution, kernel: String(cString: set.name), isa: set.isa, model: layer.model, shape: "\(layer.name)/\(method.rawValue)",
                operations: shape.operations, bytes: shape.bytes(elementBytes: MemoryLayout<Number>.stride), streamsMemory: false, peakUnit: Number.peakUnit(set), isOwnFormat: true
            ) {
                try ConvolutionKernel<Number>(set: set, shape: shape, method: method)
            }
        }
    }
}

/// What images of a set hold.
protocol ImageNumber: BitwiseCopyable {
    init(rounding value: Float)
    var float: Float { get }
    static var scalarSet: ck_conv_set? { get }
    /// A unit in the last place of a result, over it: two of a sum next to the middle between two numbers may differ by that.
    static var rounding: Float { get }
    static func packedBytes(_ outputs: Int64, _ inputs: Int64, _ taps: Int64) -> Int
    static func pack(_ weights: inout ck_conv_weights, _ panels: UnsafeMutableRawPointer)
    /// The type of operand whose peak products of the set are held against.
    static func peakUnit(_ set: ck_conv_set) -> String
}

extension Float: ImageNumber {
    init(rounding value: Float) { self = value }
    var float: Float { self }
    static var scalarSet: ck_conv_set? { ck_conv_find(0)?.pointee }
    static var rounding: Float { 0 }
    static func packedBytes(_ outputs: Int64, _ inputs: Int64, _ taps: Int64) -> Int { ck_conv_packed_bytes(outputs, inputs, taps) }
    static func pack(_ weights: inout ck_conv_weights, _ panels: UnsafeMutableRawPointer) { ck_conv_pack(&weights, panels.assumingMemoryBound(to: Float.self)) }
    static func peakUnit(_ set: ck_conv_set) -> String { "f32" }
}

struct BrainFloat: ImageNumber {
    let bits: UInt16
    init(rounding value: Float) { bits = ck_float_to_bfloat(value) }
    var float: Float { ck_bfloat_to_float(bits) }
    static var scalarSet: ck_conv_set? { ck_conv_bf16_find(0)?.pointee }
    static var rounding: Float { 0x1p-7 }
    static func packedBytes(_ outputs: Int64, _ inputs: Int64, _ taps: Int64) -> Int { ck_conv_bf16_packed_bytes(outputs, inputs, taps) }
    static func pack(_ weights: inout ck_conv_weights, _ panels: UnsafeMutableRawPointer) { ck_conv_bf16_pack(&weights, panels.assumingMemoryBound(to: UInt16.self)) }
    /// Sets without instructions for bf16 multiply floats.
    static func peakUnit(_ set: ck_conv_set) -> String { set.isa & UInt32(CK_ISA_AVX512_BF16) == 0 ? "f32" : "bf16" }
}

/// One image through one layer, with bias and ReLU.
final class ConvolutionKernel<Number: ImageNumber>: PreparedKernel {
    private let set: ck_conv_set
    private let shape: ConvolutionShape
    private let method: ConvolutionCases.Method
    private let input: Operand<Number>
    private let bias: Operand<Float>
    private let panels: Operand<UInt8>
    private let transformed: Operand<Float>
    private let scratch: Operand<UInt8>
    private let output: Operand<Number>
    /// Arguments of the direct kernel, for the whole image.
    private var args = ck_conv_args()

    init(set: ck_conv_set, shape: ConvolutionShape, method: ConvolutionCases.Method) throws {
        self.set = set
        self.shape = shape
        self.method = method
        let inputs = Int64(shape.groupInputs), outputs = Int64(shape.outputs), taps = Int64(shape.taps)
        let pixels = shape.outputHeight * shape.outputWidth
        input = try Operand(count: shape.height * shape.width * shape.inputs, purpose: "the image of a kernel benchmark")
        bias = try Operand(count: shape.outputs, purpose: "the bias of a kernel benchmark")
        panels = try Operand(
            count: method == .depthwise ? ck_conv_packed_bytes(outputs, inputs, taps) : Number.packedBytes(outputs, inputs, taps), purpose: "the weights of a kernel benchmark")
        output = try Operand(count: pixels * shape.outputs, purpose: "the output of a kernel benchmark")
        let isWinograd = method == .winograd
        transformed = try Operand(count: isWinograd ? ck_winograd_packed_bytes(outputs, inputs) / 4 : 1, purpose: "the weights of a kernel benchmark")
        scratch = try Operand(count: isWinograd ? ck_winograd_scratch_bytes(outputs, inputs) : 1, purpose: "the scratch of a kernel benchmark")
        let weights = try Operand<Float>(count: shape.outputs * shape.groupInputs * shape.taps, purpose: "the weights of a kernel benchmark")
        var random = FillGenerator(seed: 5)
        let image = try Operand<Float>(count: input.elements.count, purpose: "the image of a kernel benchmark")
        random.fill(image.elements, magnitude: 1)
        for index in image.elements.indices { input.elements[index] = Number(rounding: image.elements[index]) }
        random.fill(bias.elements, magnitude: 1)
        random.fill(weights.elements, magnitude: 1)
        var file = ck_conv_weights(
            values: UnsafePointer(weights.base), output_channels: outputs, input_channels: inputs, taps: taps, output_stride: inputs * taps,
            input_stride: taps, tap_stride: 1)
        if method == .depthwise {
            ck_conv_pack(&file, UnsafeMutableRawPointer(panels.base).assumingMemoryBound(to: Float.self))
        } else {
            Number.pack(&file, UnsafeMutableRawPointer(panels.base))
        }
        if isWinograd { ck_winograd_pack(&file, transformed.base) }
        args = shape.call(input: input.base, panels: panels.base, bias: bias.base, output: output.base)
    }

    func run(calls: Int) {
        switch method {
        case .dense: for _ in 0..<calls { set.dense(&args) }
        case .depthwise: for _ in 0..<calls { set.depthwise(&args) }
        case .winograd:
            var tiled = args
            tiled.panels = UnsafeRawPointer(transformed.base)
            let tile = Int(CK_WINOGRAD_TILE)
            tiled.pixel_count = Int64((shape.outputHeight + tile - 1) / tile * ((shape.outputWidth + tile - 1) / tile))
            for _ in 0..<calls { set.winograd(&tiled, scratch.base) }
        }
    }

    func verify() throws {
        guard let scalar = Number.scalarSet else { return }
        output.elements.update(repeating: Number(rounding: .nan))
        run(calls: 1)
        // Rounding of a sum of products within ±1; Winograd's transforms multiply it.
        let tolerance = 2 * 0x1p-23 * (Float(shape.groupInputs * shape.taps) + 8) * (method == .winograd ? 16 : 1)
        try checkSample(of: output, kernel: "\(String(cString: set.name)) \(method.rawValue)", args, outputs: shape.outputs, tolerance: tolerance) { part in
            if method == .depthwise { scalar.depthwise(&part) } else { scalar.dense(&part) }
        }
    }
}

extension PreparedKernel {
    /// Holds pixels at the start, in the middle and at the end of an output against what `scalar` writes for the same call: all would take it seconds.
    func checkSample<Number: ImageNumber>(
        of output: Operand<Number>, kernel: String, _ args: ck_conv_args, outputs: Int, tolerance: Float, scalar: (inout ck_conv_args) -> Void
    ) throws {
        let expected = try Operand<Number>(count: output.elements.count, purpose: "the check of a kernel benchmark")
        let pixels = Int(args.pixel_count), sample = min(pixels, 40)
        for first in [0, (pixels - sample) / 2, pixels - sample] {
            var part = args
            part.output = UnsafeMutableRawPointer(expected.base)
            part.first_pixel = Int64(first)
            part.pixel_count = Int64(sample)
            scalar(&part)
            for index in first * outputs..<(first + sample) * outputs {
                let actual = output.elements[index].float, wanted = expected.elements[index].float
                guard abs(actual - wanted) <= tolerance + Number.rounding * abs(wanted) else {
                    throw difference(kernel, at: "pixel \(index / outputs), channel \(index % outputs)", actual: actual, expected: wanted)
                }
            }
        }
    }
}
