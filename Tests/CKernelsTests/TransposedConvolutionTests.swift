// Transposed convolutions, phase by phase on the dense kernel of every set, against the definition in Double: every input pixel adds its kernel
// to the output.
import CKernels
import TestSupport
import Testing

/// Sizes of a transposed convolution.
private struct Transposed: CustomStringConvertible {
    var input = (height: 5, width: 9), kernel = (height: 3, width: 3), stride = (height: 2, width: 2), dilation = (height: 1, width: 1)
    var padTop = 1, padLeft = 1
    var output: (height: Int, width: Int)

    var description: String { "\(input) to \(output) kernel \(kernel) stride \(stride) dilation \(dilation) pads \(padTop) \(padLeft)" }

    func shape(inputs: Int, outputs: Int) -> ck_conv_shape {
        var shape = ck_conv_shape()
        (shape.input_height, shape.input_width) = (Int64(input.height), Int64(input.width))
        (shape.output_height, shape.output_width) = (Int64(output.height), Int64(output.width))
        (shape.kernel_height, shape.kernel_width) = (Int64(kernel.height), Int64(kernel.width))
        (shape.stride_height, shape.stride_width) = (Int64(stride.height), Int64(stride.width))
        (shape.dilation_height, shape.dilation_width) = (Int64(dilation.height), Int64(dilation.width))
        (shape.pad_top, shape.pad_left) = (Int64(padTop), Int64(padLeft))
        (shape.input_channels, shape.output_channels) = (Int64(inputs), Int64(outputs))
        return shape
    }
}

private let cases: [Transposed] = [
    // As wide as the stride: the two of PP-OCR's detection.
    Transposed(kernel: (2, 2), padTop: 0, padLeft: 0, output: (10, 18)),
    Transposed(output: (9, 17)),
    // One more row and column: output_padding.
    Transposed(output: (10, 18)),
    Transposed(kernel: (4, 4), output: (10, 18)),
    // Strides beyond the kernel leave pixels that only the epilogue reaches.
    Transposed(kernel: (2, 1), stride: (3, 4), padTop: 0, padLeft: 0, output: (14, 33)),
    Transposed(kernel: (3, 3), stride: (1, 1), output: (5, 9)),
    // Dilations with and without a common divisor with the stride.
    Transposed(kernel: (3, 3), stride: (2, 2), dilation: (2, 3), padTop: 0, padLeft: 2, output: (13, 19)),
    Transposed(kernel: (3, 2), stride: (4, 2), dilation: (2, 4), padTop: -1, padLeft: 1, output: (20, 20)),
    // Fewer output rows than phases.
    Transposed(input: (1, 3), kernel: (3, 3), stride: (3, 2), padTop: 1, padLeft: 1, output: (1, 5)),
]

@Suite struct TransposedConvolutionTests {
    @Test(arguments: RowReference.convolution.runnable) func phasesGiveTheDefinition(reference: RowReference) throws {
        let set = try reference.convolutionSet()
        for transposed in cases {
            for (inputs, outputs, wider, adds) in [(1, 1, 0, false), (5, 17, 2, true), (24, 24, 0, false), (16, 40, 1, true)] {
                try check(set, transposed, inputs: inputs, outputs: outputs, wider: wider, adds: adds)
            }
        }
    }

    private func check(_ set: ck_conv_set, _ transposed: Transposed, inputs: Int, outputs: Int, wider: Int, adds: Bool) throws {
        var random = SeededGenerator(seed: UInt64(inputs * 100 + outputs))
        let taps = transposed.kernel.height * transposed.kernel.width, inputStride = inputs + wider, outputStride = outputs + 2 * wider
        let pixels = transposed.output.height * transposed.output.width
        let input = random.floats(transposed.input.height * transposed.input.width * inputStride)
        let weights = random.floats(inputs * outputs * taps), bias = random.floats(outputs), residual = random.floats(pixels * outputStride)
        var result = [Float](repeating: .nan, count: pixels * outputStride)
        result.withUnsafeMutableBufferPointer { result in
            input.withUnsafeBufferPointer { input in
                weights.withUnsafeBufferPointer { weights in
                    bias.withUnsafeBufferPointer { bias in
                        residual.withUnsafeBufferPointer { residual in
                            var whole = ck_conv_args()
                            whole.shape = transposed.shape(inputs: inputs, outputs: outputs)
                            whole.input = UnsafeRawPointer(input.baseAddress)
                            whole.input_pixel_stride = Int64(inputStride)
                            whole.output = UnsafeMutableRawPointer(result.baseAddress)
                            whole.output_pixel_stride = Int64(outputStride)
                            whole.epilogue.bias = bias.baseAddress
                            whole.epilogue.activation = CK_CONV_RELU
                            if adds {
                                whole.epilogue.residual = UnsafeRawPointer(residual.baseAddress)
                                whole.epilogue.residual_pixel_stride = Int64(outputStride)
                            }
                            var file = ck_conv_weights()
                            file.values = weights.baseAddress
                            (file.output_channels, file.input_channels, file.taps) = (Int64(outputs), Int64(inputs), Int64(taps))
                            (file.output_stride, file.input_stride, file.tap_stride) = (Int64(taps), Int64(outputs * taps), 1)
                            for phase in 0..<ck_transposed_phase_count(&whole.shape) {
                                var panels = [Float](repeating: .nan, count: ck_transposed_packed_bytes(&whole.shape, phase) / 4)
                                ck_transposed_pack(&whole.shape, phase, &file, &panels)
                                panels.withUnsafeBufferPointer { panels in
                                    // In two ranges that cut a row.
                                    let all = ck_transposed_args(&whole, phase, panels.baseAddress), cut = all.pixel_count / 2
                                    for (first, count) in [(0, cut), (cut, all.pixel_count - cut)] {
                                        var part = all
                                        part.first_pixel = first
                                        part.pixel_count = count
                                        set.dense(&part)
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        var sums = [Double](repeating: 0, count: pixels * outputs), scales = sums
        for y in 0..<transposed.input.height {
            for x in 0..<transposed.input.width {
                for tap in 0..<taps {
                    let row = y * transposed.stride.height - transposed.padTop + tap / transposed.kernel.width * transposed.dilation.height
                    let column = x * transposed.stride.width - transposed.padLeft + tap % transposed.kernel.width * transposed.dilation.width
                    guard (0..<transposed.output.height).contains(row), (0..<transposed.output.width).contains(column) else { continue }
                    for channel in 0..<outputs {
                        for i in 0..<inputs {
                            let product = Double(input[(y * transposed.input.width + x) * inputStride + i]) * Double(weights[(i * outputs + channel) * taps + tap])
                            sums[(row * transposed.output.width + column) * outputs + channel] += product
                            scales[(row * transposed.output.width + column) * outputs + channel] += abs(product)
                        }
                    }
                }
            }
        }
        for pixel in 0..<pixels {
            for channel in 0..<outputStride {
                let actual = result[pixel * outputStride + channel], at = pixel * outputs + channel
                guard channel < outputs else {
                    #expect(actual.isNaN, "wrote beyond the channels: \(transposed)")
                    continue
                }
                let expected = max(sums[at] + Double(bias[channel]), 0) + (adds ? Double(residual[pixel * outputStride + channel]) : 0)
                try #require(
                    abs(Double(actual) - expected) <= 0x1p-23 * Double(inputs * taps + 4) * (scales[at] + 2),
                    "pixel \(pixel) channel \(channel): \(actual), not \(expected); \(inputs) to \(outputs), \(transposed)")
            }
        }
    }
}
