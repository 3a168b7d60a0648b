// Sparse 1×1 convolutions of every row: against a naive sum in Double over the weights with their zeros.
import CKernels
import TestSupport
import Testing

private let guardValue: Float = 12345.678

/// One layer with its data: memory is exactly as long as a kernel may read, and the output stands between guards.
private struct PrunedLayer {
    let pixels: Int, inputs: Int, outputs: Int, inputStride: Int, outputStride: Int
    var input: [Float]
    let weights: [Float], packed: [UInt32]
    let bias: [Float], factor: [Float], offset: [Float], residual: [Float]
    let finish: Finish

    /// - zeros: the part of the weights that is zero; of the rest some are −0, which counts as one.
    init(pixels: Int, inputs: Int, outputs: Int, zeros: Double, widerBy: Int = 0, finish: Finish = Finish(bias: true)) throws {
        (self.pixels, self.inputs, self.outputs, self.finish) = (pixels, inputs, outputs, finish)
        (inputStride, outputStride) = (inputs + widerBy, outputs + 2 * widerBy)
        var random = SeededGenerator(seed: UInt64(outputs * 31 + inputs * 7 + pixels))
        input = random.floats((pixels - 1) * inputStride + inputs)
        var weights = random.floats(outputs * inputs)
        for index in weights.indices where Double.random(in: 0..<1, using: &random) < zeros { weights[index] = index % 3 == 0 ? -0.0 : 0 }
        self.weights = weights
        (bias, factor, offset) = (random.floats(outputs), random.floats(outputs), random.floats(outputs))
        residual = random.floats((pixels - 1) * outputStride + outputs)
        packed = try Self.pack(weights, outputs, inputs)
    }

    static func pack(_ weights: [Float], _ outputs: Int, _ inputs: Int) throws -> [UInt32] {
        let kept = ck_sparse_conv_count(weights, Int64(weights.count))
        #expect(kept == Int64(weights.count { $0 != 0 }))
        let bytes = ck_sparse_conv_packed_bytes(Int64(outputs), Int64(inputs), kept)
        #expect(bytes % 64 == 0)
        var packed = [UInt32](repeating: .max, count: bytes / 4)
        try weights.withUnsafeBufferPointer { values in
            var file = ck_conv_weights(
                values: values.baseAddress, output_channels: Int64(outputs), input_channels: Int64(inputs), taps: 1, output_stride: Int64(inputs),
                input_stride: 1, tap_stride: 1)
            try #require(ck_sparse_conv_pack(&file, &packed, bytes) == 0)
        }
        return packed
    }

    /// The output [pixels, outputs] over ranges of pixels and of panels; what was not computed must still be a guard.
    func run(_ row: ck_sparse_conv_row, pixels range: Range<Int>? = nil, panels: Range<Int>? = nil) throws -> [Float] {
        let range = range ?? 0..<pixels, panels = panels ?? 0..<(outputs + 15) / 16, margin = 19
        var memory = [Float](repeating: guardValue, count: residual.count + 2 * margin)
        if finish.residual == .inPlace { memory.replaceSubrange(margin..<margin + residual.count, with: residual) }
        let scratchBytes = ck_sparse_conv_scratch_bytes(Int64(inputs))
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: scratchBytes, alignment: 64)
        defer { scratch.deallocate() }
        // NaNs: nothing may be read that was not written.
        scratch.initializeMemory(as: UInt8.self, repeating: 0xff, count: scratchBytes)
        memory.withUnsafeMutableBufferPointer { memory in
            let output = memory.baseAddress.map { $0 + margin }
            input.withUnsafeBufferPointer { input in
                packed.withUnsafeBytes { packed in
                    bias.withUnsafeBufferPointer { bias in
                        factor.withUnsafeBufferPointer { factor in
                            offset.withUnsafeBufferPointer { offset in
                                residual.withUnsafeBufferPointer { residual in
                                    var args = ck_conv_args()
                                    args.shape = Window(input: (1, pixels), kernel: (1, 1), pads: (0, 0, 0, 0)).shape(inputs: inputs, outputs: outputs)
                                    args.input = UnsafeRawPointer(input.baseAddress)
                                    args.input_pixel_stride = Int64(inputStride)
                                    args.panels = packed.baseAddress
                                    args.output = UnsafeMutableRawPointer(output)
                                    args.output_pixel_stride = Int64(outputStride)
                                    args.epilogue.bias = finish.bias ? bias.baseAddress : nil
                                    args.epilogue.factor = finish.factor ? factor.baseAddress : nil
                                    args.epilogue.offset = finish.offset ? offset.baseAddress : nil
                                    args.epilogue.residual = finish.residual.map { $0 == .inPlace ? UnsafeRawPointer(output) : UnsafeRawPointer(residual.baseAddress) } ?? nil
                                    args.epilogue.residual_pixel_stride = Int64(outputStride)
                                    args.epilogue.residual_first = finish.residual == .first
                                    args.epilogue.activation = finish.activation
                                    args.epilogue.alpha = finish.alpha
                                    args.epilogue.beta = finish.beta
                                    (args.first_pixel, args.pixel_count) = (Int64(range.lowerBound), Int64(range.count))
                                    (args.first_panel, args.panel_count) = (Int64(panels.lowerBound), Int64(panels.count))
                                    row.function(&args, scratch)
                                }
                            }
                        }
                    }
                }
            }
        }
        var result: [Float] = []
        var overwritten = 0
        for (index, value) in memory.enumerated() {
            let at = index - margin, pixel = at >= 0 ? at / outputStride : -1, channel = at >= 0 ? at % outputStride : -1
            if range.contains(pixel), channel < outputs, panels.contains(channel / 16) {
                result.append(value)
            } else {
                let before = finish.residual == .inPlace && residual.indices.contains(at) ? residual[at] : guardValue
                if value != before { overwritten += 1 }
            }
        }
        try #require(overwritten == 0, "\(overwritten) guards overwritten")
        return result
    }

    /// The largest error of the whole output over what rounding explains: half an ulp a product and a few for the epilogue.
    func worst(_ result: [Float]) -> Double {
        guard result.count == pixels * outputs else { return .infinity }
        return result.indices.map { index in
            let (pixel, channel) = index.quotientAndRemainder(dividingBy: outputs)
            var sum = finish.bias ? Double(bias[channel]) : 0, scale = 3.0
            for i in 0..<inputs {
                let product = Double(input[pixel * inputStride + i]) * Double(weights[channel * inputs + i])
                sum += product
                scale += abs(product)
            }
            let added = finish.residual == nil ? 0 : Double(residual[pixel * outputStride + channel])
            if finish.residual == .first { sum += added }
            sum = finish.activate(sum)
            if finish.factor { sum *= Double(factor[channel]) }
            if finish.offset { sum += Double(offset[channel]) }
            if finish.residual != nil, finish.residual != .first { sum += added }
            let error = abs(Double(result[index]) - sum)
            return error.isNaN ? .infinity : error / (0x1p-23 * Double(inputs + 8) * scale)
        }.max() ?? 0
    }
}

