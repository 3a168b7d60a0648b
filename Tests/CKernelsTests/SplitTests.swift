// Split weights: both parts are the file's numbers, joined they are the panel that packing makes, no fine sum is larger than its norm allows, and every row
// of the table gives the sums of the scalar one.
import CKernels
import SwiftletTensor
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Rows of Q8_0 split in panels.
private struct SplitWeights {
    let file: FileWeights
    let rows, k: Int
    let coarse, fine: AlignedMemory
    let norms: [Float]
    let coarseBytes, fineBytes: Int

    init(rows: Int, k: Int, seed: UInt64) throws {
        let file = try FileWeights(CK_WEIGHT_Q8_0, rows: rows, k: k, seed: seed)
        let (coarseBytes, fineBytes) = (ck_panel_bytes(CK_PANEL_Q5, Int64(k)), ck_split_fine_bytes(Int64(k)))
        let coarse = try AlignedMemory(byteCount: (rows + 15) / 16 * coarseBytes, purpose: "test panels")
        let fine = try AlignedMemory(byteCount: rows * fineBytes, purpose: "test rows")
        var norms = [Float](repeating: -1, count: rows)
        for panel in 0..<(rows + 15) / 16 {
            let status = file.bytes.withUnsafeBytes { source in
                norms.withUnsafeMutableBufferPointer { norms in
                    ck_split_pack(
                        source.baseAddress.map { $0 + 16 * panel * file.rowBytes }, file.rowBytes, Int64(min(16, rows - 16 * panel)), Int64(k),
                        coarse.base + panel * coarseBytes, fine.base + 16 * panel * fineBytes, norms.baseAddress.map { $0 + 16 * panel })
                }
            }
            try #require(status == 0)
        }
        (self.file, self.rows, self.k, self.coarse, self.fine) = (file, rows, k, coarse, fine)
        (self.norms, self.coarseBytes, self.fineBytes) = (norms, coarseBytes, fineBytes)
    }

    /// The fine part of a number: what the coarse one, c in 8 c + f, leaves.
    func fineNumber(_ row: Int, _ column: Int) -> (f: Int, scale: Float) {
        let block = row * file.rowBytes + column / 32 * 34
        let number = Int(Int8(bitPattern: file.bytes[block + 2 + column % 32]))
        let half = UInt16(file.bytes[block]) | UInt16(file.bytes[block + 1]) << 8
        let coarse = min(15, Int((Double(number + 4) / 8).rounded(.down)))
        return (number - 8 * coarse, Float(Float16(bitPattern: half)))
    }

    func refine(_ row: RowReference, _ activations: UnsafeMutableRawPointer, _ format: ck_activation_format, first: Int, count: Int, sums: [Float], reach: Float, threshold: Float)
        throws -> [Float]
    {
        let function = try row.splitRow().refine
        var result = sums + [Float](repeating: 7, count: 3)
        result.withUnsafeMutableBufferPointer { sums in
            norms.withUnsafeBufferPointer { norms in
                var args = ck_split_args(
                    sums: sums.baseAddress, norms: norms.baseAddress.map { $0 + first }, count: Int64(count), fine: fine.base + first * fineBytes, k: Int64(k),
                    activations: activations, activation: format, reach: reach, threshold: threshold)
                function?(&args)
            }
        }
        #expect(result.suffix(3) == [7, 7, 7], "nothing is written behind the sums")
        return Array(result.dropLast(3))
    }
}

@Suite("Split weights") struct SplitTests {
    static let lengths = [32, 64, 96, 128, 160, 576, 640, 8192]

    @Test("Both parts together are the file's numbers, and the whole panel", arguments: [1, 5, 16, 37], lengths)
    func parts(rows: Int, k: Int) throws {
        let weights = try SplitWeights(rows: rows, k: k, seed: UInt64(k + rows))
        var floats = [Float](repeating: 0, count: k)
        for row in 0..<rows {
            ck_split_read_row(
                weights.coarse.base + row / 16 * weights.coarseBytes, Int64(row % 16), weights.fine.base + row * weights.fineBytes, Int64(k), &floats)
            #expect(floats == Array(weights.file.values[row * k..<(row + 1) * k]), "row \(row)")
            let squares = (0..<k).reduce(0.0) { sum, column in
                let (f, scale) = weights.fineNumber(row, column)
                return sum + Double(f * f) * Double(scale * scale)
            }
            #expect(Double(weights.norms[row]) > squares.squareRoot() && Double(weights.norms[row]) < 1.002 * squares.squareRoot() + 1e-30)
        }
        let bytes = ck_panel_bytes(CK_PANEL_Q8, Int64(k))
        let joined = try AlignedMemory(byteCount: bytes, purpose: "test panel"), packed = try AlignedMemory(byteCount: bytes, purpose: "test panel")
        for panel in 0..<(rows + 15) / 16 {
            let valid = Int64(min(16, rows - 16 * panel))
            ck_split_join(weights.coarse.base + panel * weights.coarseBytes, weights.fine.base + 16 * panel * weights.fineBytes, valid, Int64(k), joined.base)
            let status = weights.file.bytes.withUnsafeBytes {
                ck_pack_panel(
                    CK_WEIGHT_Q8_0, $0.baseAddress.map { $0 + 16 * panel * weights.file.rowBytes }, weights.file.rowBytes, valid, Int64(k), packed.base)
            }
            try #require(status == 0)
            #expect(joined.bytes.elementsEqual(packed.bytes), "panel \(panel)")
        }
    }

