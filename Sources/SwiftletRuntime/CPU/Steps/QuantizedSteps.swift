// Steps on images of u8 numbers that stand for others: convolutions by the kernels of ckernels/conv_u8.h, and the ways in, out and across.
import CKernels

/// A convolution of u8 images, channels last.
struct QuantizedWindowStep {
    let kernel: @convention(c) (UnsafePointer<ck_conv_u8_args>?) -> Void
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

/// Functions of single elements from or to u8.
struct LevelStep {
    enum Function {
        /// f32 to u8: `clamp(round(x / scale) + zero)`.
        case quantize(scale: Float, zero: Float)
        /// u8 to f32: `(q − zero)·scale`.
        case dequantize(scale: Float, zero: Float)
        /// Two of u8 to one; see `QuantizedSum`.
        case sum(QuantizedSum)
    }

    let function: Function
    let a, b: UnsafeRawPointer
    let out: UnsafeMutableRawPointer
    let count: Int

    private static let perTask = 16384
    var taskCount: Int { (count + Self.perTask - 1) / Self.perTask }

    func execute(_ task: Int) {
        let range = task * Self.perTask..<min(count, (task + 1) * Self.perTask)
        let bytes = out.assumingMemoryBound(to: UInt8.self)
        switch function {
        case .quantize(let scale, let zero):
            let x = a.assumingMemoryBound(to: Float.self)
            for index in range { bytes[index] = Self.level(x[index] / scale, zero, 0, 255) }
        case .dequantize(let scale, let zero):
            let (x, to) = (a.assumingMemoryBound(to: UInt8.self), out.assumingMemoryBound(to: Float.self))
            for index in range { to[index] = (Float(x[index]) - zero) * scale }
        case .sum(let sum):
            let (x, y) = (a.assumingMemoryBound(to: UInt8.self), b.assumingMemoryBound(to: UInt8.self))
            let (zeroA, zeroB, zero) = (Float(sum.zeroA), Float(sum.zeroB), Float(sum.zero))
            let (low, high) = (Float(sum.range.lowerBound), Float(sum.range.upperBound))
            for index in range {
                let value = (Float(x[index]) - zeroA) * sum.factorA + (Float(y[index]) - zeroB) * sum.factorB
                bytes[index] = Self.level(value, zero, low, high)
            }
        }
    }

    /// `clamp(round(x) + zero)` without branches and conversions that check, so that the loops above become vectors. Adding and taking away this number
    /// rounds what is small beside it to a whole number, ties to even, and leaves the number in the low bits. A NaN becomes the zero point.
    @inline(__always)
    private static func level(_ x: Float, _ zero: Float, _ low: Float, _ high: Float) -> UInt8 {
        let rounding: Float = 0x1.8p23
        var near = x == x ? x : 0
        near = near < -1024 ? -1024 : near
        near = near > 1024 ? 1024 : near
        var level = near + rounding - rounding + zero
        level = level < low ? low : level
        level = level > high ? high : level
        return UInt8(truncatingIfNeeded: (level + rounding).bitPattern)
    }
}
