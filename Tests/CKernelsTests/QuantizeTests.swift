// Activation quantisers: the scalar twin against the definition, every other row against the scalar twin's bytes.
import CKernels
import Foundation
import SwiftletTensor
import TestSupport
import Testing

/// Rows of activations in a kernel's format.
struct Activations {
    let format: ck_activation_format
    let rows: Int
    let k: Int
    let stride: Int
    let memory: AlignedMemory

    init(_ values: [Float], rows: Int, k: Int, format: ck_activation_format, isa: UInt32 = 0) throws {
        self.format = format
        self.rows = rows
        self.k = k
        stride = ck_activation_row_bytes(format, Int64(k))
        memory = try AlignedMemory(byteCount: stride * rows, purpose: "test activations")
        if let quantizer = ck_quantize_find(format, isa) {
            quantizer.pointee.function(values, Int64(k), Int64(rows), Int64(k), 0, Int64(k), memory.base, stride)
        } else {
            for row in 0..<rows {
                (memory.base + row * stride).withMemoryRebound(to: Float.self, capacity: k) { out in
                    for index in 0..<k { out[index] = values[row * k + index] }
                }
            }
        }
    }

    var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(memory.bytes)) }

    private func int8(_ row: Int, _ offset: Int) -> Int { Int((memory.base + row * stride).load(fromByteOffset: offset, as: Int8.self)) }

    /// The whole integer of an activation.
    func integer(row: Int, k index: Int) -> Int {
        let high = int8(row, index)
        return format == CK_ACT_Q15 ? 128 * high + int8(row, ck_activation_low_offset(Int64(k)) + index) : high
    }

    func record(row: Int, block: Int) -> ck_activation_block {
        let offset = ck_activation_block_offset(format, Int64(k)) + block * MemoryLayout<ck_activation_block>.stride
        return (memory.base + row * stride).load(fromByteOffset: offset, as: ck_activation_block.self)
    }

    /// What the kernels take the activation for.
    func value(row: Int, k index: Int) -> Double {
        guard format != CK_ACT_F32 else { return Double((memory.base + row * stride).load(fromByteOffset: 4 * index, as: Float.self)) }
        return Double(record(row: row, block: index / 32).scale) * Double(integer(row: row, k: index))
    }
}

/// Rows with ordinary numbers, ties at the maximum, zeros, and huge and denormal blocks.
func trickyActivations(rows: Int, k: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed: seed)
    var values = random.floats(rows * k, in: -3...3)
    for block in 0..<rows * k / 32 {
        let range = block * 32..<block * 32 + 32
        switch block % 11 {
        case 1: for index in range { values[index] = index % 2 == 0 ? 1.5 : -1.5 }
        case 3: for index in range { values[index] = 0 }
        case 5: for index in range { values[index] *= 1e18 }
        case 7: for index in range { values[index] *= 1e-25 }
        case 9: for index in range { values[index] *= .leastNormalMagnitude / 1000 }
        default: break
        }
    }
    return values
}

@Suite struct QuantizeTests {
    @Test(arguments: [CK_ACT_Q8, CK_ACT_Q15].map(\.rawValue)) func scalarKeepsTheNumbers(raw: UInt32) throws {
        let format = ck_activation_format(rawValue: raw), top = format == CK_ACT_Q15 ? 16256.0 : 127.0
        let values = trickyActivations(rows: 3, k: 352, seed: 11)
        let quantized = try Activations(values, rows: 3, k: 352, format: format)
        for row in 0..<3 {
            for block in 0..<11 {
                let indices = block * 32..<block * 32 + 32
                let largest = indices.map { Double(abs(values[row * 352 + $0])) }.max() ?? 0
                let record = quantized.record(row: row, block: block), integers = indices.map { quantized.integer(row: row, k: $0) }
                #expect(Int(record.sum) == integers.reduce(0, +))
                #expect(Int(record.half_sum.0) == integers[..<16].reduce(0, +) && Int(record.half_sum.1) == integers[16...].reduce(0, +))
                #expect(record.scaled_sum == record.scale * Float(record.sum))
                #expect(
                    record.scaled_half_sum.0 == record.scale * Float(record.half_sum.0)
                        && record.scaled_half_sum.1 == record.scale * Float(record.half_sum.1))
                #expect(integers.allSatisfy { abs($0) <= Int(top) })
                guard largest >= 0x1p-100 else {
                    #expect(record.scale == 0 && integers.allSatisfy { $0 == 0 })
                    continue
                }
                for index in indices {
                    // Half a step, and a little for the rounding of the step itself.
                    #expect(
                        abs(quantized.value(row: row, k: index) - Double(values[row * 352 + index])) <= largest / top
                            * (0.5 + top * 0x1p-22))
                }
            }
        }
    }

    @Test(arguments: RowReference.quantizers.runnable) func rowGivesTheScalarBytes(reference: RowReference) throws {
        let row = try reference.quantizer()
        // Four blocks go together, 64 of them have their scales made at once; the last four may overlap those before.
        for k in [32, 64, 96, 128, 160, 224, 576, 1536, 2048, 2080] {
            var values = trickyActivations(rows: 5, k: k, seed: UInt64(k))
            values[0] = .infinity
            if k > 32 { values[k + 40] = .nan }
            values[5 * k - 1] = -.infinity
            let expected = try Activations(values, rows: 5, k: k, format: row.activation)
            let actual = try Activations(values, rows: 5, k: k, format: row.activation)
            memset(actual.memory.base, 0, actual.memory.bytes.count)
            row.function(values, Int64(k), 5, Int64(k), 0, Int64(k), actual.memory.base, actual.stride)
            #expect(actual.bytes == expected.bytes, "k \(k)")
        }
    }

    @Test(arguments: RowReference.quantizers.runnable) func partsMakeTheRowAndTouchNothingElse(reference: RowReference) throws {
        let row = try reference.quantizer()
        let (k, rows) = (576, 3)
        let values = trickyActivations(rows: rows, k: k, seed: 9)
        let expected = try Activations(values, rows: rows, k: k, format: row.activation)
        // One block, a quad, what is over, blocks that are no multiple of four, the rest: out of order, from a source that holds only the part.
        for bounds in [[0, 32, 160, 352, 384, 576], [0, 576], [0, 64, 128, 576], [0, 480, 576]] {
            let actual = try Activations(values, rows: rows, k: k, format: row.activation)
            memset(actual.memory.base, 0x5a, actual.memory.bytes.count)
            let untouched = actual.bytes
            row.function(values, Int64(k), Int64(rows), Int64(k), 64, 0, actual.memory.base, actual.stride)
            #expect(actual.bytes == untouched)
            for (first, end) in zip(bounds, bounds.dropFirst()).reversed() {
                let part = (0..<rows).flatMap { values[$0 * k + first..<$0 * k + end] }
                row.function(part, Int64(end - first), Int64(rows), Int64(k), Int64(first), Int64(end - first), actual.memory.base, actual.stride)
            }
            #expect(actual.bytes == expected.bytes, "\(bounds)")
        }
    }

    @Test func infinitiesAndNaNsPoisonTheirBlock() throws {
        var values = [Float](repeating: 1, count: 96)
        values[3] = -.infinity
        values[70] = .nan
        for format in [CK_ACT_Q8, CK_ACT_Q15] {
            let quantized = try Activations(values, rows: 1, k: 96, format: format)
            #expect(quantized.record(row: 0, block: 0).scale.isNaN && quantized.record(row: 0, block: 2).scale.isNaN)
            #expect(quantized.record(row: 0, block: 1).scale > 0)
        }
    }
}
