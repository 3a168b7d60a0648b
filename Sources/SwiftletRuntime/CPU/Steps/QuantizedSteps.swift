// Steps on u8 numbers that stand for others: convolutions and linear layers by the kernels of ckernels/conv_u8.h, and the ways in, out and across by those
// of ckernels/levels.h.
import CKernels

/// A convolution of u8 images, channels last.
struct QuantizedWindowStep {
    typealias Kernel = @convention(c) (UnsafePointer<ck_conv_u8_args>?) -> Void

    let kernel: Kernel
    /// The call for the first group of the first image, all pixels and panels.
    let args: UnsafePointer<ck_conv_u8_args>
    let images, groups: Int
    /// Bytes from image to image.
    let inputStride, outputStride: Int
    let groupInputs, groupOutputs, groupPanelBytes: Int
    let cut: WindowCut

    var taskCount: Int { images * groups * cut.count }

    func execute(_ task: Int) {
        let (part, place) = task.quotientAndRemainder(dividingBy: cut.count)
        let (image, group) = part.quotientAndRemainder(dividingBy: groups)
        var call = args.pointee
        call.input += image * inputStride + group * groupInputs
        call.output += image * outputStride + group * groupOutputs
        call.panels += group * groupPanelBytes
        call.factor += group * groupOutputs
        let (pixels, panels) = cut.ranges(of: place)
        (call.first_pixel, call.pixel_count) = (Int64(pixels.lowerBound), Int64(pixels.count))
        (call.first_panel, call.panel_count) = (Int64(panels.lowerBound), Int64(panels.count))
        kernel(&call)
    }
}

/// Functions of single elements from or to u8, and means.
struct LevelStep {
    enum Function {
        /// f32 to u8.
        case quantize(scale: Float, zero: UInt8)
        /// Planes of f32 to pixels of u8, channels last.
        case quantizePlanes(scale: Float, zero: UInt8, planes: Int, pixels: Int)
        /// u8 to f32.
        case dequantize(scale: Float, zero: UInt8)
        /// Two of u8 to one.
        case sum(ck_levels_sum)
        /// Images to one pixel each.
        case mean(ck_levels_mean)
    }

    let set: UnsafePointer<ck_levels_set>
    let function: Function
    var a: UnsafeRawPointer
    let b: UnsafeRawPointer
    let out: UnsafeMutableRawPointer
    /// Elements read.
    let count: Int

    /// Elements, and pixels, of a task.
    private static let perTask = 16384, pixelsPerTask = 4096

    var taskCount: Int {
        switch function {
        case .quantize, .dequantize, .sum: (count + Self.perTask - 1) / Self.perTask
        case .quantizePlanes(_, _, let planes, let pixels): count / (planes * pixels) * parts(of: pixels)
        case .mean(let mean): count / Int(mean.channels * mean.pixels)
        }
    }

    /// Whether the only operand is f32.
    var readsFloats: Bool {
        switch function {
        case .quantize, .quantizePlanes: true
        case .dequantize, .sum, .mean: false
        }
    }

    private func parts(of pixels: Int) -> Int { (pixels + Self.pixelsPerTask - 1) / Self.pixelsPerTask }

    func execute(_ task: Int) {
        let set = set.pointee
        let start = task * Self.perTask
        let number = Int64(min(count - start, Self.perTask))
        let bytes = out.assumingMemoryBound(to: UInt8.self)
        switch function {
        case .quantize(let scale, let zero):
            set.quantize?(a.assumingMemoryBound(to: Float.self) + start, number, scale, zero, bytes + start)
        case .quantizePlanes(let scale, let zero, let planes, let pixels):
            let (image, part) = task.quotientAndRemainder(dividingBy: parts(of: pixels))
            let first = part * Self.pixelsPerTask, offset = image * planes * pixels
            set.quantize_planes?(
                a.assumingMemoryBound(to: Float.self) + offset, Int64(pixels), Int64(planes), Int64(first), Int64(min(Self.pixelsPerTask, pixels - first)), scale,
                zero, bytes + offset)
        case .dequantize(let scale, let zero):
            set.dequantize?(a.assumingMemoryBound(to: UInt8.self) + start, number, scale, zero, out.assumingMemoryBound(to: Float.self) + start)
        case .sum(var sum):
            set.sum?(&sum, a.assumingMemoryBound(to: UInt8.self) + start, b.assumingMemoryBound(to: UInt8.self) + start, number, bytes + start)
        case .mean(var mean):
            let channels = Int(mean.channels)
            set.mean?(&mean, a.assumingMemoryBound(to: UInt8.self) + task * channels * Int(mean.pixels), bytes + task * channels)
        }
    }
}
