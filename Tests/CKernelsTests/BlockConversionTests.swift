// Block conversions against vectors of the `gguf` Python package (Tests/Vectors/make_block_vectors.py), bit for bit.
import CKernels
import Foundation
import SwiftletTensor
import TestSupport
import Testing

private let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors/blocks")

/// A vector file: a count of blocks, then two equally long runs of them, one as blocks and one as floats.
private struct Vector {
    let blocks: Int
    let first: [UInt8]
    let second: [UInt8]

    /// `firstShare` bytes of each block come first, `secondShare` bytes second.
    init(_ name: String, _ firstShare: Int, _ secondShare: Int) throws {
        let data = [UInt8](try Data(contentsOf: folder.appending(path: name)))
        blocks = Int(data.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) })
        try #require(data.count == 4 + blocks * (firstShare + secondShare))
        first = Array(data[4..<4 + blocks * firstShare])
        second = Array(data[(4 + blocks * firstShare)...])
    }
}

private func floats(_ bytes: [UInt8]) -> [Float] {
    bytes.withUnsafeBytes { raw in (0..<bytes.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) } }
}

/// The type numbers of the C table.
private let types = (UInt32(0)..<64).filter { ck_block_format_find($0) != nil }

private func row(_ type: UInt32) throws -> ck_block_format { try #require(ck_block_format_find(type)).pointee }

@Suite struct BlockConversionTests {
    @Test func tableHoldsEveryFormatOnce() throws {
        #expect(types.count == Int(CK_BLOCK_FORMAT_COUNT))
        #expect(ck_block_format_find(999) == nil)
        for format in BlockFormat.allCases {
            let row = try row(format.rawValue)
            #expect(row.elements == Int32(format.blockElements))
            #expect(row.bytes == Int32(format.blockBytes))
            #expect(String(cString: row.name) == format.name)
        }
    }

    @Test(arguments: types) func dequantisesAsTheOracle(type: UInt32) throws {
        let row = try row(type)
        guard type != CK_TYPE_F16 else { return }  // exhaustively below
        let elements = Int(row.elements)
        let vector = try Vector("\(String(cString: row.name)).dequantize.bin", Int(row.bytes), 4 * elements)
        var result = [Float](repeating: .nan, count: vector.blocks * elements)
        vector.first.withUnsafeBytes { row.dequantize($0.baseAddress, &result, Int64(result.count)) }
        let expected = floats(vector.second)
        let wrong = result.indices.filter { result[$0].bitPattern != expected[$0].bitPattern && !(result[$0].isNaN && expected[$0].isNaN) }
        #expect(
            wrong.isEmpty, "\(wrong.count) differ, first at \(wrong.first ?? -1): \(wrong.first.map { (result[$0], expected[$0]) } as Any)")
    }

    @Test(arguments: types) func roundsAsTheOracle(type: UInt32) throws {
        let row = try row(type)
        guard let quantize = row.quantize else { return }
        let elements = Int(row.elements), bytes = Int(row.bytes)
        let vector = try Vector("\(String(cString: row.name)).quantize.bin", 4 * elements, bytes)
        var result = [UInt8](repeating: 0xAA, count: vector.blocks * bytes)
        floats(vector.first).withUnsafeBufferPointer { input in
            result.withUnsafeMutableBytes { quantize(input.baseAddress, $0.baseAddress, Int64(input.count)) }
        }
        let wrong = (0..<vector.blocks).filter { result[$0 * bytes..<($0 + 1) * bytes] != vector.second[$0 * bytes..<($0 + 1) * bytes] }
        #expect(wrong.isEmpty, "blocks \(wrong) differ")
    }

    /// Independent of the oracle: what comes back lies within one step of what went in, and nearer on average.
    @Test(arguments: [BlockFormat.q8_0, .q4_0, .q5_0, .mxfp4, .tq2_0, .tq1_0]) func errorStaysWithinAStep(format: BlockFormat) throws {
        var random = SeededGenerator(seed: 7)
        let values = random.floats(format.blockElements * 16, in: -3...3)
        let back = try format.dequantize(try format.quantize(values))
        let largestStep: [BlockFormat: Float] = [.q8_0: 3 / 127, .q4_0: 3 / 8, .q5_0: 3 / 16, .mxfp4: 1, .tq2_0: 3, .tq1_0: 3]
        let step = try #require(largestStep[format])
        // Asymmetric formats clip the opposite extreme by up to one step.
        #expect(zip(values, back).allSatisfy { abs($0 - $1) <= step * 1.01 })
        let meanError = zip(values, back).reduce(0) { $0 + abs($1.0 - $1.1) } / Float(values.count)
        #expect(meanError < step * 0.4)
    }

    @Test func everyHalfWidensExactly() {
        for bits in UInt16.min...UInt16.max {
            let expected = Float(Float16(bitPattern: bits)), result = ck_half_to_float(bits)
            guard expected.bitPattern != result.bitPattern else { continue }
            guard expected.isNaN && result.isNaN else {
                Issue.record("half \(bits): \(result), expected \(expected)")
                return
            }
        }
    }

    @Test func floatsNarrowToTheNearestHalf() {
        var random = SeededGenerator(seed: 11)
        var wrong = 0
        func check(_ value: Float) {
            let expected = Float16(value), result = Float16(bitPattern: ck_float_to_half(value))
            if expected.bitPattern != result.bitPattern && !(expected.isNaN && result.isNaN) { wrong += 1 }
        }
        for _ in 0..<200_000 { check(Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))) }
        // Each half, the midpoint above it (a tie), and the neighbours of the midpoint.
        for bits in UInt16(0)..<0x7c00 {
            let value = Float(Float16(bitPattern: bits)), next = Float(Float16(bitPattern: min(bits + 1, 0x7bff)))
            let middle = (value + next) / 2
            for candidate in [value, middle, middle.nextUp, middle.nextDown] {
                check(candidate)
                check(-candidate)
            }
        }
        for value in [Float.infinity, -.infinity, .nan, 65504, 65519.996, 65520, 65536, 1e30, 0, -0.0, .leastNonzeroMagnitude] {
            check(value)
        }
        #expect(wrong == 0)
    }

    @Test func floatsNarrowToTheNearestBfloat() {
        var random = SeededGenerator(seed: 12)
        for _ in 0..<100_000 {
            let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            let result = ck_bfloat_to_float(ck_float_to_bfloat(value))
            if value.isNaN {
                #expect(result.isNaN)
                continue
            }
            // The two neighbours on the bfloat grid bracket the value; the nearer one, or the even one, is right.
            let below = value.bitPattern & 0xffff_0000, rest = value.bitPattern & 0xffff
            let up = rest > 0x8000 || (rest == 0x8000 && below & 0x1_0000 != 0)
            #expect(result.bitPattern == below &+ (up ? 0x1_0000 : 0))
        }
    }
}
