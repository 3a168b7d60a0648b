// Weights most of which are zero: when their panels leave the zeros out (ckernels/sparse.h), and how such panels are kept on disk.
//
// A matrix is looked at when it is packed. Above the part of zeros from which the sparse kernels of the instruction sets at hand are faster (a figure
// measured for each row of their table) it becomes sparse panels, one behind the other with a table of where each begins; below it stays dense. Nothing in the
// graph knows: the weight is what it was, and both forms give the same bits.
import CKernels

/// Whether weights are worth leaving zeros out of.
enum SparseChoice {
    /// The forms, the one first that gains more where both do: whole runs of zeros are left out of the arithmetic as well.
    static let formats = [CK_SPARSE_BLOCKS, CK_SPARSE_BITMAP, CK_SPARSE_BITMAP_Q4]

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

    /// The layout with zeros left out, where that pays: enough of the weights are zero. Without a pool the calling thread counts.
    func leavingOutZeros(of weights: [Weight], isa: UInt32, pool: ThreadPool?) -> PackedLayout {
        guard panelCount > 0, columns > 0 else { return self }
        let sources = weights.compactMap(\.store.bytes.baseAddress)
        guard sources.count == weights.count else { return self }
        let total = panelCount * sources.count
        let sampled = Array(stride(from: 0, to: total, by: max(1, total / Self.sampledPanels)))
        for format in SparseChoice.formats {
            guard let crossover = SparseChoice.crossover(of: format, type, isa: isa) else { continue }
            if zeros(kept(format, sampled, sources, pool), panels: sampled.count) < 0.5 * crossover { continue }
            let counts = kept(format, Array(0..<total), sources, pool)
            guard zeros(counts, panels: total) >= crossover, let offsets = offsets(format, counts) else { continue }
            let layout = sparse(format, offsets: offsets)
            if layout.panelBytes < panelBytes { return layout }
        }
        return self
    }

    /// Where panels begin that keep `counts` weights, numbered matrix by matrix; nil when a table cannot say.
    private func offsets(_ format: ck_sparse_format, _ counts: [Int]) -> [UInt32]? {
        var line = tableLines, offsets: [UInt32] = []
        for panel in 0..<panelCount {
            for matrix in 0..<matrixCount {
                guard let offset = UInt32(exactly: line) else { return nil }
                offsets.append(offset)
                line += ck_sparse_panel_bytes(format, Int64(columns), Int64(counts[matrix * panelCount + panel])) / PanelPlaces.lineBytes
            }
        }
        guard let end = UInt32(exactly: line) else { return nil }
        return offsets + [end]
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

    /// The kind of panels as files of packed weights name it. (A split matrix is known by its format: nothing else makes panels of 5 bits of Q8_0.)
    var kindOnDisk: UInt32 { sparse.rawValue << 16 | format.rawValue }

    /// The layout of panels kept in a file as `kind` in `bytes`; nil when these weights cannot lie there so.
    func asKept(_ kind: UInt32, _ bytes: UnsafeRawBufferPointer) -> PackedLayout? {
        guard kind & 0xffff == format.rawValue else { return nil }
        let sparse = ck_sparse_format(rawValue: kind >> 16), panels = panelCount * matrixCount
        if sparse == CK_SPARSE_NONE { return bytes.count == byteCount ? self : nil }
        guard SparseChoice.formats.contains(sparse), ck_sparse_dense(sparse) == format, panels > 0, bytes.count >= PanelPlaces.lineBytes * tableLines
        else { return nil }
        let offsets = (0...panels).map { bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<UInt32>.stride, as: UInt32.self) }
        let most = Int64(columns * Int(CK_PANEL_ROWS))
        let lines = [0, most].map { ck_sparse_panel_bytes(sparse, Int64(columns), $0) / PanelPlaces.lineBytes }
        guard Int(offsets[0]) == tableLines, zip(offsets, offsets.dropFirst()).allSatisfy({ (lines[0]...lines[1]).contains(Int($1) - Int($0)) })
        else { return nil }
        let layout = self.sparse(sparse, offsets: offsets)
        return layout.byteCount == bytes.count ? layout : nil
    }
}

/// What products with one row of activations read of a weight.
package enum PackedTraffic {
    /// Bytes of a matrix once packed for the kernels of `isa`, zeros left out where they leave them out; as it is where it is not packed.
    ///
    /// - ranked: whether the largest products are wanted alone: of split weights the coarse part and the norms count, and not the few rows that are
    ///   looked at more closely.
    package static func bytes(of weight: Weight, ranked: Bool = false, isa: UInt32) -> Int {
        guard let dense = try? PackedLayout([weight], name: "weight") else { return weight.store.byteCount }
        let layout = dense.leavingOutZeros(of: [weight], isa: isa, pool: nil).split(ranked: ranked, isa: isa)
        if layout.isSplit { return layout.panelCount * layout.panelBytes + layout.rows * MemoryLayout<Float>.stride }
        guard let first = layout.offsets.first, let end = layout.offsets.last else { return layout.byteCount }
        return PanelPlaces.lineBytes * Int(end - first)
    }
}
