// Sparse panels: every row of their table gives the bits that the dense scalar row gives on the dense panels of the same file bytes, expands to those panels,
// and reads no further than it may, whatever a panel holds.
import CKernels
import SwiftletTensor
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Q8_0 rows, or Q4_0 rows for bitmaps of 4 bits, part of which are zero, one by one or, for blocks, in runs of 16, some panels more than others; packed both ways.
private struct SparseWeights {
    let format: ck_sparse_format
    let rows, k, rowBytes, count: Int
    let bytes: [UInt8]
    let denseStride: Int
    /// Where each sparse panel begins, in lines of 64 bytes, and where the last ends; other numbers between them, as where two matrices lie in turn.
    let offsets: [UInt32]
    let sparse, dense: AlignedMemory

    var whole: ck_panel_format { ck_sparse_dense(format) }

    init(_ format: ck_sparse_format, rows: Int, k: Int, zeros: Double, seed: UInt64) throws {
        let type = format == CK_SPARSE_BITMAP_Q4 ? CK_WEIGHT_Q4_0 : CK_WEIGHT_Q8_0
        let file = try FileWeights(type, rows: rows, k: k, seed: seed)
        var random = SeededGenerator(seed: seed + 1), bytes = file.bytes
        // Weight i of a block: byte i; of 4 bits the half of a byte.
        func isZero(_ block: Int, _ index: Int) -> Bool {
            type == CK_WEIGHT_Q8_0 ? bytes[34 * block + 2 + index] == 0 : bytes[18 * block + 2 + index % 16] >> (index < 16 ? 0 : 4) & 15 == 8
        }
        func clear(_ block: Int, _ index: Int) {
            if type == CK_WEIGHT_Q8_0 {
                bytes[34 * block + 2 + index] = 0
            } else {
                let place = 18 * block + 2 + index % 16
                bytes[place] = index < 16 ? bytes[place] & 0xf0 | 8 : bytes[place] & 15 | 0x80
            }
        }
        for block in 0..<rows * k / 32 {
            let run = format == CK_SPARSE_BLOCKS ? 16 : 1
            for index in Swift.stride(from: 0, to: 32, by: run) where Double.random(in: 0..<1, using: &random) < (block / (k / 32 * 16) % 2 == 0 ? zeros : zeros * zeros) {
                for place in index..<index + run { clear(block, place) }
            }
        }
        let count = (rows + 15) / 16, rowBytes = file.rowBytes
        func valid(_ panel: Int) -> Int64 { Int64(min(16, rows - 16 * panel)) }
        let kept = bytes.withUnsafeBytes { source in
            (0..<count).map { panel in
                ck_sparse_count(format, type, source.baseAddress.map { $0 + 16 * panel * rowBytes }, rowBytes, valid(panel), Int64(k))
            }
        }
        // Counted by hand.
        for (panel, kept) in kept.enumerated() {
            var expected = 0
            for block in 0..<k / 32 {
                let places = (panel * 16..<min(rows, panel * 16 + 16)).flatMap { row in
                    (0..<32).filter { !isZero(row * k / 32 + block, $0) }.map { (row, $0) }
                }
                switch format {
                case CK_SPARSE_BLOCKS: expected += 16 * Set(places.map { $0 * 2 + $1 / 16 }).count
                case CK_SPARSE_BITMAP: expected += places.count
                default:
                    for group in 0..<4 {
                        let lines = [group, group + 4].map { line in places.count { $0.1 / 4 == line } }
                        expected += 2 * max(lines[0], lines[1])
                    }
                }
            }
            try #require(kept == Int64(expected))
        }
        (self.format, self.rows, self.k, self.rowBytes, self.count, self.bytes) = (format, rows, k, rowBytes, count, bytes)
        var offsets: [UInt32] = [0, .max]
        for kept in kept { offsets += [offsets[offsets.count - 2] + UInt32(ck_sparse_panel_bytes(format, Int64(k), kept) / 64), .max] }
        self.offsets = offsets
        denseStride = ck_panel_bytes(ck_sparse_dense(format), Int64(k))
        sparse = try AlignedMemory(byteCount: 64 * Int(offsets[2 * count]) + ck_sparse_reach(format, Int64(k)), purpose: "test panels")
        dense = try AlignedMemory(byteCount: denseStride * count, purpose: "test panels")
        for panel in 0..<count {
            let status = bytes.withUnsafeBytes { source in
                let from = source.baseAddress.map { $0 + 16 * panel * rowBytes }
                return ck_pack_panel(type, from, rowBytes, valid(panel), Int64(k), dense.base + panel * denseStride)
                    | ck_sparse_pack(format, type, from, rowBytes, valid(panel), Int64(k), self.panel(panel), 64 * Int(offsets[2 * panel + 2] - offsets[2 * panel]))
            }
            try #require(status == 0)
        }
    }

