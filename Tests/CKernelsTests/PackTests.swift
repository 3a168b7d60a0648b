// Packing: every weight of a panel is the weight of the file, exactly where scales are f16, within 2^-11 of the terms where scales are products.
import CKernels
import SwiftletTensor
import TestSupport
import Testing

/// A weight matrix in a file format with its numbers: the block converters of CKernels/blocks, tested against the gguf package, are the oracle.
struct FileWeights {
    let type: ck_weight_type
    let rows: Int
    let k: Int
    let rowBytes: Int
    let bytes: [UInt8]
    let values: [Float]

    /// Random blocks: random quants and scale bits, but f16 (and E8M0) scales of an ordinary size unless `scaleExponents` says otherwise.
    /// - scaleExponents: range of the biased f16 exponents of super-scales.
    init(_ type: ck_weight_type, rows: Int, k: Int, seed: UInt64, scaleExponents: ClosedRange<UInt16> = 4...12) throws {
        self.type = type
        self.rows = rows
        self.k = k
        var random = SeededGenerator(seed: seed)
        guard type != CK_WEIGHT_F32 else {
            let floats = random.floats(rows * k)
            rowBytes = 4 * k
            bytes = floats.withUnsafeBytes { [UInt8]($0) }
            values = floats
            return
        }
        let format = try #require(ck_block_format_find(type.rawValue)).pointee
        let blockBytes = Int(format.bytes), blocks = k / Int(format.elements)
        let rowBytes = blocks * blockBytes
        var bytes = (0..<rows * rowBytes).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let halves = Self.halfOffsets(type)
        for block in 0..<rows * blocks {
            for offset in halves {
                let exponent = UInt16.random(in: scaleExponents, using: &random)
                let half = exponent << 10 | UInt16(truncatingIfNeeded: random.next()) & 0x83ff
                bytes[block * blockBytes + offset] = UInt8(half & 255)
                bytes[block * blockBytes + offset + 1] = UInt8(half >> 8)
            }
            if type == CK_WEIGHT_MXFP4 { bytes[block * blockBytes] = UInt8.random(in: 110...130, using: &random) }
            if type == CK_WEIGHT_BF16 { bytes[block * blockBytes + 1] = [0x3d, 0x3e, 0x3f, 0xbd, 0xbe, 0xbf][block % 6] }
        }
        var values = [Float](repeating: 0, count: rows * k)
        bytes.withUnsafeBytes { source in
            values.withUnsafeMutableBufferPointer { out in
                for row in 0..<rows {
                    guard let from = source.baseAddress, let to = out.baseAddress else { return }
                    format.dequantize(from + row * rowBytes, to + row * k, Int64(k))
                }
            }
        }
        self.rowBytes = rowBytes
        self.bytes = bytes
        self.values = values
    }

    /// Offsets of the f16 numbers of a block.
    private static func halfOffsets(_ type: ck_weight_type) -> [Int] {
        switch type {
        case CK_WEIGHT_F16, CK_WEIGHT_Q4_0, CK_WEIGHT_Q5_0, CK_WEIGHT_Q8_0, CK_WEIGHT_IQ4_NL, CK_WEIGHT_IQ4_XS: [0]
        case CK_WEIGHT_Q4_1, CK_WEIGHT_Q5_1, CK_WEIGHT_Q4_K, CK_WEIGHT_Q5_K: [0, 2]
        case CK_WEIGHT_Q2_K: [80, 82]
        case CK_WEIGHT_Q3_K: [108]
        case CK_WEIGHT_Q6_K: [208]
        case CK_WEIGHT_TQ1_0: [52]
        case CK_WEIGHT_TQ2_0: [64]
        default: []
        }
    }

    /// All rows packed, 16 a panel.
    func packed() throws -> PackedWeights { try PackedWeights(self) }
}

/// Panels of a weight in aligned memory.
struct PackedWeights {
    let panel: ck_panel_format
    let stride: Int
    let count: Int
    let k: Int
    let memory: AlignedMemory

