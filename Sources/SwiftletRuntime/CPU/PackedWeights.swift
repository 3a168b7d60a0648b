// Weight matrices in the layout the kernels read: panels of 16 output rows (see ckernels/linear.h). Packing replaces the mapped pages: what
// has been packed is given back part by part, inside a matrix too, so resident memory stays near one copy.
import CKernels

/// One packed matrix. Immutable once made.
///
/// `@unchecked Sendable`: the bytes behind `panels` never change, and `owner` keeps them.
struct PackedMatrix: @unchecked Sendable {
    /// 64-byte aligned, `byteCount` bytes: panel after panel.
    let panels: UnsafeRawPointer
    /// Memory of its own, or the mapped file of a `PanelCache`.
    let owner: AnyObject
    let format: ck_panel_format
    let panelBytes: Int
    let panelCount: Int
    /// Output features (n) and input features (k).
    let rows: Int
    let columns: Int

    var byteCount: Int { panelCount * panelBytes }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: panels, count: byteCount) }

    /// File bytes that are mapped and packed at once: the most that is resident twice.
    private static let sourceBytesAtOnce = 2 << 20

    /// The panel format of a weight, or nil when no kernel reads it.
    static func panelFormat(of format: WeightFormat) -> ck_panel_format? {
        guard let type = ck_weight_type(format) else { return nil }
        let panel = ck_panel_for(type)
        return panel == CK_PANEL_NONE ? nil : panel
    }

    /// The sizes of the panels of `weight`. Throws `SwiftletError.invalidGraph` for one that has no packed form.
    struct Layout {
        let type: ck_weight_type
        let format: ck_panel_format
        let rows, columns, rowBytes, panelBytes, panelCount: Int

        init(_ weight: Weight, name: String) throws {
            guard weight.shape.rank == 2, let type = ck_weight_type(weight.format), let format = PackedMatrix.panelFormat(of: weight.format),
                let rowBytes = weight.format.rowBytes(elements: weight.shape[1])
            else {
                throw SwiftletError.invalidGraph(
                    node: name, reason: "a \(weight.format) tensor of shape \(weight.shape) has no packed form",
                    remedy: "Run the node on another backend.")
            }
            self.type = type
            self.format = format
            self.rowBytes = rowBytes
            (rows, columns) = (weight.shape[0], weight.shape[1])
            panelCount = (rows + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS)
            panelBytes = ck_panel_bytes(format, Int64(columns))
        }
    }

    /// Panels that lie in memory already.
    init(_ layout: Layout, panels: UnsafeRawPointer, owner: AnyObject) {
        self.panels = panels
        self.owner = owner
        format = layout.format
        panelBytes = layout.panelBytes
        panelCount = layout.panelCount
        rows = layout.rows
        columns = layout.columns
    }

    /// Packs a weight. Throws when there is no memory, or no packed form.
    init(_ weight: Weight, name: String, pool: ThreadPool) throws {
        let layout = try Layout(weight, name: name)
        let memory = try AlignedMemory(byteCount: layout.panelCount * layout.panelBytes, purpose: "packed weight \(name)", hugePages: true)
        let panelRows = Int(CK_PANEL_ROWS)
        if let source = weight.store.bytes.baseAddress {
            let panelsAtOnce = max(pool.threadCount, Self.sourceBytesAtOnce / max(1, layout.rowBytes * panelRows))
            for first in stride(from: 0, to: layout.panelCount, by: panelsAtOnce) {
                let count = min(panelsAtOnce, layout.panelCount - first)
                pool.forEach(count) { index in
                    let panel = first + index, valid = min(panelRows, layout.rows - panel * panelRows)
                    _ = ck_pack_panel(
                        layout.type, source + panel * panelRows * layout.rowBytes, layout.rowBytes, Int64(valid), Int64(layout.columns),
                        memory.base + panel * layout.panelBytes)
                }
                weight.store.releasePages(first * panelRows * layout.rowBytes..<min(layout.rows, (first + count) * panelRows) * layout.rowBytes)
            }
        }
        self.init(layout, panels: UnsafeRawPointer(memory.base), owner: memory)
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
