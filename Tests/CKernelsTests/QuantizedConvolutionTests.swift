// Quantised convolutions of every set: against the definition in Int64 and Float, bit for bit.
import CKernels
import SwiftletTensor
import TestSupport
import Testing

/// One quantised layer with its data.
private struct QuantizedLayer {
    let window: Window, inputs: Int, outputs: Int, isDepthwise: Bool
    let inputStride: Int, outputStride: Int
    let input: [UInt8], weights: [Int8], bias: [Int32], factor: [Float]
    let inputZero: UInt8, outputZero: UInt8, low: UInt8, high: UInt8
    let panels: AlignedMemory

    init(
        _ window: Window, inputs: Int, outputs: Int, isDepthwise: Bool = false, widerBy: Int = 0, zeros: (UInt8, UInt8) = (131, 7),
        clamp: (UInt8, UInt8) = (0, 255), biasRange: ClosedRange<Int32> = -3000...3000, extreme: Bool = false,
        factorsTimes: Float = 1
    ) throws {
        self.window = window
        self.outputs = outputs
        self.isDepthwise = isDepthwise
        self.inputs = isDepthwise ? outputs : inputs
        (inputZero, outputZero) = zeros
        (low, high) = clamp
        inputStride = self.inputs + widerBy
        outputStride = outputs + 2 * widerBy
        var random = SeededGenerator(seed: UInt64(outputs * 37 + self.inputs * 5 + window.pixels))
        let products = isDepthwise ? 1 : inputs
        // Exactly what may be read: 3 bytes more where channels do not fill groups of 4.
        let slack = !isDepthwise && inputs % 4 != 0 ? 3 : 0
        let bytes = (window.input.height * window.input.width - 1) * inputStride + self.inputs + slack
        input = (0..<bytes).map { _ in extreme ? 255 : UInt8(truncatingIfNeeded: random.next()) }
        weights = (0..<outputs * products * window.taps).map { _ in extreme ? -128 : Int8(truncatingIfNeeded: random.next()) }
        bias = (0..<outputs).map { _ in Int32.random(in: biasRange, using: &random) }
        let spread = Float(products * window.taps).squareRoot() * 100
        factor = (0..<outputs).map { _ in Float.random(in: 0.2...1, using: &random) * 200 / spread / 60 * factorsTimes }
        let values = weights, biases = bias
        panels = try values.withUnsafeBufferPointer { values in
            try biases.withUnsafeBufferPointer { biases in
                var file = ck_conv_u8_weights()
                file.values = values.baseAddress
                file.bias = biases.baseAddress
                (file.output_channels, file.input_channels) = (Int64(outputs), Int64(products))
                (file.kernel_height, file.kernel_width) = (Int64(window.kernel.height), Int64(window.kernel.width))
                file.input_zero = zeros.0
                file.depthwise = isDepthwise
                let packed = try AlignedMemory(byteCount: ck_conv_u8_packed_bytes(&file), purpose: "test panels")
                ck_conv_u8_pack(&file, packed.base)
                return packed
            }
        }
    }

    func run(_ set: ck_conv_u8_set, pixels: Range<Int>? = nil, panels range: Range<Int>? = nil) throws -> [UInt8] {
        let pixels = pixels ?? 0..<window.pixels, range = range ?? 0..<(outputs + 15) / 16
        let margin = 23, guardValue: UInt8 = 0xa5
        // Guards a kernel could write by chance are told apart by a second run over others.
        var results: [[UInt8]] = []
        for guardValue in [guardValue, ~guardValue] {
            var memory = [UInt8](repeating: guardValue, count: window.pixels * outputStride + 2 * margin)
            memory.withUnsafeMutableBufferPointer { memory in
                input.withUnsafeBufferPointer { input in
                    factor.withUnsafeBufferPointer { factor in
                        var args = ck_conv_u8_args()
                        args.shape = window.shape(inputs: isDepthwise ? 1 : inputs, outputs: outputs)
                        args.input = input.baseAddress
                        args.input_pixel_stride = Int64(inputStride)
                        args.panels = UnsafeRawPointer(panels.base)
                        args.input_zero = inputZero
                        args.factor = factor.baseAddress
                        (args.output_zero, args.low, args.high) = (outputZero, low, high)
                        args.output = memory.baseAddress.map { $0 + margin }
                        args.output_pixel_stride = Int64(outputStride)
                        (args.first_pixel, args.pixel_count) = (Int64(pixels.lowerBound), Int64(pixels.count))
                        (args.first_panel, args.panel_count) = (Int64(range.lowerBound), Int64(range.count))
                        if isDepthwise { set.depthwise(&args) } else { set.dense(&args) }
                    }
                }
            }
            var result: [UInt8] = []
            var overwritten = 0
            for (index, value) in memory.enumerated() {
                let at = index - margin, pixel = at >= 0 ? at / outputStride : -1, channel = at >= 0 ? at % outputStride : -1
                if pixels.contains(pixel), channel < outputs, range.contains(channel / 16) {
                    result.append(value)
                } else if value != guardValue {
                    overwritten += 1
                }
            }
            try #require(overwritten == 0, "\(overwritten) guards overwritten")
            results.append(result)
        }
        try #require(results[0] == results[1])
        return results[0]
    }

