// The tensor type numbers of GGUF files and the weight formats they stand for (github.com/ggml-org/ggml, docs/gguf.md).
import SwiftletTensor

extension WeightFormat {
    /// The format behind a tensor type number, or nil when this version does not read it.
    public init?(ggufType number: UInt32) {
        switch number {
        case 0: self = .dense(.f32)
        case 1: self = .dense(.f16)
        case 24: self = .dense(.i8)
        case 25: self = .dense(.i16)
        case 26: self = .dense(.i32)
        case 27: self = .dense(.i64)
        case 28: self = .dense(.f64)
        case 30: self = .dense(.bf16)
        default:
            guard let block = BlockFormat(rawValue: number) else { return nil }
            self = .block(block)
        }
    }

    /// The tensor type number of a GGUF file, or nil when GGUF has none for this format (unsigned integers, booleans).
    public var ggufType: UInt32? {
        switch self {
        case .block(let format): format.rawValue
        case .dense(.f32): 0
        case .dense(.f16): 1
        case .dense(.i8): 24
        case .dense(.i16): 25
        case .dense(.i32): 26
        case .dense(.i64): 27
        case .dense(.f64): 28
        case .dense(.bf16): 30
        case .dense: nil
        }
    }
}
