// What the tests of all kernel tables (Tests/CKernelsTests, where the portable rows are too) do not ask: numbers at the edges of f16 and f32, results that
// do not depend on how many rows are computed together, and the look-ups.
import CKernels
import SwiftletPortableKernels
import SwiftletTensor
import TestSupport
import Testing

/// A row by name, so that a failure names its kernel.
struct PortableRow: Sendable, CustomTestStringConvertible {
    let index: Int
    var row: ck_linear_row { PortableKernels.linear[index] }
    var testDescription: String { String(cString: row.name) }

    static let all = PortableKernels.linear.indices.map { PortableRow(index: $0) }
}

@Suite struct PortableLinearTests {
    /// One product by a portable row and by the scalar one: panels whose halves come from `half`, activations from `value`.
    private func compare(
        _ row: ck_linear_row, outputs: Int, inputs: Int, rows: Int, half: (inout SeededGenerator) -> UInt16, value: (inout SeededGenerator) -> Float
    ) throws {
        var random = SeededGenerator(seed: UInt64(outputs * 1000 + inputs * 10 + rows))
        let panelRows = Int(CK_PANEL_ROWS), panels = (outputs + panelRows - 1) / panelRows
        let stride = ck_panel_bytes(row.panel, Int64(inputs))
        let weights = try AlignedMemory(byteCount: panels * stride, purpose: "test")
        for byte in weights.bytes.indices { weights.bytes[byte] = UInt8(truncatingIfNeeded: random.next() >> 32) }
        let halves = ck_panel_scale_bytes(row.panel) / 2, blockBytes = (ck_panel_bytes(row.panel, 64) - 64) / 2
        for panel in 0..<panels {
            let base = weights.base + panel * stride
            for index in 0..<panelRows { base.storeBytes(of: index % 3 == 0 ? 0.25 : 2, toByteOffset: 4 * index, as: Float.self) }
            for block in 0..<inputs / Int(CK_BLOCK) {
                for index in 0..<halves { base.storeBytes(of: half(&random), toByteOffset: 64 + block * blockBytes + 2 * index, as: UInt16.self) }
            }
        }
        let activationBytes = ck_activation_row_bytes(row.activation, Int64(inputs))
        let activations = try AlignedMemory(byteCount: rows * activationBytes, purpose: "test")
        let floats = (0..<rows * inputs).map { _ in value(&random) }
        let quantize = try #require(ck_quantize_find(row.activation, 0)?.pointee.function)
        quantize(floats, Int64(inputs), Int64(rows), Int64(inputs), 0, Int64(inputs), activations.base, activationBytes)
        // A wider output than the columns: nothing may be written beside them.
        let width = outputs + 3
        func run(_ function: ck_linear_function, rows: Range<Int>) -> [Float] {
            var output = [Float](repeating: -77, count: rows.count * width)
            output.withUnsafeMutableBufferPointer { buffer in
                var args = ck_linear_args(
                    panels: UnsafeRawPointer(weights.base), panel_stride_bytes: stride, panel_count: Int64(panels), k: Int64(inputs),
                    activations: UnsafeRawPointer(activations.base + rows.lowerBound * activationBytes), activation_stride_bytes: activationBytes,
                    rows: Int64(rows.count), output: buffer.baseAddress, output_stride: Int64(width), columns: Int64(outputs), panel_offsets: nil, panel_offset_stride: 0)
                function(&args)
            }
            return output
        }
        let scalar = try #require(ck_linear_find(row.panel, row.activation, 0, Int64(rows))).pointee
        #expect(scalar.isa == 0 && row.isa == PortableKernels.isa)
        let actual = run(row.function, rows: 0..<rows), expected = run(scalar.function, rows: 0..<rows)
        // Σ |scale · q · weight| of each output; what a format with a minimum adds to and takes from a weight counts by itself.
        for m in 0..<rows {
            let (base, low) = (activations.base + m * activationBytes, ck_activation_low_offset(Int64(inputs)))
            let magnitudes = (0..<inputs).map { index in
                let record = base.load(
                    fromByteOffset: ck_activation_block_offset(row.activation, Int64(inputs)) + index / 32 * MemoryLayout<ck_activation_block>.stride,
                    as: ck_activation_block.self)
                let high = Double(base.load(fromByteOffset: index, as: Int8.self))
                let q = row.activation == CK_ACT_Q15 ? 128 * high + Double(base.load(fromByteOffset: low + index, as: Int8.self)) : high
                return abs(q * Double(record.scale))
            }
            for n in 0..<width {
                let (actual, expected) = (actual[m * width + n], expected[m * width + n])
                guard n < outputs else {
                    #expect(actual == -77)
                    continue
                }
                if !expected.isFinite {
                    #expect(actual.isNaN == expected.isNaN && (actual.isNaN || actual == expected), "row \(m), output \(n)")
                    continue
                }
                let panel = weights.base + n / panelRows * stride
                let sum = magnitudes.indices.reduce(0.0) { sum, index in
                    magnitudes[index] == 0 ? sum : sum + magnitudes[index] * Double(abs(ck_panel_value(row.panel, panel, Int64(n % panelRows), Int64(index))))
                }
                // Sums among the subnormals are off by their last bit.
                let bound = Double(row.tolerance) * sum + Double(inputs) * Double(Float.leastNonzeroMagnitude)
                #expect(abs(Double(actual) - Double(expected)) <= bound, "row \(m), output \(n): \(actual), not \(expected)")
            }
        }
        // Each row by itself gives the bits it gives among others.
        for m in 0..<rows {
            let alone = run(row.function, rows: m..<m + 1)
            for n in 0..<outputs {
                let (one, many) = (alone[n], actual[m * width + n])
                #expect(one.bitPattern == many.bitPattern || one.isNaN && many.isNaN, "row \(m), output \(n)")
            }
        }
    }