    init(_ weights: FileWeights) throws {
        panel = ck_panel_for(weights.type)
        stride = ck_panel_bytes(panel, Int64(weights.k))
        count = (weights.rows + 15) / 16
        k = weights.k
        memory = try AlignedMemory(byteCount: stride * count, purpose: "test panels")
        for index in 0..<count {
            let valid = min(16, weights.rows - 16 * index)
            let status = weights.bytes.withUnsafeBytes {
                ck_pack_panel(
                    weights.type, $0.baseAddress.map { $0 + 16 * index * weights.rowBytes }, weights.rowBytes, Int64(valid),
                    Int64(weights.k), memory.base + index * stride)
            }
            try #require(status == 0)
        }
    }

    func value(row: Int, k index: Int) -> Float {
        ck_panel_value(panel, memory.base + row / 16 * stride, Int64(row % 16), Int64(index))
    }
}

extension ck_weight_type: @retroactive CustomTestStringConvertible {
    public var testDescription: String { "weight type \(rawValue)" }
}

/// Bytes of one block of an integer panel: 16 rows of 32.
func blockBytes(of panel: ck_panel_format) -> Int { (ck_panel_bytes(panel, 64) - 64) / 2 }

let blockWeights = BlockFormat.allCases.map { ck_weight_type(rawValue: $0.rawValue) }
let denseWeights = [CK_WEIGHT_F32, CK_WEIGHT_F16, CK_WEIGHT_BF16]
private let minimumPanels = [CK_PANEL_Q4M, CK_PANEL_Q5M, CK_PANEL_Q2S16M]
private let productScales = [CK_WEIGHT_Q2_K, CK_WEIGHT_Q3_K, CK_WEIGHT_Q4_K, CK_WEIGHT_Q5_K, CK_WEIGHT_Q6_K, CK_WEIGHT_IQ4_XS]

@Suite struct PackTests {
    @Test(arguments: blockWeights + denseWeights) func panelsHoldTheWeights(type: ck_weight_type) throws {
        // Small scales too: the smallest exponent makes f16 subnormals, whose products with 6-bit scales f16 alone could not hold.
        for (seed, exponents) in [(UInt64(1), UInt16(4)...UInt16(12)), (2, 0...2), (3, 13...28)] {
            let weights = try FileWeights(type, rows: 50, k: 512, seed: seed, scaleExponents: exponents)
            let packed = try weights.packed()
            var worst = 0.0
            for row in 0..<50 {
                for block in 0..<16 {
                    // Where value = scale·u + minimum cancels, the error is measured against the terms: no less than the block's largest weight.
                    let range = row * 512 + block * 32..<row * 512 + block * 32 + 32
                    let largest = weights.values[range].map { Double(abs($0)) }.max() ?? 0
                    for (offset, index) in range.enumerated() {
                        let expected = Double(weights.values[index]), actual = Double(packed.value(row: row, k: block * 32 + offset))
                        let scale = minimumPanels.contains(packed.panel) ? largest : abs(expected)
                        if actual != expected { worst = max(worst, abs(actual - expected) / scale) }
                    }
                }
            }
            // The M formats add two rounded terms, each of which may exceed the sum.
            let bound = productScales.contains(type) ? (minimumPanels.contains(packed.panel) ? 0x1p-9 : 0x1p-11) : 0x1p-23
            #expect(worst <= bound, "\(worst)")
        }
    }

