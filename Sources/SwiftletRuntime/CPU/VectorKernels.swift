// The vector set of an ISA mask with its C function pointers made non-optional once, so that steps call them directly.
import CKernels
import SwiftletPortableKernels

typealias UnaryKernel = @convention(c) (UnsafePointer<Float>?, Int64, UnsafeMutablePointer<Float>?) -> Void
typealias BinaryKernel = @convention(c) (UnsafePointer<Float>?, UnsafePointer<Float>?, Int64, UnsafeMutablePointer<Float>?) -> Void
typealias RopeKernel =
    @convention(c) (
        UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?, Int64, Int64, Int64, UnsafeMutablePointer<Float>?
    ) -> Void
typealias RMSNormKernel = @convention(c) (UnsafePointer<Float>?, UnsafePointer<Float>?, Int64, Float, UnsafeMutablePointer<Float>?) -> Void
typealias LayerNormKernel =
    @convention(c) (UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?, Int64, Float, UnsafeMutablePointer<Float>?) -> Void
typealias SoftmaxKernel = @convention(c) (UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, Int64, Float, Float) -> Void
typealias FactorKernel = @convention(c) (UnsafePointer<Float>?, Float, Int64, UnsafeMutablePointer<Float>?) -> Void
typealias AddScaledKernel = @convention(c) (UnsafePointer<Float>?, UnsafePointer<Float>?, Float, Int64, UnsafeMutablePointer<Float>?) -> Void
typealias NarrowKernel = @convention(c) (UnsafePointer<Float>?, Int64, UnsafeMutablePointer<UInt16>?) -> Void
typealias WidenKernel = @convention(c) (UnsafePointer<UInt16>?, Int64, UnsafeMutablePointer<Float>?) -> Void

/// The row operations of the best vector set within an ISA mask.
struct VectorKernels: Sendable {
    let rmsNorm: RMSNormKernel
    let layerNorm: LayerNormKernel
    let softmax: SoftmaxKernel
    let tanh, sigmoid, relu, silu, gelu, geluTanh: UnaryKernel
    let siluGate, geluGate, geluTanhGate, reluGate, sigmoidGate: BinaryKernel
    let add, multiply: BinaryKernel
    let addScaled: AddScaledKernel
    let scale, softcap: FactorKernel
    let f16ToF32, bf16ToF32: WidenKernel
    let f32ToBF16: NarrowKernel
    let ropeAdjacent, ropeHalf: RopeKernel

    /// Throws `SwiftletError.unsupported` when the set lacks an operation, which would be an incomplete build.
    init(isa: UInt32) throws {
        guard let set = PortableKernels.findVector(isa: isa) else { throw Self.missing("a vector set") }
        func required<Function>(_ function: Function?, _ name: String) throws -> Function {
            guard let function else { throw Self.missing("\(name) of \(String(cString: set.name))") }
            return function
        }
        rmsNorm = try required(set.rms_norm, "rms_norm")
        layerNorm = try required(set.layer_norm, "layer_norm")
        softmax = try required(set.softmax, "softmax")
        tanh = try required(set.tanh, "tanh")
        sigmoid = try required(set.sigmoid, "sigmoid")
        relu = try required(set.relu, "relu")
        silu = try required(set.silu, "silu")
        gelu = try required(set.gelu, "gelu")
        geluTanh = try required(set.gelu_tanh, "gelu_tanh")
        siluGate = try required(set.silu_gate, "silu_gate")
        geluGate = try required(set.gelu_gate, "gelu_gate")
        geluTanhGate = try required(set.gelu_tanh_gate, "gelu_tanh_gate")
        reluGate = try required(set.relu_gate, "relu_gate")
        sigmoidGate = try required(set.sigmoid_gate, "sigmoid_gate")
        add = try required(set.add, "add")
        multiply = try required(set.multiply, "multiply")
        addScaled = try required(set.add_scaled, "add_scaled")
        scale = try required(set.scale, "scale")
        softcap = try required(set.softcap, "softcap")
        f16ToF32 = try required(set.f16_to_f32, "f16_to_f32")
        bf16ToF32 = try required(set.bf16_to_f32, "bf16_to_f32")
        f32ToBF16 = try required(set.f32_to_bf16, "f32_to_bf16")
        ropeAdjacent = try required(set.rope_adjacent, "rope_adjacent")
        ropeHalf = try required(set.rope_half, "rope_half")
    }

    private static func missing(_ what: String) -> SwiftletError {
        .unsupported(file: "kernels", place: what, reason: "is missing from this build", remedy: "Rebuild the package.")
    }

    /// Whether a unary function has a kernel.
    static func has(_ unary: Unary) -> Bool {
        switch unary {
        case .relu, .sigmoid, .tanh, .silu, .gelu, .geluTanh, .scale, .softcap: true
        default: false
        }
    }

    /// The kernel of a unary function, or nil when it has none.
    func function(_ unary: Unary) -> ElementFunction? {
        switch unary {
        case .relu: .plain(relu)
        case .sigmoid: .plain(sigmoid)
        case .tanh: .plain(tanh)
        case .silu: .plain(silu)
        case .gelu: .plain(gelu)
        case .geluTanh: .plain(geluTanh)
        case .scale(let factor): .factor(scale, factor)
        case .softcap(let limit): .factor(softcap, limit)
        default: nil
        }
    }

    /// The kernel of `f(gate)·up`, or nil when `f` has none.
    func gate(_ unary: Unary) -> BinaryKernel? {
        switch unary {
        case .relu: reluGate
        case .sigmoid: sigmoidGate
        case .silu: siluGate
        case .gelu: geluGate
        case .geluTanh: geluTanhGate
        default: nil
        }
    }
}

/// A unary kernel with its parameter.
enum ElementFunction {
    case plain(UnaryKernel)
    case factor(FactorKernel, Float)

    @inline(__always)
    func callAsFunction(_ x: UnsafePointer<Float>, _ count: Int, _ out: UnsafeMutablePointer<Float>) {
        switch self {
        case .plain(let kernel): kernel(x, Int64(count), out)
        case .factor(let kernel, let factor): kernel(x, factor, Int64(count), out)
        }
    }
}
