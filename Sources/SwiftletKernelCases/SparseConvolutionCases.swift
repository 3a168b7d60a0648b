// The table of sparse 1×1 convolutions on the layers of vision models, at a few parts of zeros; held against the scalar row. The dense kernel of the same
// instruction sets, which takes as long whatever the weights are, is among the cases of convolutions.
import CKernels
import SwiftletTensor

enum SparseConvolutionCases {
    static func make(row: ck_sparse_conv_row, layer: Layer) -> [KernelCase] {
        guard case .convolution(let shape) = layer.shape, let function = row.function else { return [] }
        // What could be sparse, whatever would be gained.
        var (sizes, able) = (shape.kernelShape, row)
        (able.crossover, able.least_inputs, able.least_pixels) = (0, 1, 1)
        guard !shape.isDepthwise, ck_sparse_conv_pays(&able, &sizes, 0) else { return [] }
        return SparseCases.zeroPercents.map { zeros in
            let kept = shape.outputs * shape.inputs * (100 - zeros) / 100
            let bytes = Double(4 * shape.height * shape.width * (shape.inputs + shape.outputs)) + 6 * Double(kept)
            return KernelCase(
                family: .convolution, kernel: String(cString: row.name), isa: row.isa, model: layer.model, shape: "\(layer.name)/zeros=\(zeros)",
                operations: shape.operations, bytes: bytes, streamsMemory: false, peakUnit: "f32", isOwnFormat: true
            ) {
                try SparseConvolutionKernel(kernel: String(cString: row.name), function: function, shape: shape, zeroPercent: zeros)
            }
        }
    }
}

/// One image through one layer with part of the weights zero, with bias and ReLU.
final class SparseConvolutionKernel: PreparedKernel {
    private let kernel: String
    private let function: ck_sparse_conv_function
    private let shape: ConvolutionShape
    private let input, bias, output: Operand<Float>
    private let packed, scratch: Operand<UInt8>
    /// For the whole image.
    private var args = ck_conv_args()

    init(kernel: String, function: @escaping ck_sparse_conv_function, shape: ConvolutionShape, zeroPercent: Int) throws {
        (self.kernel, self.function, self.shape) = (kernel, function, shape)
        let (inputs, outputs) = (Int64(shape.inputs), Int64(shape.outputs))
        input = try Operand(count: shape.height * shape.width * shape.inputs, purpose: "the image of a kernel benchmark")
        bias = try Operand(count: shape.outputs, purpose: "the bias of a kernel benchmark")
        output = try Operand(count: shape.outputHeight * shape.outputWidth * shape.outputs, purpose: "the output of a kernel benchmark")
        let weights = try Operand<Float>(count: shape.outputs * shape.inputs, purpose: "the weights of a kernel benchmark")
        var random = FillGenerator(seed: 5)
        random.fill(input.elements, magnitude: 1)
        random.fill(bias.elements, magnitude: 1)
        random.fill(weights.elements, magnitude: 1)
        for index in weights.elements.indices where Int(random.next() % 100) < zeroPercent { weights.elements[index] = 0 }
        let bytes = ck_sparse_conv_packed_bytes(outputs, inputs, ck_sparse_conv_count(weights.base, outputs * inputs))
        packed = try Operand(count: bytes, purpose: "the weights of a kernel benchmark")
        scratch = try Operand(count: ck_sparse_conv_scratch_bytes(inputs), purpose: "the scratch of a kernel benchmark")
        var file = ck_conv_weights(
            values: UnsafePointer(weights.base), output_channels: outputs, input_channels: inputs, taps: 1, output_stride: inputs, input_stride: 1,
            tap_stride: 1)
        guard ck_sparse_conv_pack(&file, packed.base, bytes) == 0 else {
            throw SwiftletError.numerical(routine: "ck_sparse_conv_pack", reason: "refuses the weights", remedy: "Repair it, with CKernelsTests as the guide.")
        }
        args = shape.call(input: input.base, panels: packed.base, bias: bias.base, output: output.base)
    }

    func run(calls: Int) { for _ in 0..<calls { function(&args, scratch.base) } }

    func verify() throws {
        guard let scalar = ck_sparse_conv_find(0)?.pointee.function else { return }
        output.elements.update(repeating: .nan)
        run(calls: 1)
        // Rounding of a sum of products within ±1.
        let tolerance = 2 * 0x1p-23 * Float(shape.inputs + 8)
        try checkSample(of: output, kernel: kernel, args, outputs: shape.outputs, tolerance: tolerance) { part in scalar(&part, scratch.base) }
    }
}
