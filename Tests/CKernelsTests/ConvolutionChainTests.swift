// Chains of convolutions against the same steps done one after another: the same bits, whatever the bands and ranges.
import CKernels
import SwiftletTensor
import TestSupport
import Testing

/// What one step of a chain is.
private struct Link {
    var operation: ImageOperation
    var outputs: Int
    var kernel = (height: 1, width: 1), stride = (height: 1, width: 1), dilation = (height: 1, width: 1)
    var pads = (0, 0, 0, 0)
}

/// A chain with its data, and the output of the steps one after another.
private final class Chain {
    private var memory: [AlignedMemory] = []
    private(set) var steps: [ck_conv_step] = []
    private(set) var expected: [Float] = []
    /// Of the last step's output.
    private(set) var size = (height: 0, width: 0, channels: 0)

    init(_ set: ck_conv_set, input: (height: Int, width: Int, channels: Int), links: [Link], addsInput: Bool = false) throws {
        var random = SeededGenerator(seed: UInt64(input.height * 31 + input.channels))
        func floats(_ count: Int) throws -> UnsafeMutablePointer<Float> {
            let bytes = try AlignedMemory(byteCount: max(1, count) * 4, purpose: "a test chain")
            memory.append(bytes)
            let base = bytes.base.bindMemory(to: Float.self, capacity: count)
            for (index, value) in random.floats(count).enumerated() { base[index] = value }
            return base
        }
        size = input
        let first = try floats(input.height * input.width * input.channels)
        var image = first
        for link in links {
            let window = Window(
                input: (size.height, size.width), kernel: link.kernel, stride: link.stride, dilation: link.dilation, pads: link.pads)
            let products = link.operation == .dense ? size.channels : 1, taps = window.taps
            let panels = try floats(ck_conv_packed_bytes(Int64(link.outputs), Int64(products), Int64(taps)) / 4)
            let weights = try floats(link.outputs * products * taps)
            var file = ck_conv_weights()
            file.values = UnsafePointer(weights)
            (file.output_channels, file.input_channels, file.taps) = (Int64(link.outputs), Int64(products), Int64(taps))
            (file.output_stride, file.input_stride, file.tap_stride) = (Int64(products * taps), Int64(taps), 1)
            ck_conv_pack(&file, panels)
            var step = ck_conv_step()
            step.function = link.operation == .dense ? set.dense : link.operation == .depthwise ? set.depthwise : set.max_pool
            step.args.shape = window.shape(inputs: size.channels, outputs: link.outputs)
            step.args.input = UnsafeRawPointer(image)
            step.args.input_pixel_stride = Int64(size.channels)
            step.args.panels = UnsafeRawPointer(panels)
            step.args.epilogue.bias = UnsafePointer(try floats(link.outputs))
            step.args.epilogue.activation = CK_CONV_RELU
            image = try floats(window.pixels * link.outputs)
            step.args.output = UnsafeMutableRawPointer(image)
            step.args.output_pixel_stride = Int64(link.outputs)
            step.args.pixel_count = Int64(window.pixels)
            step.args.panel_count = Int64((link.outputs + 15) / 16)
            if addsInput, steps.count == links.count - 1 {
                step.args.epilogue.residual = UnsafeRawPointer(first)
                step.args.epilogue.residual_pixel_stride = Int64(input.channels)
            }
            step.function(&step.args)
            steps.append(step)
            size = (window.output.height, window.output.width, link.outputs)
        }
        expected = Array(UnsafeBufferPointer(start: image, count: size.height * size.width * size.channels))
    }

    /// The output by the chain, in ranges of rows cut at `cuts`.
    func run(cuts: [Int]) throws -> [Float] {
        var steps = steps
        // All a chain may not look at.
        for index in steps.indices.dropFirst() { steps[index].args.input = nil }
        for index in steps.indices.dropLast() { steps[index].args.output = nil }
        var result = [Float](repeating: .nan, count: expected.count)
        let count = Int64(steps.count)
        let scratch = try AlignedMemory(byteCount: max(64, ck_conv_chain_scratch_bytes(steps, count, 4)), purpose: "the scratch of a test chain")
        result.withUnsafeMutableBufferPointer { result in
            steps[steps.count - 1].args.output = UnsafeMutableRawPointer(result.baseAddress)
            for (first, end) in zip([0] + cuts, cuts + [size.height]) {
                for index in scratch.bytes.indices { scratch.bytes[index] = 0xff }
                ck_conv_chain(steps, count, 4, Int64(first), Int64(end - first), scratch.base)
            }
        }
        return result
    }
}

@Suite struct ConvolutionChainTests {
    @Test(arguments: RowReference.convolution.runnable) func chainsHaveTheBitsOfTheirSteps(reference: RowReference) throws {
        let set = try reference.convolutionSet()
        let depthwise3 = Link(operation: .depthwise, outputs: 96, kernel: (3, 3), pads: (1, 1, 1, 1))
        let cases: [(input: (height: Int, width: Int, channels: Int), links: [Link], adds: Bool)] = [
            // An inverted residual larger than a band, with and without a stride, and one that fits.
            ((61, 50, 16), [Link(operation: .dense, outputs: 96), depthwise3, Link(operation: .dense, outputs: 16)], true),
            (
                (60, 51, 12),
                [
                    Link(operation: .dense, outputs: 96),
                    Link(operation: .depthwise, outputs: 96, kernel: (5, 5), stride: (2, 2), pads: (1, 1, 2, 2)), Link(operation: .dense, outputs: 24),
                ], false
            ),
            ((7, 7, 16), [Link(operation: .dense, outputs: 96), depthwise3, Link(operation: .dense, outputs: 16)], true),
            // Kernels that skip rows, dilations, pads beyond the kernel, a pool, four steps.
            (
                (90, 40, 20),
                [
                    Link(operation: .dense, outputs: 50, kernel: (3, 3), pads: (1, 1, 1, 1)),
                    Link(operation: .depthwise, outputs: 50, kernel: (3, 3), dilation: (3, 1), pads: (3, 1, 3, 1)),
                    Link(operation: .maxPool, outputs: 50, kernel: (2, 2), stride: (3, 2)), Link(operation: .dense, outputs: 9, kernel: (1, 1), pads: (2, 0, 1, 0)),
                ], false
            ),
            ((9, 9, 8), [Link(operation: .dense, outputs: 17, kernel: (3, 3), pads: (1, 1, 1, 1))], false),
        ]
        for (index, test) in cases.enumerated() {
            let chain = try Chain(set, input: test.input, links: test.links, addsInput: test.adds)
            let height = chain.size.height
            for cuts in [[], [1], [height / 2], [height / 3, 2 * height / 3], [height]] {
                let result = try chain.run(cuts: cuts)
                #expect(result.map(\.bitPattern) == chain.expected.map(\.bitPattern), "chain \(index), cut at \(cuts)")
            }
        }
    }
}
