// The sizes of a convolution layer, as shape files give them.
import CKernels

/// A two-dimensional convolution of one image.
public struct ConvolutionShape: Sendable, Equatable {
    public var height: Int, width: Int
    public var inputs: Int, outputs: Int
    /// 1, or as many as inputs and outputs (depthwise).
    public var groups: Int
    public var kernelHeight: Int, kernelWidth: Int
    public var strideHeight: Int, strideWidth: Int
    public var padTop: Int, padLeft: Int, padBottom: Int, padRight: Int

    /// - sizes: the columns of a shape file from the height to the right pad.
    /// Returns nil unless there are 13 of them, sizes at least 1, pads at least 0, groups as above and an output of at least one pixel.
    public init?(_ sizes: [Int]) {
        guard sizes.count == 13, sizes.prefix(9).allSatisfy({ $0 > 0 }), sizes.suffix(4).allSatisfy({ $0 >= 0 }) else { return nil }
        (height, width, inputs, outputs, groups) = (sizes[0], sizes[1], sizes[2], sizes[3], sizes[4])
        (kernelHeight, kernelWidth, strideHeight, strideWidth) = (sizes[5], sizes[6], sizes[7], sizes[8])
        (padTop, padLeft, padBottom, padRight) = (sizes[9], sizes[10], sizes[11], sizes[12])
        guard groups == 1 || (groups == inputs && groups == outputs) else { return nil }
        guard height + padTop + padBottom >= kernelHeight, width + padLeft + padRight >= kernelWidth else { return nil }
    }

    public var outputHeight: Int { (height + padTop + padBottom - kernelHeight) / strideHeight + 1 }
    public var outputWidth: Int { (width + padLeft + padRight - kernelWidth) / strideWidth + 1 }
    public var isDepthwise: Bool { groups > 1 }
    /// Input channels a sum runs over.
    var groupInputs: Int { inputs / groups }
    var taps: Int { kernelHeight * kernelWidth }
    /// Multiplications and additions of the definition, pads counted as if they were pixels.
    public var operations: Double { 2 * Double(outputHeight * outputWidth) * Double(outputs) * Double(groupInputs * taps) }
    /// Input, weights and output, each once.
    func bytes(elementBytes: Int) -> Double {
        Double(elementBytes)
            * (Double(height * width) * Double(inputs) + Double(outputs * groupInputs * taps) + Double(outputHeight * outputWidth) * Double(outputs))
    }

    /// The call for the whole image, with bias and ReLU.
    func call(input: UnsafeRawPointer, panels: UnsafeRawPointer, bias: UnsafePointer<Float>, output: UnsafeMutableRawPointer) -> ck_conv_args {
        var args = ck_conv_args()
        args.shape = kernelShape
        args.input = input
        args.input_pixel_stride = Int64(inputs)
        args.panels = panels
        args.output = output
        args.output_pixel_stride = Int64(outputs)
        args.epilogue.bias = bias
        args.epilogue.activation = CK_CONV_RELU
        args.pixel_count = Int64(outputHeight * outputWidth)
        args.panel_count = (Int64(outputs) + Int64(CK_CONV_PANEL) - 1) / Int64(CK_CONV_PANEL)
        return args
    }

    var kernelShape: ck_conv_shape {
        ck_conv_shape(
            input_height: Int64(height), input_width: Int64(width), output_height: Int64(outputHeight), output_width: Int64(outputWidth),
            kernel_height: Int64(kernelHeight), kernel_width: Int64(kernelWidth), stride_height: Int64(strideHeight), stride_width: Int64(strideWidth),
            dilation_height: 1, dilation_width: 1, pad_top: Int64(padTop), pad_left: Int64(padLeft), pad_bottom: Int64(padBottom),
            pad_right: Int64(padRight), input_channels: Int64(groupInputs), output_channels: Int64(outputs))
    }
}
