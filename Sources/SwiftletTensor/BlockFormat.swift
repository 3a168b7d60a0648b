// The quantised block formats of GGUF files: a row of a matrix is a run of blocks, each a few scales and packed small integers.
// The layouts are the structs of CKernels/blocks; this enum names them for Swift.
// Source: the GGUF specification and the `gguf` Python package, which the tests use as the oracle.
import CKernels

/// A GGUF block format. The raw value is the tensor type number in a GGUF file.
public enum BlockFormat: UInt32, Sendable, Hashable, CaseIterable {
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q2_K = 10
    case q3_K = 11
    case q4_K = 12
    case q5_K = 13
    case q6_K = 14
    case iq4_nl = 20
    case iq4_xs = 23
    case tq1_0 = 34
    case tq2_0 = 35
    case mxfp4 = 39

    /// Elements in one block. A row's element count is a multiple of it.
    public var blockElements: Int {
        switch self {
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .mxfp4: 32
        case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_xs, .tq1_0, .tq2_0: 256
        }
    }

    /// Bytes of one block.
    public var blockBytes: Int {
        switch self {
        case .q4_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .q2_K: 84
        case .q3_K: 110
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        case .iq4_nl: 18
        case .iq4_xs: 136
        case .tq1_0: 54
        case .tq2_0: 66
        case .mxfp4: 17
        }
    }

    /// The name llama.cpp and the `gguf` package print, for example `Q4_K`.
    public var name: String { String(describing: self).uppercased() }
}

/// How the elements of a weight are stored: dense numbers or quantised blocks.
public enum WeightFormat: Sendable, Hashable, CustomStringConvertible {
    case dense(DType)
    case block(BlockFormat)

    /// Bytes of one row of `elements` elements, or nil when the row does not divide into whole blocks or the product overflows.
    public func rowBytes(elements: Int) -> Int? {
        switch self {
        case .dense(let type):
            let (bytes, overflow) = elements.multipliedReportingOverflow(by: type.byteCount)
            return overflow || elements < 0 ? nil : bytes
        case .block(let format):
            guard elements >= 0, elements % format.blockElements == 0 else { return nil }
            let (bytes, overflow) = (elements / format.blockElements).multipliedReportingOverflow(by: format.blockBytes)
            return overflow ? nil : bytes
        }
    }

    public var description: String {
        switch self {
        case .dense(let type): type.rawValue.uppercased()
        case .block(let format): format.name
        }
    }
}
