// Kernels in Swift's vector types, for machines the C tables have nothing but scalar rows for. Rows of the same form, functions of the same C types, so
// that dispatch, tests and benchmarks treat both alike.
import CKernels

/// The tables of portable kernels and the look-ups that join them to the C tables: a C row comes first, unless it is the scalar one and there is a portable
/// one.
package enum PortableKernels {
    /// The bit of an ISA mask that allows them. Not a feature of any CPU: all have it.
    package static let isa = UInt32(CK_ISA_PORTABLE)

    /// A name that is never freed.
    static func name(_ name: StaticString) -> UnsafePointer<CChar> { UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self) }

    /// The best linear kernel within `isa` for `rows` activation rows; nil for a pair of formats no table has.
    package static func findLinear(_ panel: ck_panel_format, _ activation: ck_activation_format, isa: UInt32, rows: Int64) -> ck_linear_row? {
        let row = ck_linear_find(panel, activation, isa, rows)?.pointee
        if row?.isa ?? 0 == 0, isa & Self.isa != 0, let portable = linear.first(where: { $0.panel == panel && $0.activation == activation }) {
            return portable
        }
        return row
    }

    /// The best quantiser within `isa`; nil only for CK_ACT_F32, which needs none.
    package static func findQuantizer(_ activation: ck_activation_format, isa: UInt32) -> ck_quantize_row? {
        let row = ck_quantize_find(activation, isa)?.pointee
        if row?.isa ?? 0 == 0, isa & Self.isa != 0, let portable = quantizers.first(where: { $0.activation == activation }) { return portable }
        return row
    }

    /// The best set of row operations within `isa`.
    package static func findVector(isa: UInt32) -> ck_vector_set? {
        let set = ck_vector_find(isa)?.pointee
        return set?.isa ?? 0 == 0 && isa & Self.isa != 0 ? vector : set
    }

    /// The best attention kernels within `isa`; `mayRound` as in ck_attention_find.
    package static func findAttention(isa: UInt32, mayRound: Bool) -> ck_attention_row? {
        let row = ck_attention_find(isa, mayRound)?.pointee
        return row?.isa ?? 0 == 0 && isa & Self.isa != 0 ? attention : row
    }
}