    func expected() -> [UInt8] {
        (0..<window.pixels).flatMap { pixel in
            (0..<outputs).map { channel in
                var sum = Int64(bias[channel])
                for tap in 0..<window.taps {
                    guard let position = window.position(pixel, tap / window.kernel.width, tap % window.kernel.width) else { continue }
                    for i in 0..<(isDepthwise ? 1 : inputs) {
                        let x = Int64(input[position * inputStride + (isDepthwise ? channel : i)]) - Int64(inputZero)
                        sum += x * Int64(weights[(channel * (isDepthwise ? 1 : inputs) + i) * window.taps + tap])
                    }
                }
                let scaled = (Float(sum) * factor[channel]).rounded(.toNearestOrEven) + Float(outputZero)
                return UInt8(min(max(scaled, Float(low)), Float(high)))
            }
        }
    }
}

private let windows: [Window] = [
    Window(kernel: (1, 1), pads: (0, 0, 0, 0)),
    Window(input: (5, 31)),
    Window(input: (7, 23), stride: (2, 2), pads: (0, 0, 1, 1)),
    Window(input: (7, 31), kernel: (5, 5), pads: (2, 2, 2, 2)),
    Window(input: (9, 33), kernel: (5, 5), stride: (2, 2), pads: (1, 1, 2, 2)),
    Window(input: (8, 8), kernel: (2, 4), stride: (3, 3), pads: (1, 0, 0, 2)),
    Window(input: (11, 10), kernel: (3, 3), dilation: (2, 3), pads: (2, 3, 2, 3)),
    Window(input: (3, 2), kernel: (7, 7), stride: (2, 1), pads: (3, 6, 3, 6)),
    Window(input: (1, 1), kernel: (1, 1), pads: (0, 0, 0, 0)),
]

