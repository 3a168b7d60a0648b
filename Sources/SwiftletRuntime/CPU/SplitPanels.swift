// Weights in a coarse and a fine part (ckernels/split.h): for the head of a language model, of whose products a sampler looks at the largest alone.
//
// The coarse panels lie like those of any matrix; behind them follow the norms of the fine rows and the rows, in the same memory or section of a file.
import CKernels

/// The fine part of a split matrix: what its panels leave out, row by row.
///
/// `@unchecked Sendable`: an address of memory that never changes once it is packed, and that the owner of the panels keeps.
struct FineRows: @unchecked Sendable {
    let base: UnsafeRawPointer
    let count, columns: Int
    private let rowBytes: Int

    init(base: UnsafeRawPointer, count: Int, columns: Int) {
        (self.base, self.count, self.columns, rowBytes) = (base, count, columns, ck_split_fine_bytes(Int64(columns)))
    }

    /// Bytes of norms and rows.
    static func byteCount(_ count: Int, columns: Int) -> Int { count * (MemoryLayout<Float>.stride + ck_split_fine_bytes(Int64(columns))) }

    /// The norm of each row.
    var norms: UnsafePointer<Float> { base.assumingMemoryBound(to: Float.self) }

    @inline(__always)
    subscript(row: Int) -> UnsafeRawPointer { base + count * MemoryLayout<Float>.stride + row * rowBytes }

    /// Splits the `valid` rows of panel number `panel`, and writes both parts and the norms.
    func split(_ source: UnsafeRawPointer, rowBytes: Int, panel: Int, valid: Int, into coarse: UnsafeMutableRawPointer) {
        let first = panel * Int(CK_PANEL_ROWS)
        _ = ck_split_pack(
            source, rowBytes, Int64(valid), Int64(columns), coarse, UnsafeMutableRawPointer(mutating: self[first]), UnsafeMutablePointer(mutating: norms + first))
    }

    /// Writes the panel of whole weights whose coarse part is `coarse`.
    @inline(__always)
    func join(_ coarse: UnsafeRawPointer, panel: Int, into whole: UnsafeMutableRawPointer) {
        let first = panel * Int(CK_PANEL_ROWS)
        ck_split_join(coarse, self[first], Int64(min(Int(CK_PANEL_ROWS), count - first)), Int64(columns), whole)
    }
}

extension PackedLayout {
    /// Rows from which splitting pays: the steps that look for the largest take as long as reading 100 KB.
    private static let leastSplitRows = 8_192

    /// The layout in two parts, where only the largest products are wanted, the weights are 8-bit blocks that are kept dense, and `isa` gains by it.
    func split(ranked: Bool, isa: UInt32) -> PackedLayout {
        guard ranked, type == CK_WEIGHT_Q8_0, sparse == CK_SPARSE_NONE, matrixCount == 1, rows >= Self.leastSplitRows,
            (1...Int(CK_SPLIT_MOST_K)).contains(columns), Self.splittingPays(isa)
        else { return self }
        return split()
    }

    private static func splittingPays(_ isa: UInt32) -> Bool { ck_split_find(isa)?.pointee.pays == 1 }

    /// Where the fine part lies in the memory of the panels; nil for whole weights.
    func fineRows(in memory: UnsafeRawPointer) -> FineRows? {
        isSplit ? FineRows(base: memory + panelCount * panelBytes, count: rows, columns: columns) : nil
    }

    /// A number that changes when a layout that could be split turns out otherwise: part of what panels on disk are known by.
    static func splitFingerprint(ranked: Bool, isa: UInt32) -> UInt64 { ranked && splittingPays(isa) ? UInt64(CK_SPLIT_LAYOUT_VERSION) << 48 : 0 }
}
