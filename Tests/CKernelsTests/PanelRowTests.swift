// Rows read out of panels: what `ck_panel_value` says, and for exact types the very floats of the file.
import CKernels
import Foundation
import SwiftletTensor
import TestSupport
import Testing

@Suite("Rows of panels")
struct PanelRowTests {
    private static let types: [ck_weight_type] = [
        CK_WEIGHT_F32, CK_WEIGHT_F16, CK_WEIGHT_BF16, CK_WEIGHT_Q4_0, CK_WEIGHT_Q4_1, CK_WEIGHT_Q5_0, CK_WEIGHT_Q5_1, CK_WEIGHT_Q8_0, CK_WEIGHT_Q2_K,
        CK_WEIGHT_Q3_K, CK_WEIGHT_Q4_K, CK_WEIGHT_Q5_K, CK_WEIGHT_Q6_K, CK_WEIGHT_IQ4_NL, CK_WEIGHT_IQ4_XS, CK_WEIGHT_TQ1_0, CK_WEIGHT_TQ2_0,
        CK_WEIGHT_MXFP4,
    ]

    @Test("A row is its values, bit by bit", arguments: types) func rows(_ type: ck_weight_type) throws {
        for rows in [1, 15, 16, 17, 33] {
            let weights = try FileWeights(type, rows: rows, k: 512, seed: UInt64(rows))
            let packed = try weights.packed()
            for row in 0..<rows {
                // One guard behind the row: nothing is written past it.
                var output = [Float](repeating: 7, count: 513)
                ck_panel_read_row(packed.panel, packed.memory.base + row / 16 * packed.stride, Int64(row % 16), 512, &output)
                #expect(output[512] == 7)
                let wrong = (0..<512).first { output[$0].bitPattern != packed.value(row: row, k: $0).bitPattern }
                #expect(wrong == nil, "row \(row) differs from ck_panel_value")
                guard ck_panel_is_exact(type) else { continue }
                let other = (0..<512).first { output[$0].bitPattern != weights.values[row * 512 + $0].bitPattern }
                #expect(other == nil, "row \(row) differs from the file")
            }
        }
    }

    @Test("The types with f16 scales and the dense ones are exact") func exactness() {
        let exact: Set<UInt32> = [0, 1, 2, 3, 6, 7, 8, 20, 30, 34, 35]
        for type in Self.types { #expect(ck_panel_is_exact(type) == exact.contains(type.rawValue), "\(type.rawValue)") }
        #expect(!ck_panel_is_exact(ck_weight_type(rawValue: 99)))
    }

    @Test("Each type has a fingerprint of its own, the same every time") func fingerprints() throws {
        let bytes = ck_panel_fingerprint_bytes()
        let memory = try AlignedMemory(byteCount: bytes, purpose: "test")
        let first = Self.types.map { ck_panel_fingerprint($0, memory.base) }
        memset(memory.base, 0xA5, bytes)
        #expect(Self.types.map { ck_panel_fingerprint($0, memory.base) } == first)
        #expect(Set(first).count == first.count)
        #expect(!first.contains(0))
        #expect(ck_panel_fingerprint(ck_weight_type(rawValue: 99), memory.base) == 0)
    }
}