@Suite struct SparseConvolutionTests {
    /// Pixels about the edges of vectors and strips, channels about those of vectors, panels and blocks.
    @Test(arguments: RowReference.sparseConvolution.runnable) func everySizeMatchesDouble(reference: RowReference) throws {
        let row = try reference.sparseConvolutionRow()
        for pixels in [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 49, 63, 64, 65, 79, 80, 81, 127, 128, 129, 196] {
            for (inputs, outputs, wider) in [(1, 1, 0), (3, 17, 1), (16, 16, 0), (23, 31, 5), (40, 65, 0), (127, 24, 0), (128, 16, 2), (129, 15, 0)] {
                let layer = try PrunedLayer(pixels: pixels, inputs: inputs, outputs: outputs, zeros: 0.7, widerBy: wider)
                #expect(layer.worst(try layer.run(row)) <= 1, "\(inputs) to \(outputs), \(pixels) pixels")
            }
        }
    }

    /// From no zeros to nothing but zeros, over several blocks of inputs and several groups of panels.
    @Test(arguments: RowReference.sparseConvolution.runnable) func everyPartOfZerosMatchesDouble(reference: RowReference) throws {
        let row = try reference.sparseConvolutionRow()
        for zeros in [0, 0.3, 0.8, 0.99, 1] {
            for (inputs, outputs) in [(300, 100), (257, 130), (384, 64)] {
                let layer = try PrunedLayer(pixels: 70, inputs: inputs, outputs: outputs, zeros: zeros)
                #expect(layer.worst(try layer.run(row)) <= 1, "\(inputs) to \(outputs), \(zeros) zeros")
            }
        }
    }

    @Test(arguments: RowReference.sparseConvolution.runnable) func everyEpilogueMatchesDouble(reference: RowReference) throws {
        let row = try reference.sparseConvolutionRow()
        for finish in Finish.every {
            for outputs in [24, 33, 64] {
                let layer = try PrunedLayer(pixels: 37, inputs: 20, outputs: outputs, zeros: 0.6, widerBy: 3, finish: finish)
                #expect(layer.worst(try layer.run(row)) <= 1, "to \(outputs), \(finish)")
            }
        }
    }

    /// Ranges of pixels and of panels write what they say and nothing else, with the bits of the whole.
    @Test(arguments: RowReference.sparseConvolution.runnable) func rangesGiveTheBitsOfTheWhole(reference: RowReference) throws {
        let row = try reference.sparseConvolutionRow()
        let layer = try PrunedLayer(pixels: 200, inputs: 140, outputs: 120, zeros: 0.5, widerBy: 1, finish: Finish(bias: true, activation: CK_CONV_SILU))
        let whole = try layer.run(row)
        for pixels in [0..<0, 0..<1, 3..<40, 64..<128, 17..<195, 128..<200, 199..<200] {
            for panels in [0..<0, 0..<1, 1..<2, 1..<7, 4..<8, 7..<8] {
                let expected = pixels.flatMap { pixel in
                    panels.flatMap { panel in (panel * 16..<min(120, panel * 16 + 16)).map { whole[pixel * 120 + $0] } }
                }
                let part = try layer.run(row, pixels: pixels, panels: panels)
                #expect(part.map(\.bitPattern) == expected.map(\.bitPattern), "pixels \(pixels) panels \(panels)")
            }
        }
    }