    @Test func missingRowsAreZero() throws {
        for type in blockWeights + denseWeights {
            let packed = try FileWeights(type, rows: 3, k: 256, seed: 4).packed()
            for row in 3..<16 { for index in 0..<256 { #expect(packed.value(row: row, k: index) == 0) } }
        }
    }

    @Test func sizesAreThoseOfTheHeader() {
        let blocks = [
            (CK_PANEL_Q4, 288), (CK_PANEL_Q4M, 320), (CK_PANEL_Q5, 352), (CK_PANEL_Q5M, 384), (CK_PANEL_Q8, 544), (CK_PANEL_Q6S16, 448),
            (CK_PANEL_Q3S16, 256), (CK_PANEL_Q2S16M, 256), (CK_PANEL_Q2, 160), (CK_PANEL_IQ4, 288), (CK_PANEL_MXFP4, 288),
        ]
        #expect(Set(blocks.map(\.0)) == Set(integerPanels))
        for (panel, bytes) in blocks {
            #expect(blockBytes(of: panel) == bytes)
            for k in [32, 64, 576, 1536] { #expect(ck_panel_bytes(panel, Int64(k)) == (64 + bytes * k / 32 + 63) / 64 * 64) }
        }
        #expect(ck_panel_bytes(CK_PANEL_F32, 33) == 64 * 64)
        #expect(ck_panel_bytes(CK_PANEL_NONE, 32) == 0)
    }

    /// The planes, read by the words of ckernels/linear.h, hold the stored numbers; those are value / (factor · scale) + zero.
    @Test(arguments: [
        (CK_WEIGHT_Q8_0, 8, 0, Float(128)), (CK_WEIGHT_Q4_0, 4, 0, 8), (CK_WEIGHT_Q5_0, 4, 1, 16), (CK_WEIGHT_Q6_K, 4, 2, 32),
        (CK_WEIGHT_Q3_K, 2, 1, 4), (CK_WEIGHT_TQ2_0, 2, 0, 1),
    ]) func planesAreThoseOfTheHeader(type: ck_weight_type, lowBits: Int, highBits: Int, zero: Float) throws {
        let packed = try FileWeights(type, rows: 16, k: 256, seed: 6).packed()
        let scaleBytes = ck_panel_scale_bytes(packed.panel), parts = scaleBytes / 32
        func number(plane: UnsafeRawPointer, bits: Int, group: Int, byte: Int) -> UInt8 {
            let places = [8: (group, 0), 4: (group % 4, group / 4 * 4), 2: (group / 4, group % 4 * 2), 1: (0, group)]
            let (line, shift) = places[bits] ?? (0, 0)
            return plane.load(fromByteOffset: 64 * line + byte, as: UInt8.self) >> shift & UInt8((1 << bits) - 1)
        }
        for block in 0..<8 {
            let start = UnsafeRawPointer(packed.memory.base + 64 + block * blockBytes(of: packed.panel)), low = start + scaleBytes
            for row in 0..<16 {
                for k in 0..<32 {
                    let (group, byte) = (k / 4, 4 * row + k % 4)
                    var stored = number(plane: low, bits: lowBits, group: group, byte: byte)
                    if highBits > 0 {
                        stored |= number(plane: low + 64 * lowBits, bits: highBits, group: group, byte: byte) << lowBits
                    }
                    let half = start.load(fromByteOffset: 2 * (16 * (parts == 2 ? k / 16 : 0) + row), as: UInt16.self)
                    let factor = packed.memory.base.load(fromByteOffset: 4 * row, as: Float.self)
                    #expect(packed.value(row: row, k: block * 32 + k) == factor * (ck_half_to_float(half) * (Float(stored) - zero)))
                }
            }
        }
    }

    @Test func refusesWhatItCannotPack() throws {
        let memory = try AlignedMemory(byteCount: 4096, purpose: "test panel")
        let source = [UInt8](repeating: 0, count: 4096)
        #expect(ck_pack_panel(CK_WEIGHT_Q4_0, source, 18, 1, 33, memory.base) == -1)
        #expect(ck_pack_panel(CK_WEIGHT_Q4_K, source, 144, 1, 128, memory.base) == -1)
        #expect(ck_pack_panel(CK_WEIGHT_Q4_0, source, 18, 17, 32, memory.base) == -1)
        #expect(ck_pack_panel(CK_WEIGHT_Q4_0, source, 18, 0, 32, memory.base) == -1)
        #expect(ck_pack_panel(ck_weight_type(rawValue: 99), source, 18, 1, 32, memory.base) == -1)
    }
}
