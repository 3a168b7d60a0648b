// Names for the instruction sets kernels use, and the choice of one: what the machine has, lowered by the caller or SWIFTLET_ISA.
import CKernels
import Foundation

/// A level of vector instructions. Levels of one processor family include the ones before them.
public enum InstructionSet: String, Sendable, CaseIterable {
    case scalar
    /// Swift's own vectors, where there is such a kernel.
    case portable
    case avx2
    case avxvnni
    case avx512
    case avx512vnni
    case amx
    case neon
    case dotprod
    case i8mm

    /// The kernel bits (CK_ISA_*) a level may use.
    package var mask: UInt32 {
        let portable = UInt32(CK_ISA_PORTABLE)
        let avx2 = portable | UInt32(CK_ISA_AVX2)
        let avx512 = avx2 | UInt32(CK_ISA_AVX512)
        let vnni = avx512 | UInt32(CK_ISA_AVX512_VNNI) | UInt32(CK_ISA_AVX512_BF16) | UInt32(CK_ISA_AVX512_VBMI2) | UInt32(CK_ISA_AVX_VNNI)
        let neon = portable | UInt32(CK_ISA_NEON)
        switch self {
        case .scalar: return 0
        case .portable: return portable
        case .avx2: return avx2
        case .avxvnni: return avx2 | UInt32(CK_ISA_AVX_VNNI)
        case .avx512: return avx512
        case .avx512vnni: return vnni
        case .amx: return vnni | UInt32(CK_ISA_AMX_INT8) | UInt32(CK_ISA_AMX_BF16)
        case .neon: return neon
        case .dotprod: return neon | UInt32(CK_ISA_DOTPROD)
        case .i8mm: return neon | UInt32(CK_ISA_DOTPROD) | UInt32(CK_ISA_I8MM)
        }
    }

    /// The bits without which the level would be a lower one.
    private var defining: UInt32 {
        switch self {
        case .scalar, .portable: 0
        case .avx2: UInt32(CK_ISA_AVX2)
        case .avxvnni: UInt32(CK_ISA_AVX2) | UInt32(CK_ISA_AVX_VNNI)
        case .avx512: UInt32(CK_ISA_AVX2) | UInt32(CK_ISA_AVX512)
        case .avx512vnni: UInt32(CK_ISA_AVX2) | UInt32(CK_ISA_AVX512) | UInt32(CK_ISA_AVX512_VNNI)
        case .amx: UInt32(CK_ISA_AVX512_VNNI) | UInt32(CK_ISA_AVX512_BF16) | UInt32(CK_ISA_AMX_INT8) | UInt32(CK_ISA_AMX_BF16)
        case .neon: UInt32(CK_ISA_NEON)
        case .dotprod: UInt32(CK_ISA_NEON) | UInt32(CK_ISA_DOTPROD)
        case .i8mm: UInt32(CK_ISA_DOTPROD) | UInt32(CK_ISA_I8MM)
        }
    }

    /// The kernel bits of this machine, found once: this is also where Linux is asked for the AMX tile registers.
    private static let detected = ck_isa_detect()

    /// The levels this machine has, lowest first.
    public static let available: [InstructionSet] = levels(within: detected)

    /// The levels a set of kernel bits allows, lowest first.
    static func levels(within isa: UInt32) -> [InstructionSet] { allCases.filter { isa & $0.defining == $0.defining } }

    /// The highest level this machine has.
    public static var best: InstructionSet { available.last ?? .scalar }

    /// The level a run uses: `requested`, else the SWIFTLET_ISA environment variable, else the best.
    ///
    /// Throws `SwiftletError.invalidArgument` for an unknown name or a level the machine lacks.
    public static func resolve(_ requested: String?) throws -> InstructionSet {
        let environment = ProcessInfo.processInfo.environment["SWIFTLET_ISA"].flatMap { $0.isEmpty ? nil : $0 }
        guard let name = requested ?? environment else { return best }
        let source = requested == nil ? "SWIFTLET_ISA" : "isa"
        let names = available.map(\.rawValue).joined(separator: ", ")
        guard let level = InstructionSet(rawValue: name.lowercased()) else {
            throw SwiftletError.invalidArgument(name: source, reason: "'\(name)' is no instruction set", remedy: "This machine has: \(names).")
        }
        guard available.contains(level) else {
            throw SwiftletError.invalidArgument(name: source, reason: "this machine lacks \(name)", remedy: "It has: \(names).")
        }
        return level
    }

    /// The kernel bits of the level that this machine has.
    package var usableMask: UInt32 { mask & (Self.detected | UInt32(CK_ISA_PORTABLE)) }
}