    @Test("Fine sums are those of numbers, and rows below the threshold stay", arguments: RowReference.split.runnable, [CK_ACT_Q8, CK_ACT_Q15])
    func sums(kernel: RowReference, format: ck_activation_format) throws {
        for k in Self.lengths {
            let rows = 70, weights = try SplitWeights(rows: rows, k: k, seed: UInt64(k))
            var random = SeededGenerator(seed: UInt64(k) + 1)
            let x = random.floats(k), rowBytes = ck_activation_row_bytes(format, Int64(k))
            let activations = try AlignedMemory(byteCount: rowBytes, purpose: "test activations")
            try #require(ck_quantize_find(format, 0)).pointee.function(x, Int64(k), 1, Int64(k), 0, Int64(k), activations.base, rowBytes)
            let norm = Float(x.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()) * (format == CK_ACT_Q8 ? 1.023 : 1.001)
            let coarse = random.floats(rows)
            // Rounded to 8 bits the activations are off by 1/254 of their block's largest; the sums of numbers know nothing of that.
            let rounding: Float = format == CK_ACT_Q8 ? 0.03 : 3e-4
            let all = try weights.refine(kernel, activations.base, format, first: 0, count: rows, sums: coarse, reach: norm, threshold: -.infinity)
            for row in 0..<rows {
                let expected = (0..<k).reduce(0.0) { sum, column in
                    let (f, scale) = weights.fineNumber(row, column)
                    return sum + Double(f) * Double(scale) * Double(x[column])
                }
                #expect(abs(Double(all[row] - coarse[row]) - expected) <= Double(rounding * weights.norms[row] * norm + 1e-6), "k \(k), row \(row)")
                #expect(abs(all[row] - coarse[row]) <= weights.norms[row] * norm + 1e-6)
            }
            let scalar = try weights.refine(
                #require(RowReference.split.last), activations.base, format, first: 0, count: rows, sums: coarse, reach: norm, threshold: -.infinity)
            for row in 0..<rows { #expect(abs(all[row] - scalar[row]) <= 1e-5 * weights.norms[row] * norm + 1e-6) }
            // Parts of every length give the same bits, and a threshold leaves out those that cannot reach it.
            for (first, count) in [(0, 0), (0, 1), (3, 31), (5, 32), (1, 33), (0, rows)] {
                let most = (first..<first + count).map { coarse[$0] + weights.norms[$0] * norm }.sorted()
                let threshold = count == 0 ? 0 : most[count / 2]
                let some = try weights.refine(
                    kernel, activations.base, format, first: first, count: count, sums: Array(coarse[first..<first + count]), reach: norm, threshold: threshold)
                for row in 0..<count {
                    let most = coarse[first + row] + weights.norms[first + row] * norm, edge = 1e-5 * abs(threshold)
                    if most > threshold + edge { #expect(some[row] == all[first + row]) }
                    if most < threshold - edge { #expect(some[row] == coarse[first + row]) }
                }
            }
        }
    }

    @Test("What cannot be split is refused") func refusals() throws {
        let bytes = [UInt8](repeating: 1, count: 34 * 17)
        let room = try AlignedMemory(byteCount: 1 << 16, purpose: "test"), fine = try AlignedMemory(byteCount: 1 << 16, purpose: "test")
        var norms = [Float](repeating: 0, count: 32)
        for (rows, k) in [(0, 32), (17, 32), (1, 33), (1, -32), (1, Int64(CK_SPLIT_MOST_K) + 32)] as [(Int64, Int64)] {
            #expect(ck_split_pack(bytes, 34, rows, k, room.base, fine.base, &norms) == -1, "\(rows) × \(k)")
        }
        #expect(ck_split_pack(bytes, 34, 1, 32, room.base, fine.base, &norms) == 0)
    }
}
