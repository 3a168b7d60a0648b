// Weight matrices in the layout the kernels read: panels of 16 output rows (see ckernels/linear.h). Packing replaces the mapped pages:
// each matrix's pages are given back once its panels are written, so resident memory stays near one copy.
import CKernels

/// One packed matrix. Immutable once made.
struct PackedMatrix: Sendable {
    let memory: AlignedMemory
    let format: ck_panel_format
    let panelBytes: Int
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

    init(_ weight: Weight, name: String, pool: ThreadPool) throws {
        guard weight.shape.rank == 2, let type = ck_weight_type(weight.format), let format = Self.panelFormat(of: weight.format),
            let rowBytes = weight.format.rowBytes(elements: weight.shape[1])
        else {
            throw SwiftletError.invalidGraph(
                node: name, reason: "a \(weight.format) tensor of shape \(weight.shape) has no packed form", remedy: "Run the node on another backend.")
        }
        let (rows, columns) = (weight.shape[0], weight.shape[1])
        let panelRows = Int(CK_PANEL_ROWS)
        let panelCount = (rows + panelRows - 1) / panelRows
        let panelBytes = ck_panel_bytes(format, Int64(columns))
        let memory = try AlignedMemory(byteCount: panelCount * panelBytes, purpose: "packed weight \(name)", hugePages: true)
        if let source = weight.store.bytes.baseAddress {
            pool.forEach(panelCount) { panel in
                let valid = min(panelRows, rows - panel * panelRows)
                _ = ck_pack_panel(
                    type, source + panel * panelRows * rowBytes, rowBytes, Int64(valid), Int64(columns), memory.base + panel * panelBytes)
            }
        }
        weight.store.releasePages()
        self.memory = memory
        self.format = format
        self.panelBytes = panelBytes
        self.panelCount = panelCount
        self.rows = rows
        self.columns = columns
    }
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
