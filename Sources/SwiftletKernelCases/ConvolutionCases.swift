// The convolution sets on the layers of vision models: the direct kernel, and Winograd's where it pays; held against the scalar set.
import CKernels
import SwiftletTensor

enum ConvolutionCases {
    enum Method: String { case dense, depthwise, winograd }

    /// Cases of one set on one layer: every method that can compute it and is not known to lose.
    static func make(set: ck_conv_set, layer: Layer) -> [KernelCase] {
        guard case .convolution(let shape) = layer.shape else { return [] }
        var sizes = shape.kernelShape
        let direct: Method = shape.isDepthwise ? .depthwise : .dense
        let methods = !shape.isDepthwise && ck_winograd_pays(&sizes) ? [direct, .winograd] : [direct]
        return methods.map { method in
            KernelCase(
                family: .convolution, kernel: String(cString: set.name), isa: set.isa, model: layer.model, shape: "\(layer.name)/\(method.rawValue)",
                operations: shape.operations, bytes: shape.bytes, streamsMemory: false, peakUnit: "f32", isOwnFormat: true
            ) {
                try ConvolutionKernel(set: set, shape: shape, method: method)
            }
        }
    }
}

/// One image through one layer, with bias and ReLU.
final class ConvolutionKernel: PreparedKernel {
    private let set: ck_conv_set
    private let shape: ConvolutionShape
    private let method: ConvolutionCases.Method
    private let input: Operand<Float>
    private let bias: Operand<Float>
    private let panels: Operand<Float>
    private let transformed: Operand<Float>
    private let scratch: Operand<UInt8>
    private let output: Operand<Float>
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
        panels = try Operand(count: ck_conv_packed_bytes(outputs, inputs, taps) / 4, purpose: "the weights of a kernel benchmark")
        output = try Operand(count: pixels * shape.outputs, purpose: "the output of a kernel benchmark")
        let isWinograd = method == .winograd
        transformed = try Operand(count: isWinograd ? ck_winograd_packed_bytes(outputs, inputs) / 4 : 1, purpose: "the weights of a kernel benchmark")
        scratch = try Operand(count: isWinograd ? ck_winograd_scratch_bytes(outputs, inputs) : 1, purpose: "the scratch of a kernel benchmark")
        let weights = try Operand<Float>(count: shape.outputs * shape.groupInputs * shape.taps, purpose: "the weights of a kernel benchmark")
        var random = FillGenerator(seed: 5)
        random.fill(input.elements, magnitude: 1)
        random.fill(bias.elements, magnitude: 1)
        random.fill(weights.elements, magnitude: 1)
        var file = ck_conv_weights(
            values: UnsafePointer(weights.base), output_channels: outputs, input_channels: inputs, taps: taps, output_stride: inputs * taps,
            input_stride: taps, tap_stride: 1)
        ck_conv_pack(&file, panels.base)
        if isWinograd { ck_winograd_pack(&file, transformed.base) }
        args.shape = shape.kernelShape
        args.input = UnsafePointer(input.base)
        args.input_pixel_stride = Int64(shape.inputs)
        args.panels = UnsafePointer(panels.base)
        args.output = output.base
        args.output_pixel_stride = outputs
        args.epilogue.bias = UnsafePointer(bias.base)
        args.epilogue.activation = CK_CONV_RELU
        args.pixel_count = Int64(pixels)
        args.panel_count = (outputs + Int64(CK_CONV_PANEL) - 1) / Int64(CK_CONV_PANEL)
    }

    func run(calls: Int) {
        switch method {
        case .dense: for _ in 0..<calls { set.dense(&args) }
        case .depthwise: for _ in 0..<calls { set.depthwise(&args) }
        case .winograd:
            var tiled = args
            tiled.panels = UnsafePointer(transformed.base)
            let tile = Int(CK_WINOGRAD_TILE)
            tiled.pixel_count = Int64((shape.outputHeight + tile - 1) / tile * ((shape.outputWidth + tile - 1) / tile))
            for _ in 0..<calls { set.winograd(&tiled, scratch.base) }
        }
    }

    /// Pixels at the start, in the middle and at the end, as the direct kernel of the scalar set gives them: all would take it seconds.
    func verify() throws {
        guard let scalar = ck_conv_find(0)?.pointee else { return }
        let expected = try Operand<Float>(count: output.elements.count, purpose: "the check of a kernel benchmark")
        output.elements.update(repeating: .nan)
        run(calls: 1)
        let pixels = Int(args.pixel_count), sample = min(pixels, 40)
        let products = Float(shape.groupInputs * shape.taps)
        // Rounding of a sum of products within ±1; Winograd's transforms multiply it.
        let tolerance = 2 * 0x1p-23 * (products + 8) * (method == .winograd ? 16 : 1)
        for first in [0, (pixels - sample) / 2, pixels - sample] {
            var part = args
            part.output = expected.base
            part.first_pixel = Int64(first)
            part.pixel_count = Int64(sample)
            if method == .depthwise { scalar.depthwise(&part) } else { scalar.dense(&part) }
            for index in first * shape.outputs..<(first + sample) * shape.outputs {
                let actual = output.elements[index], wanted = expected.elements[index]
                guard abs(actual - wanted) <= tolerance else {
                    throw difference(
                        "\(String(cString: set.name)) \(method.rawValue)", at: "pixel \(index / shape.outputs), channel \(index % shape.outputs)",
                        actual: actual, expected: wanted)
                }
            }
        }
    }
}