@Suite struct QuantizedConvolutionTests {
    @Test(arguments: RowReference.quantizedConvolution.runnable) func everyWindowIsExact(reference: RowReference) throws {
        let set = try reference.quantizedConvolutionSet()
        for window in windows {
            for (inputs, outputs, wider) in [(1, 1, 0), (3, 16, 0), (3, 17, 1), (4, 32, 0), (7, 33, 0), (16, 31, 0), (21, 40, 3), (8, 15, 0)] {
                for isDepthwise in [false, true] {
                    let layer = try QuantizedLayer(window, inputs: inputs, outputs: outputs, isDepthwise: isDepthwise, widerBy: wider)
                    let expected = layer.expected()
                    #expect(try layer.run(set) == expected, "\(inputs) to \(outputs), depthwise \(isDepthwise), \(window)")
                    // The data must say something: neither all clamped nor all alike.
                    if expected.count > 400 { #expect(Set(expected).count > 20) }
                }
            }
        }
    }

    @Test(arguments: RowReference.quantizedConvolution.runnable) func everyTailIsExact(reference: RowReference) throws {
        let set = try reference.quantizedConvolutionSet()
        for pixels in Array(1...9) + [13, 14, 15, 27, 29] {
            for channels in [1, 4, 8, 15, 16, 17, 24, 32, 48, 65] {
                let dense = try QuantizedLayer(Window(input: (1, pixels), kernel: (1, 1), pads: (0, 0, 0, 0)), inputs: 12, outputs: channels)
                #expect(try dense.run(set) == dense.expected(), "\(pixels) pixels to \(channels)")
                let depthwise = try QuantizedLayer(Window(input: (2, pixels)), inputs: 1, outputs: channels, isDepthwise: true)
                #expect(try depthwise.run(set) == depthwise.expected(), "\(pixels) pixels of \(channels)")
            }
        }
    }

    /// Blocks of 32 and 64 channels and what is left of them, rows longer than the buffer of woven columns, heights that leave a row without a partner.
    @Test(arguments: RowReference.quantizedConvolution.runnable) func everyDepthwiseBlockIsExact(reference: RowReference) throws {
        let set = try reference.quantizedConvolutionSet()
        let pads: [(kernel: Int, stride: Int, pads: (Int, Int, Int, Int))] = [
            (3, 1, (1, 1, 1, 1)), (3, 1, (0, 2, 2, 0)), (3, 2, (0, 0, 1, 1)), (5, 1, (2, 2, 2, 2)), (5, 2, (1, 1, 2, 2)), (5, 2, (2, 2, 2, 2)),
        ]
        for (kernel, stride, pads) in pads {
            for (size, channels) in [
                ((4, 5), [31, 32, 33, 47, 48, 63, 64, 65, 80, 96, 97, 127, 128, 129, 144]), ((1, 1), [64]), ((5, 66), [40, 64]), ((7, 135), [64, 65]), ((3, 7), [160]),
            ] as [((Int, Int), [Int])] {
                for channels in channels {
                    let window = Window(input: size, kernel: (kernel, kernel), stride: (stride, stride), pads: pads)
                    let layer = try QuantizedLayer(window, inputs: 1, outputs: channels, isDepthwise: true, widerBy: channels % 2)
                    #expect(try layer.run(set) == layer.expected(), "\(channels) channels, \(window)")
                }
            }
        }
    }

    @Test(arguments: RowReference.quantizedConvolution.runnable) func clampsZeroPointsAndLargeSums(reference: RowReference) throws {
        let set = try reference.quantizedConvolutionSet()
        for isDepthwise in [false, true] {
            for zeros in [(0, 0), (255, 255), (128, 0), (0, 128)] as [(UInt8, UInt8)] {
                // A ReLU, a ReLU6, all there is.
                for clamp in [(zeros.1, 255), (zeros.1, max(zeros.1, 200)), (0, 255), (17, 17)] as [(UInt8, UInt8)] {
                    let layer = try QuantizedLayer(Window(), inputs: 20, outputs: 40, isDepthwise: isDepthwise, zeros: zeros, clamp: clamp)
                    #expect(try layer.run(set) == layer.expected(), "zero points \(zeros), clamp \(clamp)")
                }
            }
            // Biases no float holds exactly, and the largest products there are: int32 holds them.
            let biased = try QuantizedLayer(Window(), inputs: 20, outputs: 40, isDepthwise: isDepthwise, biasRange: 2_000_000_000...2_100_000_000)
            #expect(try biased.run(set) == biased.expected())
            // Scaled sums beyond every integer.
            for range in [2_000_000_000...2_100_000_000, -2_100_000_000...(-2_000_000_000)] as [ClosedRange<Int32>] {
                let scaled = try QuantizedLayer(Window(), inputs: 20, outputs: 40, isDepthwise: isDepthwise, clamp: (3, 250), biasRange: range, factorsTimes: 1e6)
                #expect(try scaled.run(set) == scaled.expected())
            }
            let extreme = try QuantizedLayer(
                Window(kernel: (3, 3)), inputs: 2000, outputs: 17, isDepthwise: isDepthwise, zeros: (0, 255), clamp: (0, 255), extreme: true)
            #expect(try extreme.run(set) == extreme.expected())
        }
    }

    @Test(arguments: RowReference.quantizedConvolution.runnable) func rangesGiveTheBitsOfTheWhole(reference: RowReference) throws {
        let set = try reference.quantizedConvolutionSet()
        for isDepthwise in [false, true] {
            let channels = 136
            let layer = try QuantizedLayer(Window(input: (5, 19)), inputs: 20, outputs: channels, isDepthwise: isDepthwise, widerBy: 1)
            let whole = layer.expected()
            for pixels in [0..<0, 0..<1, 3..<40, 17..<95, 19..<76, 94..<95] {
                for panels in [0..<0, 0..<1, 1..<4, 2..<6, 3..<9, 8..<9] {
                    let expected = pixels.flatMap { pixel in
                        panels.flatMap { panel in (panel * 16..<min(channels, panel * 16 + 16)).map { whole[pixel * channels + $0] } }
                    }
                    #expect(try layer.run(set, pixels: pixels, panels: panels) == expected, "pixels \(pixels) panels \(panels)")
                }
            }
        }
    }

    @Test func lookUpHonoursTheMask() throws {
        #expect(try #require(ck_conv_u8_find(0)).pointee.isa == 0)
        for mask in [UInt32(CK_ISA_AVX2), UInt32(CK_ISA_AVX2 | CK_ISA_AVX512), machineISA] {
            #expect(try #require(ck_conv_u8_find(mask)).pointee.isa & ~mask == 0)
        }
        #expect(ck_conv_u8_set_at(ck_conv_u8_set_count()) == nil)
    }
}
