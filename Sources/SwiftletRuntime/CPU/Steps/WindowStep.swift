// Convolutions, pooling and whatever else goes over the pixels of images: calls of the kernels of ckernels/conv.h, shared out by pixels and by
// panels of output channels.
import CKernels

typealias WindowKernel = @convention(c) (UnsafePointer<ck_conv_args>?) -> Void
typealias ScratchKernel = @convention(c) (UnsafePointer<ck_conv_args>?, UnsafeMutableRawPointer?) -> Void

/// One operation on images, channels last.
struct WindowStep {
    enum Kernel {
        case plain(WindowKernel)
        /// Winograd's, whose pixels are tiles of pixels, and 1×1 convolutions without their zeros (ckernels/sparse_conv.h): they need memory of their own.
        case scratch(ScratchKernel, bytes: Int)

        var scratchBytes: Int { if case .scratch(_, let bytes) = self { bytes } else { 0 } }
    }

    let kernel: Kernel
    /// The call for the first group of the first image, all pixels and panels.
    let args: UnsafePointer<ck_conv_args>
    let images: Int
    let groups: Int
    /// Bytes of an element of an image.
    let elementBytes: Int
    /// Elements from image to image.
    let inputStride, outputStride, residualStride, factorStride: Int
    /// Channels from group to group, and bytes from group to group in the packed weights.
    let groupInputs, groupOutputs, groupPanelBytes: Int
    let cut: WindowCut

    var taskCount: Int { images * groups * cut.count }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        let (part, place) = task.quotientAndRemainder(dividingBy: cut.count)
        let (image, group) = part.quotientAndRemainder(dividingBy: groups)
        var call = args.pointee
        call.input += (image * inputStride + group * groupInputs) * elementBytes
        call.output += (image * outputStride + group * groupOutputs) * elementBytes
        if call.panels != nil { call.panels += group * groupPanelBytes }
        if call.epilogue.bias != nil { call.epilogue.bias += group * groupOutputs }
        if call.epilogue.factor != nil { call.epilogue.factor += image * factorStride + group * groupOutputs }
        if call.epilogue.offset != nil { call.epilogue.offset += group * groupOutputs }
        if call.epilogue.residual != nil { call.epilogue.residual += (image * residualStride + group * groupOutputs) * elementBytes }
        let (pixels, panels) = cut.ranges(of: place)
        (call.first_pixel, call.pixel_count) = (Int64(pixels.lowerBound), Int64(pixels.count))
        (call.first_panel, call.panel_count) = (Int64(panels.lowerBound), Int64(panels.count))
        switch kernel {
        case .plain(let kernel): kernel(&call)
        case .scratch(let kernel, _): kernel(&call, scratch)
        }
    }
}
