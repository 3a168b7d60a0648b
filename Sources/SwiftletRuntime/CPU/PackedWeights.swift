// Weight matrices in the layout the kernels read: panels of 16 output rows (see ckernels/linear.h). Packing replaces the mapped pages: what
// has been packed is given back part by part, inside a matrix too, so resident memory stays near one copy.
//
// Two matrices that are always read together (the gate and the up projection of a gated layer) lie panel by panel in turn. Apart, a thread that
// decodes would read them as two streams and change between them every few panels, and each change costs the memory about 150 ns: measured on
// such layers, 32 GB/s instead of 45.
import CKernels

/// One packed matrix. Immutable once made.
///
/// `@unchecked Sendable`: the bytes behind `panels` never change, and `owners` keep them.
struct PackedMatrix: @unchecked Sendable {
    /// All 64-byte aligned.
    let panels: PanelPlaces
    /// Memory of its own or the mapped file of a `PanelCache`, and the table that says where sparse panels lie.
    let owners: [AnyObject]
    let format: ck_panel_format
    /// CK_SPARSE_NONE, or how the panels keep only what is not zero of panels in `format`.
    let sparse: ck_sparse_format
    /// Panels of a split matrix hold the coarse part alone; this is the rest. Nil for whole ones.
    let fine: FineRows?
    let panelCount: Int
    /// Output features (n) and input features (k).
    let rows: Int
    let columns: Int

    /// The panel format of a weight, or nil when no kernel reads it.
    static func panelFormat(of format: WeightFormat) -> ck_panel_format? {
        guard let type = ck_weight_type(format) else { return nil }
        let panel = ck_panel_for(type)
        return panel == CK_PANEL_NONE ? nil : panel
    }
}

/// The panels of one matrix, or of two of the same kind in turn.
struct PackedPanels {
    let layout: PackedLayout
    let base: UnsafeRawPointer
    let owner: AnyObject
    /// Where sparse panels lie: a copy, because what a mapped file holds may change while it is used, and kernels go where this says.
    private let offsets: PanelOffsets?

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: layout.byteCount) }

    /// The matrices, in the order of the weights.
    var matrices: [PackedMatrix] {
        (0..<layout.matrixCount).map { index in
            let (bytes, count) = (layout.panelBytes, layout.matrixCount)
            let panels =
                offsets.map { PanelPlaces(base, panelBytes: bytes, offsets: $0.base + index, stride: count) }
                ?? PanelPlaces(base + index * bytes, panelBytes: bytes, stride: count * bytes)
            return PackedMatrix(
                panels: panels, owners: [owner] + (offsets.map { [$0] } ?? []), format: layout.format, sparse: layout.sparse, fine: layout.fineRows(in: base),
                panelCount: layout.panelCount, rows: layout.rows,
                columns: layout.columns)
        }
    }

    /// Panels that lie in memory already.
    init(_ layout: PackedLayout, base: UnsafeRawPointer, owner: AnyObject) {
        self.layout = layout
        self.base = base
        self.owner = owner
        offsets = layout.offsets.isEmpty ? nil : PanelOffsets(layout.offsets)
    }

    /// File bytes that are mapped and packed at once: the most that is resident twice.
    private static let sourceBytesAtOnce = 2 << 20

    /// Packs one weight or two, sparse where kernels of `isa` gain by it, or split where only the largest products are wanted (`ranked`). Throws when
    /// there is no memory, or no packed form.
    init(_ weights: [Weight], name: String, ranked: Bool = false, isa: UInt32, pool: ThreadPool) throws {
        let layout = try PackedLayout(weights, name: name).leavingOutZeros(of: weights, isa: isa, pool: pool).split(ranked: ranked, isa: isa)
        let memory = try AlignedMemory(byteCount: layout.byteCount, purpose: "packed weight \(name)", hugePages: true)
        let (panelRows, rowBytes) = (Int(CK_PANEL_ROWS), layout.rowBytes)
        let panelsAtOnce = max(pool.threadCount, Self.sourceBytesAtOnce / max(1, rowBytes * panelRows * layout.matrixCount))
        let sources = weights.compactMap(\.store.bytes.baseAddress)
        layout.offsets.withUnsafeBytes { memory.base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory.base), byteCount: $0.count) }
        if sources.count == weights.count {
            for first in stride(from: 0, to: layout.panelCount, by: panelsAtOnce) {
                let count = min(panelsAtOnce, layout.panelCount - first)
                pool.forEach(count * sources.count) { index in
                    let (offset, matrix) = index.quotientAndRemainder(dividingBy: sources.count)
                    let panel = first + offset, valid = min(panelRows, layout.rows - panel * panelRows)
                    let (source, columns) = (sources[matrix] + panel * panelRows * rowBytes, Int64(layout.columns))
                    let place = layout.place(of: panel * sources.count + matrix)
                    if let fine = layout.fineRows(in: memory.base) {
                        fine.split(source, rowBytes: rowBytes, panel: panel, valid: valid, into: memory.base + place.lowerBound)
                    } else if layout.sparse == CK_SPARSE_NONE {
                        _ = ck_pack_panel(layout.type, source, rowBytes, Int64(valid), columns, memory.base + place.lowerBound)
                    } else {
                        _ = ck_sparse_pack(
                            layout.sparse, layout.type, source, rowBytes, Int64(valid), columns, memory.base + place.lowerBound, place.count)
                    }
                }
                let rows = first * panelRows..<min(layout.rows, (first + count) * panelRows)
                for weight in weights { weight.store.releasePages(rows.lowerBound * rowBytes..<rows.upperBound * rowBytes) }
            }
        }
        self.init(layout, base: UnsafeRawPointer(memory.base), owner: memory)
    }
}