    func panel(_ index: Int) -> UnsafeMutableRawPointer { sparse.base + 64 * Int(offsets[2 * index]) }

    /// The output of a kernel, [m, rows], between guards.
    func run(_ function: ck_linear_function?, dense isDense: Bool, _ activations: Activations) throws -> [UInt32] {
        let function = try #require(function), distance = rows + 5, start = 3, guardValue: Float = 12345.678
        var output = [Float](repeating: guardValue, count: start + activations.rows * distance + 16)
        output.withUnsafeMutableBufferPointer { buffer in
            offsets.withUnsafeBufferPointer { offsets in
                var args = ck_linear_args(
                    panels: isDense ? dense.base : sparse.base, panel_stride_bytes: isDense ? denseStride : 0, panel_count: Int64(count), k: Int64(k),
                    activations: activations.memory.base, activation_stride_bytes: activations.stride, rows: Int64(activations.rows),
                    output: buffer.baseAddress.map { $0 + start }, output_stride: Int64(distance), columns: Int64(rows),
                    panel_offsets: isDense ? nil : offsets.baseAddress, panel_offset_stride: 2)
                function(&args)
            }
        }
        var result: [UInt32] = [], overwritten = 0
        for (index, value) in output.enumerated() {
            let at = index - start
            if at >= 0, at / distance < activations.rows, at % distance < rows { result.append(value.bitPattern) } else if value != guardValue { overwritten += 1 }
        }
        try #require(overwritten == 0, "\(overwritten) guards overwritten")
        return result
    }
}

/// Pages whose end is followed by one that nothing may touch.
private final class GuardedPages {
    private let base: UnsafeMutableRawPointer
    private let byteCount, pageBytes: Int
    var end: UnsafeMutableRawPointer { base + byteCount }

    init(byteCount: Int) throws {
        pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
        self.byteCount = (byteCount + pageBytes - 1) / pageBytes * pageBytes
        let memory = mmap(nil, self.byteCount + pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        base = try #require(memory == MAP_FAILED ? nil : memory)
        try #require(mprotect(base + self.byteCount, pageBytes, PROT_NONE) == 0)
    }

    deinit { munmap(base, byteCount + pageBytes) }
}

@Suite struct SparseTests {
    @Test(arguments: RowReference.sparse.runnable) func rowGivesTheDenseBits(reference: RowReference) throws {
        let row = try reference.sparseRow()
        let scalar = try #require(ck_linear_find(ck_sparse_dense(row.format), row.activation, 0, 1)).pointee.function
        for (k, n) in [(32, 1), (32, 15), (64, 16), (96, 17), (576, 50), (1536, 16), (64, 300)] {
            for (zeros, seed) in [(0, 1), (0.5, 2), (0.97, 3), (1, 4)] {
                let weights = try SparseWeights(row.format, rows: n, k: k, zeros: zeros, seed: UInt64(seed))
                let few = Array(1...17)
                let counts = row.row_tile > 8 ? (k > 96 ? [1, 3, 9, 77] : few + [31, 32, 33, 63, 64, 65, 130]) : k > 96 ? [1, 3, 17] : few
                for m in counts {
                    let values = trickyActivations(rows: m, k: k, seed: UInt64(m))
                    let activations = try Activations(values, rows: m, k: k, format: row.activation)
                    #expect(
                        try weights.run(row.multiply, dense: false, activations) == weights.run(scalar, dense: true, activations),
                        "k \(k) n \(n) m \(m) zeros \(zeros)")
                }
            }
        }
    }

