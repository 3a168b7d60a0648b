// One kernel on one layer shape: what is timed, how much work one call is, and how it is set up and checked.
import SwiftletTensor

/// A kernel of one of the tables, on the shape of a real layer. Holds no data until `prepare`.
public struct KernelCase {
    /// The tables of CKernels.
    public enum Family: String, CaseIterable, Codable, Sendable {
        case linear, sparse, quantize, attention, vector, convolution
    }

    public let family: Family
    /// Name of the row in its table.
    public let kernel: String
    /// The CK_ISA_ bits it needs; 0 for a scalar twin.
    public let isa: UInt32
    /// Name of the model the shape is from.
    public let model: String
    /// What comes after kernel and model in the name: layer, variant, rows.
    public let shape: String
    /// Arithmetic operations of one call, a multiply and an add counting as two: those of the definition, whatever the kernel spends
    /// (two-term activations cost a second dot product and count the same). 0 where bytes are all that matters.
    public let operations: Double
    /// Bytes one call has to read and write when every operand moves once.
    public let bytes: Double
    /// Whether consecutive calls read different copies of the weights, more than caches hold: then the rate is held against memory bandwidth.
    public let streamsMemory: Bool
    /// The type of operand whose peak the arithmetic is held against, as `ck_peak_row` names it; nil where there is none.
    public let peakUnit: String?
    /// Whether the model's own file holds the layer in the format this kernel reads; true where formats play no part.
    public let isOwnFormat: Bool

    let make: () throws -> any PreparedKernel

    /// "family/kernel/model/layer/…", unique within a catalogue.
    public var name: String { "\(family.rawValue)/\(kernel)/\(model)/\(shape)" }

    /// Allocates and fills the operands from a fixed seed. Throws `SwiftletError.outOfMemory`.
    public func prepare() throws -> any PreparedKernel { try make() }
}

/// A kernel with its operands. Used by one thread.
public protocol PreparedKernel: AnyObject {
    /// Runs the kernel and its scalar twin and compares the results. Throws `SwiftletError.numerical` with the first difference.
    func verify() throws
    /// Calls the kernel `calls` times.
    func run(calls: Int)
}

extension PreparedKernel {
    /// The error of a result that differs from the scalar twin's.
    func difference(_ kernel: String, at place: String, actual: Float, expected: Float) -> SwiftletError {
        .numerical(
            routine: kernel, reason: "gives \(actual) at \(place) where the scalar twin gives \(expected)",
            remedy: "A figure for a wrong kernel means nothing: repair it, with CKernelsTests as the guide.")
    }
}

/// Fixed numbers to fill operands with: SplitMix64 (Steele, Lea and Flood, 2014).
struct FillGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Fills with numbers uniform in ±`magnitude`.
    mutating func fill(_ floats: UnsafeMutableBufferPointer<Float>, magnitude: Float) {
        for index in floats.indices { floats[index] = Float(Int32(truncatingIfNeeded: next() >> 32)) * 0x1p-31 * magnitude }
    }
}

/// An array of one element type in aligned memory.
final class Operand<Element: BitwiseCopyable> {
    private let memory: AlignedMemory
    let elements: UnsafeMutableBufferPointer<Element>

    init(count: Int, purpose: String) throws {
        // Mapped as packed weights are.
        memory = try AlignedMemory(byteCount: count * MemoryLayout<Element>.stride, purpose: purpose, hugePages: true)
        elements = memory.bytes.bindMemory(to: Element.self)
    }

    var base: UnsafeMutablePointer<Element> { elements.baseAddress.unsafelyUnwrapped }
}