/// A table of offsets in memory of its own.
private final class PanelOffsets {
    let base: UnsafePointer<UInt32>

    init(_ offsets: [UInt32]) {
        let memory = UnsafeMutablePointer<UInt32>.allocate(capacity: offsets.count)
        memory.initialize(from: offsets, count: offsets.count)
        base = UnsafePointer(memory)
    }

    deinit { base.deallocate() }
}

/// The sizes of the panels of one weight, or of two of the same kind.
struct PackedLayout {
    let type: ck_weight_type
    private(set) var format: ck_panel_format
    /// Whether the panels hold the coarse part of the weights, and fine rows and norms lie behind them (ckernels/split.h).
    private(set) var isSplit = false
    /// CK_SPARSE_NONE for dense panels.
    private(set) var sparse = CK_SPARSE_NONE
    let rows, columns, rowBytes, panelCount, matrixCount: Int
    /// Bytes of a panel; of sparse ones the mean.
    private(set) var panelBytes: Int
    /// Sparse panels: where each begins, in lines of 64 bytes, and where the last ends. The table itself is what the memory begins with.
    private(set) var offsets: [UInt32] = []

    /// Sparse panels end where it takes all that kernels may read of the last one, whatever its masks say.
    var byteCount: Int {
        guard sparse != CK_SPARSE_NONE, let last = offsets.dropLast().last, let end = offsets.last else {
            return matrixCount * panelCount * panelBytes + (isSplit ? FineRows.byteCount(rows, columns: columns) : 0)
        }
        return max(PanelPlaces.lineBytes * Int(end), PanelPlaces.lineBytes * Int(last) + ck_sparse_reach(sparse, Int64(columns)))
    }

    /// Where a panel lies, counted from the beginning of the memory.
    func place(of panel: Int) -> Range<Int> {
        sparse == CK_SPARSE_NONE
            ? panel * panelBytes..<(panel + 1) * panelBytes : PanelPlaces.lineBytes * Int(offsets[panel])..<PanelPlaces.lineBytes * Int(offsets[panel + 1])
    }

    /// Lines of a table of offsets.
    var tableLines: Int {
        ((matrixCount * panelCount + 1) * MemoryLayout<UInt32>.stride + PanelPlaces.lineBytes - 1) / PanelPlaces.lineBytes
    }

    /// The same weights in sparse panels at `offsets`, behind their table.
    func sparse(_ format: ck_sparse_format, offsets: [UInt32]) -> PackedLayout {
        var layout = self
        (layout.sparse, layout.offsets) = (format, offsets)
        if let first = offsets.first, let end = offsets.last, offsets.count > 1 {
            layout.panelBytes = PanelPlaces.lineBytes * Int(end - first) / (offsets.count - 1)
        }
        return layout
    }

    /// The same weight, which must be one of 8-bit blocks, in two parts.
    func split() -> PackedLayout {
        var layout = self
        (layout.format, layout.isSplit, layout.panelBytes) = (CK_PANEL_Q5, true, ck_panel_bytes(CK_PANEL_Q5, Int64(columns)))
        return layout
    }

    /// Throws `SwiftletError.invalidGraph` for weights that have no packed form, or none together.
    init(_ weights: [Weight], name: String) throws {
        guard let weight = weights.first, weights.allSatisfy({ Self.liesInTurn($0, weight) }), weight.shape.rank == 2,
            let type = ck_weight_type(weight.format), let format = PackedMatrix.panelFormat(of: weight.format),
            let rowBytes = weight.format.rowBytes(elements: weight.shape[1])
        else {
            throw SwiftletError.invalidGraph(
                node: name, reason: "\(weights.map { "a \($0.format) tensor of shape \($0.shape)" }.joined(separator: " and ")) has no packed form",
                remedy: "Run the node on another backend.")
        }
        self.type = type
        self.format = format
        self.rowBytes = rowBytes
        (rows, columns) = (weight.shape[0], weight.shape[1])
        panelCount = (rows + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS)
        panelBytes = ck_panel_bytes(format, Int64(columns))
        matrixCount = weights.count
    }

    /// Whether the panels of two weights can lie in turn.
    static func liesInTurn(_ a: Weight, _ b: Weight) -> Bool { a.format == b.format && a.shape == b.shape }
}

extension ck_weight_type {
    /// The kernels' name for a weight format: GGUF's type number.
    init?(_ format: WeightFormat) {
        switch format {
        case .dense(.f32): self = CK_WEIGHT_F32
        case .dense(.f16): self = CK_WEIGHT_F16
        case .dense(.bf16): self = CK_WEIGHT_BF16
        case .dense: return nil
        case .block(let block): self = ck_weight_type(rawValue: block.rawValue)
        }
    }
}