    @Test(arguments: RowReference.sparse.runnable) func expandsToTheDensePanel(reference: RowReference) throws {
        let format = try reference.sparseRow().format, expand = try #require(try reference.sparseRow().expand)
        for (k, n) in [(32, 16), (576, 50), (96, 3)] {
            for zeros in [0, 0.6, 1] {
                let weights = try SparseWeights(format, rows: n, k: k, zeros: zeros, seed: 7)
                let out = try AlignedMemory(byteCount: weights.denseStride, purpose: "test panel")
                for panel in 0..<weights.count {
                    out.bytes.initializeMemory(as: UInt8.self, repeating: 0xaa)
                    expand(weights.panel(panel), Int64(k), out.base)
                    let dense = weights.dense.base + panel * weights.denseStride
                    if 16 * (panel + 1) <= n {
                        #expect(memcmp(out.base, dense, weights.denseStride) == 0, "k \(k) panel \(panel)")
                    } else {
                        // Rows that are not there have another stored zero, and the same value.
                        for row in 0..<16 {
                            for index in 0..<k {
                                #expect(ck_panel_value(weights.whole, out.base, Int64(row), Int64(index)) == ck_panel_value(weights.whole, dense, Int64(row), Int64(index)))
                            }
                        }
                    }
                }
            }
        }
    }

    @Test(arguments: [CK_SPARSE_BITMAP, CK_SPARSE_BLOCKS, CK_SPARSE_BITMAP_Q4].map(\.rawValue)) func rowsReadAsThoseOfTheDensePanel(raw: UInt32) throws {
        let format = ck_sparse_format(rawValue: raw)
        let weights = try SparseWeights(format, rows: 50, k: 576, zeros: 0.5, seed: 11)
        for row in 0..<50 {
            var sparse = [Float](repeating: .nan, count: 577), dense = sparse
            ck_sparse_read_row(format, weights.panel(row / 16), Int64(row % 16), 576, &sparse)
            ck_panel_read_row(weights.whole, weights.dense.base + row / 16 * weights.denseStride, Int64(row % 16), 576, &dense)
            // A zero's sign is the scale's in neither.
            #expect(zip(sparse, dense).allSatisfy { $0.bitPattern == $1.bitPattern }, "row \(row)")
        }
    }

    /// Panels of nothing but ones claim the most there can be, wherever they lie.
    @Test(arguments: RowReference.sparse.runnable) func noMaskLeadsBeyondTheReach(reference: RowReference) throws {
        let row = try reference.sparseRow()
        for k in [32, 96, 576] {
            let reach = ck_sparse_reach(row.format, Int64(k)), pages = try GuardedPages(byteCount: reach)
            let panel = pages.end - reach
            memset(panel, 0xff, reach)
            let dense = try AlignedMemory(byteCount: ck_panel_bytes(ck_sparse_dense(row.format), Int64(k)), purpose: "test panel")
            row.expand?(panel, Int64(k), dense.base)
            #expect(dense.base.load(fromByteOffset: 64 + 32, as: UInt64.self) == (row.format == CK_SPARSE_BLOCKS ? 0x7f7f_7f7f_7f7f_7f7f : .max))
            for rows in [3, 20] {
                let activations = try Activations([Float](repeating: 1, count: rows * k), rows: rows, k: k, format: row.activation)
                var output = [Float](repeating: 0, count: rows * 16)
                output.withUnsafeMutableBufferPointer { buffer in
                    var args = ck_linear_args(
                        panels: panel, panel_stride_bytes: 64, panel_count: 1, k: Int64(k), activations: activations.memory.base,
                        activation_stride_bytes: activations.stride, rows: Int64(rows), output: buffer.baseAddress, output_stride: 16, columns: 16,
                        panel_offsets: nil, panel_offset_stride: 0)
                    row.multiply?(&args)
                }
                #expect(output.allSatisfy { $0.isNaN }, "scales of all ones are not numbers")
            }
            var floats = [Float](repeating: 0, count: k)
            ck_sparse_read_row(row.format, panel, 15, Int64(k), &floats)
        }
    }

