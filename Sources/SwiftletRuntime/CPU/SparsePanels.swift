// Weights most of which are zero: when their panels leave the zeros out (ckernels/sparse.h), and how such panels are kept on disk.
//
// A matrix is looked at when it is packed. Above the part of zeros from which the sparse kernels of the instruction sets at hand are faster (a figure
// measured for each row of their table) it becomes sparse panels; below, or where only part of its panels would fit, it stays dense. Nothing in the
// graph knows: the weight is what it was, and both forms give the same bits.
import CKernels

/// Whether weights are worth leaving zeros out of.
enum SparseChoice {
    /// The forms, the one first that gains more where both do: whole runs of zeros are left out of the arithmetic as well.
    static let formats = [CK_SPARSE_BLOCKS, CK_SPARSE_BITMAP]

    /// The part of weights that `format` leaves out, 0...1, from which its panels of `type` beat dense ones; nil where they never do.
    ///
    /// The same for both roundings of activations, so that a packed matrix serves both.
    static func crossover(of format: ck_sparse_format, _ type: ck_weight_type, isa: UInt32) -> Float? {
        guard ck_sparse_count(format, type, nil, 0, 1, 0) >= 0, let row = ck_sparse_find(format, CK_ACT_Q15, isa)?.pointee, row.crossover <= 1
        else { return nil }
        return row.crossover
    }

    /// A number that changes when the choice may turn out otherwise: part of what panels on disk are known by. 0 for types that are never sparse.
    static func fingerprint(of type: ck_weight_type, isa: UInt32) -> UInt64 {
        let crossovers = formats.map { crossover(of: $0, type, isa: isa) }
        guard crossovers.contains(where: { $0 != nil }) else { return 0 }
        let words = crossovers.map { UInt64($0?.bitPattern ?? 0) } + [UInt64(CK_SPARSE_LAYOUT_VERSION)]
        return words.withUnsafeBytes { ck_checksum($0.baseAddress, $0.count, UInt64(type.rawValue)) }
    }
}

extension PackedLayout {
    /// Panels looked at before all are: weights that were never pruned are known by a few.
    private static let sampledPanels = 16

    /// The layout with zeros left out, where that pays: enough of the weights are zero, and the fullest panel is smaller than a dense one.
    func leavingOutZeros(of weights: [Weight], isa: UInt32, pool: ThreadPool) -> PackedLayout { withoutZeros(of: weights, isa: isa, pool: pool).layout }

    /// That layout, and the weights that all its panels keep, where they are sparse. Without a pool the calling thread counts.
    fileprivate func withoutZeros(of weights: [Weight], isa: UInt32, pool: ThreadPool?) -> (layout: PackedLayout, kept: Int) {
        guard panelCount > 0, columns > 0 else { return (self, 0) }
        let sources = weights.compactMap(\.store.bytes.baseAddress)
        guard sources.count == weights.count else { return (self, 0) }
        let total = panelCount * sources.count
        let sampled = Array(stride(from: 0, to: total, by: max(1, total / Self.sampledPanels)))
        for format in SparseChoice.formats {
            guard let crossover = SparseChoice.crossover(of: format, type, isa: isa) else { continue }
            if zeros(kept(format, sampled, sources, pool), panels: sampled.count) < 0.5 * crossover { continue }
            let counts = kept(format, Array(0..<total), sources, pool)
            guard zeros(counts, panels: total) >= crossover, let fullest = counts.max() else { continue }
            let bytes = ck_sparse_panel_bytes(format, Int64(columns), Int64(fullest))
            if bytes < panelBytes { return (sparse(format, panelBytes: bytes), counts.reduce(0, +)) }
        }
        return (self, 0)
    }

    /// The part of zeros in panels of which `counts` weights are kept. Rows that a last panel lacks count as zeros: they cost nothing there.
    private func zeros(_ counts: [Int], panels: Int) -> Float {
        1 - Float(counts.reduce(0, +)) / Float(max(1, panels * Int(CK_PANEL_ROWS) * columns))
    }

    /// Weights that `format` keeps of each of `panels`, numbered matrix by matrix.
    private func kept(_ format: ck_sparse_format, _ panels: [Int], _ sources: [UnsafeRawPointer], _ pool: ThreadPool?) -> [Int] {
        var counts = [Int](repeating: 0, count: panels.count)
        let panelRows = Int(CK_PANEL_ROWS)
        counts.withUnsafeMutableBufferPointer { counts in
            let places = counts
            func count(_ index: Int) {
                let (matrix, panel) = panels[index].quotientAndRemainder(dividingBy: panelCount)
                let valid = min(panelRows, rows - panel * panelRows)
                places[index] = Int(
                    ck_sparse_count(format, type, sources[matrix] + panel * panelRows * rowBytes, rowBytes, Int64(valid), Int64(columns)))
            }
            if let pool { pool.forEach(panels.count, count) } else { for index in panels.indices { count(index) } }
        }
        return counts
    }

    // MARK: On disk

    /// The kind of panels as files of packed weights name it.
    var kindOnDisk: UInt32 { sparse.rawValue << 16 | format.rawValue }

    /// The layout of panels kept in a file as `kind` in `byteCount` bytes; nil when these weights cannot lie there so.
    func asKept(_ kind: UInt32, byteCount: Int) -> PackedLayout? {
        guard kind & 0xffff == format.rawValue else { return nil }
        let sparse = ck_sparse_format(rawValue: kind >> 16), panels = panelCount * matrixCount
        if sparse == CK_SPARSE_NONE { return byteCount == self.byteCount ? self : nil }
        guard SparseChoice.formats.contains(sparse), panels > 0 else { return nil }
        // byteCount = panels · panelBytes + reach − panelBytes, or without the rest where panels are as large as that.
        let reach = ck_sparse_reach(sparse, Int64(columns))
        guard byteCount >= reach else { return nil }
        let panelBytes = panels == 1 ? ck_sparse_panel_bytes(sparse, Int64(columns), 0) : (byteCount - reach) / (panels - 1)
        let layout = self.sparse(sparse, panelBytes: panelBytes)
        guard panelBytes % 64 == 0, panelBytes >= ck_sparse_panel_bytes(sparse, Int64(columns), 0), panelBytes < self.panelBytes,
            layout.byteCount == byteCount
        else { return nil }
        return layout
    }
}

/// What products with one row of activations read of a weight.
package enum PackedTraffic {
    /// Bytes of a matrix once packed for the kernels of `isa`, zeros left out where they leave them out; as it is where it is not packed.
    package static func bytes(of weight: Weight, isa: UInt32) -> Int {
        guard let dense = try? PackedLayout([weight], name: "weight") else { return weight.store.byteCount }
        let (layout, kept) = dense.withoutZeros(of: [weight], isa: isa, pool: nil)
        guard layout.sparse != CK_SPARSE_NONE else { return layout.byteCount }
        return layout.panelCount * ck_sparse_panel_bytes(layout.sparse, Int64(layout.columns), 0) + kept
    }
}