    @Test(arguments: PortableRow.all) func agreesWithTheScalarRow(reference: PortableRow) throws {
        // Panels and rows around the ends of a tile.
        for (outputs, inputs, rows) in [
            (1, 32, 1), (15, 64, 2), (16, 32, 1), (17, 96, 3), (50, 576, 4), (64, 1536, 1), (65, 64, 15), (63, 32, 16), (80, 96, 17), (129, 32, 33), (3, 0, 2),
            (16, 64, 0),
        ] {
            // Ordinary scales of either sign.
            try compare(reference.row, outputs: outputs, inputs: inputs, rows: rows) { random in
                UInt16(6 + random.next() % 6) << 10 | UInt16(truncatingIfNeeded: random.next()) & 0x83ff
            } value: { random in
                Float(Int32(truncatingIfNeeded: random.next())) * 0x1p-30
            }
        }
    }

    /// Scales that are zero, subnormal, infinite or NaN, and sums that fall into the subnormal floats or between two floats.
    @Test(arguments: PortableRow.all) func agreesAtTheEdgesOfTheNumbers(reference: PortableRow) throws {
        for rows in [1, 3] {
            try compare(reference.row, outputs: 33, inputs: 256, rows: rows) { random in
                UInt16(truncatingIfNeeded: random.next())
            } value: { random in
                Float(Int32(truncatingIfNeeded: random.next())) * 0x1p-30
            }
            // The smallest activations that are not rounded to zero, with subnormal scales: sums near 2^-124 · 2^-14 · …, less than 2^-126.
            try compare(reference.row, outputs: 33, inputs: 128, rows: rows) { random in
                UInt16(truncatingIfNeeded: random.next()) & 0x8003
            } value: { random in
                Float(Int32(truncatingIfNeeded: random.next())) * 0x1p-126
            }
            // Powers of two: every product is short, so that sums lie exactly between floats again and again.
            try compare(reference.row, outputs: 33, inputs: 1024, rows: rows) { random in
                UInt16(1 + random.next() % 29) << 10
            } value: { random in
                random.next() % 32 == 0 ? 127 : Float(sign: .plus, exponent: Int(random.next() % 6), significand: 1)
            }
        }
    }

    @Test func dispatchTakesThemWhereOnlyScalarRowsAre() throws {
        for row in PortableKernels.linear {
            let name = String(cString: row.name)
            let found = try #require(PortableKernels.findLinear(row.panel, row.activation, isa: PortableKernels.isa, rows: 3))
            #expect(String(cString: found.name) == name)
            #expect(try #require(PortableKernels.findLinear(row.panel, row.activation, isa: 0, rows: 3)).isa == 0)
            let best = try #require(ck_linear_find(row.panel, row.activation, ck_isa_detect(), 3)).pointee
            let chosen = try #require(PortableKernels.findLinear(row.panel, row.activation, isa: ck_isa_detect() | PortableKernels.isa, rows: 3))
            #expect(String(cString: chosen.name) == (best.isa == 0 ? name : String(cString: best.name)))
        }
        // Panels of floats have no portable row and keep the scalar one.
        #expect(try #require(PortableKernels.findLinear(CK_PANEL_F16, CK_ACT_F32, isa: PortableKernels.isa, rows: 1)).isa == 0)
        #expect(PortableKernels.findLinear(CK_PANEL_NONE, CK_ACT_Q8, isa: PortableKernels.isa, rows: 1) == nil)
    }

    @Test func otherTablesHaveThemToo() throws {
        let (isa, machine) = (PortableKernels.isa, ck_isa_detect())
        for row in PortableKernels.quantizers {
            #expect(try #require(PortableKernels.findQuantizer(row.activation, isa: isa)).isa == isa)
            #expect(try #require(PortableKernels.findQuantizer(row.activation, isa: 0)).isa == 0)
        }
        #expect(PortableKernels.findQuantizer(CK_ACT_F32, isa: isa) == nil)
        #expect(PortableKernels.findVector(isa: isa)?.isa == isa && PortableKernels.findVector(isa: 0)?.isa == 0)
        #expect(PortableKernels.findAttention(isa: isa, mayRound: true)?.isa == isa && PortableKernels.findAttention(isa: 0, mayRound: true)?.isa == 0)
        // What the machine has comes first.
        let best = try #require(ck_vector_find(machine)).pointee, attention = try #require(ck_attention_find(machine, true)).pointee
        #expect(PortableKernels.findVector(isa: machine | isa)?.isa == (best.isa == 0 ? isa : best.isa))
        #expect(PortableKernels.findAttention(isa: machine | isa, mayRound: true)?.isa == (attention.isa == 0 ? isa : attention.isa))
    }
}