    @Test func refusesWhatItCannotPack() throws {
        let memory = try AlignedMemory(byteCount: 1 << 14, purpose: "test panel")
        let source = [UInt8](repeating: 1, count: 34 * 16)
        func pack(_ type: ck_weight_type, format: ck_sparse_format = CK_SPARSE_BITMAP, rows: Int64 = 16, k: Int64 = 32, bytes: Int) -> Int32 {
            ck_sparse_pack(format, type, source, 34, rows, k, memory.base, bytes)
        }
        let full = ck_sparse_panel_bytes(CK_SPARSE_BITMAP, 32, 512)
        #expect(full == 704 && ck_sparse_panel_bytes(CK_SPARSE_BITMAP, 32, 0) == 192)  // 64 + 96 + 512, and none; to whole lines
        #expect(pack(CK_WEIGHT_Q8_0, bytes: full) == 0)
        #expect(pack(CK_WEIGHT_Q8_0, bytes: 64 + 96 + 512) == 0)
        #expect(pack(CK_WEIGHT_Q8_0, bytes: 64 + 96 + 511) == -1, "one weight too many")
        #expect(pack(CK_WEIGHT_Q8_0, bytes: 64) == -1)
        #expect(pack(CK_WEIGHT_Q4_0, bytes: full) == -1)
        #expect(pack(CK_WEIGHT_Q8_0, rows: 0, bytes: full) == -1)
        #expect(pack(CK_WEIGHT_Q8_0, rows: 17, bytes: full) == -1)
        #expect(pack(CK_WEIGHT_Q8_0, k: 33, bytes: full) == -1)
        #expect(ck_sparse_count(CK_SPARSE_BITMAP, CK_WEIGHT_Q4_0, source, 18, 1, 32) == -1)
        #expect(ck_sparse_pack(CK_SPARSE_BLOCKS, CK_WEIGHT_Q8_0, source, 34, 16, 32, memory.base, 64 + 36 + 512) == 0)
        #expect(ck_sparse_pack(CK_SPARSE_BLOCKS, CK_WEIGHT_Q8_0, source, 34, 16, 32, memory.base, 64 + 36 + 511) == -1, "one weight too many")
        #expect(pack(CK_WEIGHT_Q8_0, format: CK_SPARSE_BITMAP_Q4, bytes: full) == -1)
        let halves = [UInt8](repeating: 1, count: 18 * 16)  // levels 1 and 0: no weight is zero
        #expect(ck_sparse_pack(CK_SPARSE_BITMAP_Q4, CK_WEIGHT_Q4_0, halves, 18, 16, 32, memory.base, 64 + 96 + 256) == 0)
        #expect(ck_sparse_pack(CK_SPARSE_BITMAP_Q4, CK_WEIGHT_Q4_0, halves, 18, 16, 32, memory.base, 64 + 96 + 255) == -1, "one weight too many")
        #expect(ck_sparse_count(CK_SPARSE_NONE, CK_WEIGHT_Q8_0, source, 34, 1, 32) == -1)
        #expect(ck_sparse_count(CK_SPARSE_BITMAP, CK_WEIGHT_Q8_0, source, 34, 1, 32) == 32)
    }

    @Test func lookUpHonoursTheMask() throws {
        for format in [CK_SPARSE_BITMAP, CK_SPARSE_BLOCKS, CK_SPARSE_BITMAP_Q4] {
            for activation in [CK_ACT_Q8, CK_ACT_Q15] {
                for mask in [0, UInt32(CK_ISA_AVX2), machineISA] {
                    let row = try #require(ck_sparse_find(format, activation, mask)).pointee
                    #expect(row.isa & ~mask == 0 && row.activation == activation && row.format == format)
                }
            }
        }
        #expect(ck_sparse_find(CK_SPARSE_BITMAP, CK_ACT_F32, machineISA) == nil)
        #expect(ck_sparse_find(CK_SPARSE_NONE, CK_ACT_Q8, machineISA) == nil)
    }
}