    /// A NaN is in every output that reads it, whatever the activation, and in no other pixel.
    @Test(arguments: RowReference.sparseConvolution.runnable) func notANumberStaysWhereItBelongs(reference: RowReference) throws {
        let row = try reference.sparseConvolutionRow()
        for code in 0..<CK_CONV_ACTIVATION_COUNT.rawValue {
            let finish = Finish(activation: ck_conv_activation(rawValue: code), alpha: -1, beta: 1)
            var layer = try PrunedLayer(pixels: 40, inputs: 24, outputs: 32, zeros: 0.5, finish: finish)
            layer.input[30 * 24 + 2] = .nan
            let result = try layer.run(row)
            for pixel in 0..<40 {
                for channel in 0..<32 {
                    // The scalar row multiplies by its zeros.
                    let reads = pixel == 30 && (row.isa == 0 || layer.weights[channel * 24 + 2] != 0)
                    #expect(result[pixel * 32 + channel].isNaN == reads, "activation \(code) pixel \(pixel) channel \(channel)")
                }
            }
        }
    }

    @Test func packingRefusesWhatDoesNotFit() throws {
        let weights = [Float](repeating: 1, count: 17 * 5)
        let bytes = ck_sparse_conv_packed_bytes(17, 5, 85)
        var packed = [UInt32](repeating: 0, count: bytes / 4)
        weights.withUnsafeBufferPointer { values in
            var file = ck_conv_weights(
                values: values.baseAddress, output_channels: 17, input_channels: 5, taps: 1, output_stride: 5, input_stride: 1, tap_stride: 1)
            #expect(ck_sparse_conv_pack(&file, &packed, bytes - 1) == -1)
            #expect(ck_sparse_conv_pack(&file, &packed, bytes) == 0)
            file.taps = 2
            #expect(ck_sparse_conv_pack(&file, &packed, bytes) == -1)
        }
        // The lists of two panels, one block each: 17 of 5 weights, 15 of none.
        #expect(Array(packed[0...32]) == (0...32).map { UInt32(min($0, 17) * 5) })
    }

    /// Counts floats at addresses that suit no float: files place tensors anywhere.
    @Test func countsAtAnyAddress() {
        let values: [Float] = [1, 0, -0.0, .nan, 3]
        let bytes = [UInt8(7)] + values.withUnsafeBytes { Array($0) }
        bytes.withUnsafeBytes { bytes in
            #expect(ck_sparse_conv_count(bytes.baseAddress.map { $0 + 1 }, 5) == 3)
            #expect(ck_sparse_conv_count(bytes.baseAddress, 0) == 0)
        }
    }

    @Test func paysFromTheCrossoverOn() throws {
        func pays(_ row: UnsafePointer<ck_sparse_conv_row>, _ window: Window, _ inputs: Int, _ outputs: Int, zeros: Double) -> Bool {
            var shape = window.shape(inputs: inputs, outputs: outputs)
            return ck_sparse_conv_pays(row, &shape, Int64((1 - zeros) * Double(inputs * outputs)))
        }
        let pointwise = Window(input: (14, 14), kernel: (1, 1), pads: (0, 0, 0, 0))
        for reference in RowReference.sparseConvolution {
            let row = try #require(ck_sparse_conv_row_at(reference.index))
            let crossover = Double(row.pointee.crossover)
            #expect(pays(row, pointwise, 112, 672, zeros: 0.99) == (crossover <= 1))
            #expect(!pays(row, pointwise, 112, 672, zeros: min(1, crossover) - 0.01))
            #expect(!pays(row, pointwise, 3, 672, zeros: 0.99) && !pays(row, Window(input: (1, 1), kernel: (1, 1), pads: (0, 0, 0, 0)), 112, 672, zeros: 0.99))
            for other in [
                Window(input: (14, 14)), Window(input: (14, 14), kernel: (1, 1), stride: (2, 2), pads: (0, 0, 0, 0)), Window(input: (14, 14), kernel: (1, 1), pads: (1, 1, 1, 1)),
            ] { #expect(!pays(row, other, 112, 672, zeros: 0.99)) }
        }
        #expect(try #require(ck_sparse_conv_find(0)).pointee.isa == 0)
        #expect(ck_sparse_conv_find(UInt32(CK_ISA_AVX2)).pointee.isa & ~UInt32(CK_ISA_AVX2) == 0)
    }
}
