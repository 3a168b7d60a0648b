// Linear kernels: the scalar rows against a naive sum in Double over the numbers the panels and activations stand for, all other rows against
// the scalar rows; bit for bit on integer panels, within 2·eps·(k + 1)·max² on dense ones.
import CKernels
import Foundation
import SwiftletTensor
import TestSupport
import Testing

private let shapesK = [32, 64, 96, 576, 1536]
private let shapesN = [1, 15, 16, 17, 50]
private let guardValue: Float = 12345.678

/// One product: panels, activations, and room for the output between guards.
private struct Product {
    let weights: PackedWeights
    let activations: Activations
    let n: Int

    /// The output [rows, n] of a kernel. Stride and start are odd, so unaligned; throws when anything else was written.
    func run(_ function: ck_linear_function?) throws -> [Float] {
        let function = try #require(function)
        let stride = n + 5, start = 3
        var output = [Float](repeating: guardValue, count: start + activations.rows * stride + 16)
        output.withUnsafeMutableBufferPointer { buffer in
            var args = ck_linear_args(
                panels: weights.memory.base, panel_stride_bytes: weights.stride, panel_count: Int64(weights.count), k: Int64(weights.k),
                activations: activations.memory.base, activation_stride_bytes: activations.stride, rows: Int64(activations.rows),
                output: buffer.baseAddress.map { $0 + start }, output_stride: Int64(stride), columns: Int64(n), panel_offsets: nil, panel_offset_stride: 0)
            function(&args)
        }
        var result = [Float]()
        var overwritten = 0
        for (index, value) in output.enumerated() {
            let at = index - start
            if at >= 0, at / stride < activations.rows, at % stride < n {
                result.append(value)
            } else if value != guardValue {
                overwritten += 1
            }
        }
        try #require(overwritten == 0, "\(overwritten) guards overwritten")
        return result
    }
}

/// The weight type of a dense panel.
private func denseType(_ panel: ck_panel_format) -> ck_weight_type {
    panel == CK_PANEL_F16 ? CK_WEIGHT_F16 : panel == CK_PANEL_BF16 ? CK_WEIGHT_BF16 : CK_WEIGHT_F32
}

/// Panels of random stored numbers, whatever k (file formats may need a multiple of 256); scales and minimums of ordinary size.
private func randomPanels(_ panel: ck_panel_format, n: Int, k: Int, seed: UInt64) throws -> PackedWeights {
    guard integerPanels.contains(panel) else { return try FileWeights(denseType(panel), rows: n, k: k, seed: seed).packed() }
    let count = (n + 15) / 16, stride = ck_panel_bytes(panel, Int64(k))
    let memory = try AlignedMemory(byteCount: stride * count, purpose: "test panels")
    var random = SeededGenerator(seed: seed)
    for index in memory.bytes.indices { memory.bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
    let halves = ck_panel_scale_bytes(panel) / 2, bytes = blockBytes(of: panel)
    for index in 0..<count {
        let base = memory.base + index * stride
        for row in 0..<16 { base.storeBytes(of: row % 2 == 0 ? 0.5 : 1, toByteOffset: 4 * row, as: Float.self) }
        for block in 0..<k / 32 {
            for half in 0..<halves {
                let bits = UInt16.random(in: 6...12, using: &random) << 10 | UInt16(truncatingIfNeeded: random.next()) & 0x83ff
                base.storeBytes(of: bits, toByteOffset: 64 + block * bytes + 2 * half, as: UInt16.self)
            }
        }
    }
    return PackedWeights(panel: panel, stride: stride, count: count, k: k, memory: memory)
}

/// Panels whose weights are all ends of their range, with signs that make every product add up: the largest sums there are.
private func extremePanels(_ panel: ck_panel_format, n: Int, k: Int) throws -> PackedWeights {
    let packed = try randomPanels(panel, n: n, k: k, seed: 5)
    let scaleBytes = ck_panel_scale_bytes(panel), bytes = blockBytes(of: panel)
    // The largest number is all ones and the smallest all zeros; E2M1 keeps its largest at 7 and its smallest at 15.
    let ends: (Int32, Int32) = panel == CK_PANEL_MXFP4 ? (0x77, 0xff) : (0xff, 0x00)
    for index in 0..<packed.count {
        for block in 0..<k / 32 {
            let quants = packed.memory.base + index * packed.stride + 64 + block * bytes + scaleBytes
            memset(quants, (block + index) % 2 == 0 ? ends.0 : ends.1, bytes - scaleBytes)
        }
    }
    return packed
}

extension PackedWeights {
    init(panel: ck_panel_format, stride: Int, count: Int, k: Int, memory: AlignedMemory) {
        self.panel = panel
        self.stride = stride
        self.count = count
        self.k = k
        self.memory = memory
    }
}

/// The product in Double, and Σ |a·w|, which errors are measured against.
private func naive(_ product: Product) -> [(value: Double, magnitude: Double)] {
    var results: [(Double, Double)] = []
    let k = product.weights.k
    let weights = (0..<product.n).map { n in (0..<k).map { Double(product.weights.value(row: n, k: $0)) } }
    for m in 0..<product.activations.rows {
        let row = (0..<k).map { product.activations.value(row: m, k: $0) }
        for n in 0..<product.n {
            var value = 0.0, magnitude = 0.0
            for index in 0..<k {
                value += row[index] * weights[n][index]
                magnitude += abs(row[index] * weights[n][index])
            }
            results.append((value, magnitude))
        }
    }
    return results
}

/// Whether a row of the table gives what the scalar row gives, to the precision it promises.
private func agree(_ row: ck_linear_row, _ actual: [Float], _ expected: [Float], on product: Product) -> Bool {
    if row.tolerance > 0 {
        return zip(zip(actual, expected), naive(product)).allSatisfy { pair, term in
            abs(Double(pair.0) - Double(pair.1)) <= Double(row.tolerance) * term.magnitude
        }
    }
    let largest = 2.0, bound = 2 * 0x1p-23 * Double(product.weights.k + 1) * largest * largest
    return zip(actual, expected).allSatisfy { actual, expected in
        if row.activation != CK_ACT_F32 { return actual.bitPattern == expected.bitPattern || (actual.isNaN && expected.isNaN) }
        return abs(Double(actual) - Double(expected)) <= bound
    }
}

@Suite struct LinearTests {
    @Test(arguments: RowReference.linear.filter { $0.isa == 0 }) func scalarMatchesDouble(reference: RowReference) throws {
        let row = try reference.linearRow()
        for (k, n, m) in [(32, 1, 1), (96, 17, 3), (576, 50, 2)] {
            let weights = try randomPanels(row.panel, n: n, k: k, seed: UInt64(n))
            let values = row.activation == CK_ACT_F32 ? trickyFloats(m * k) : trickyActivations(rows: m, k: k, seed: 9)
            let product = Product(weights: weights, activations: try Activations(values, rows: m, k: k, format: row.activation), n: n)
            for (actual, expected) in zip(try product.run(row.function), naive(product)) {
                // The minimum of the M formats is added apart, so its own magnitude counts: at most twice that of the products here.
                #expect(abs(Double(actual) - expected.value) <= 4 * 0x1p-23 * Double(k / 8 + 4) * expected.magnitude + 1e-30)
            }
        }
    }

    @Test(arguments: (RowReference.linear.filter { $0.isa != 0 } + RowReference.linearTwins).runnable) func rowMatchesScalar(reference: RowReference) throws {
        let row = try reference.linearRow()
        let scalar = try #require(ck_linear_find(row.panel, row.activation, 0, 1)).pointee.function
        let isInteger = row.activation != CK_ACT_F32
        for k in isInteger ? shapesK : shapesK + [1, 33] {
            for n in shapesN {
                let weights = try randomPanels(row.panel, n: n, k: k, seed: UInt64(k + n))
                let counts = rowCounts(row)
                for m in k > 96 && n > 17 ? [counts.first, counts.last].compactMap(\.self) : counts {
                    let values = isInteger ? trickyActivations(rows: m, k: k, seed: UInt64(m)) : trickyFloats(m * k)
                    let product = Product(
                        weights: weights, activations: try Activations(values, rows: m, k: k, format: row.activation), n: n)
                    #expect(
                        agree(row, try product.run(row.function), try product.run(scalar), on: product), "k \(k) n \(n) m \(m)")
                }
            }
        }
    }

    /// All there are up to just over two tiles; of tall tiles those about the edges of half a tile, a tile, two, and of a block of rows.
    private func rowCounts(_ row: ck_linear_row) -> [Int] {
        if row.maximum_rows == 1 { return [1] }
        return row.row_tile <= 8 ? Array(1...Int(2 * row.row_tile + 1)) : [1, 7, 8, 9, 15, 16, 17, 24, 25, 31, 32, 33, 48, 63, 64, 65, 73, 130]
    }

    /// No rows: nothing is written, and no activation is looked at.
    @Test(arguments: (RowReference.linear + RowReference.linearTwins).runnable) func noRowsWriteNothing(reference: RowReference) throws {
        let row = try reference.linearRow()
        let product = Product(
            weights: try randomPanels(row.panel, n: 17, k: 64, seed: 1), activations: try Activations([], rows: 0, k: 64, format: row.activation), n: 17)
        #expect(try product.run(row.function).isEmpty)
    }

    @Test(arguments: (RowReference.linear + RowReference.linearTwins).filter { !$0.name.contains("f32") && !$0.name.contains("f16") }.runnable)
    func largestSumsDoNotOverflow(reference: RowReference) throws {
        let row = try reference.linearRow()
        let m = row.maximum_rows == 1 ? 1 : 9
        for sign in [Float(1), -1] {
            let values = (0..<m * 96).map { index in sign * (index / 32 % 2 == 0 ? 7 : -7) }
            let activations = try Activations(values, rows: m, k: 96, format: row.activation)
            let product = Product(weights: try extremePanels(row.panel, n: 17, k: 96), activations: activations, n: 17)
            for (actual, expected) in zip(try product.run(row.function), naive(product)) {
                #expect(abs(Double(actual) - expected.value) <= 64 * 0x1p-23 * expected.magnitude)
            }
        }
    }

    @Test(arguments: [CK_ACT_Q8, CK_ACT_Q15].map(\.rawValue)) func notANumberReachesTheOutput(raw: UInt32) throws {
        let format = ck_activation_format(rawValue: raw)
        var values = [Float](repeating: 1, count: 64)
        values[40] = .nan
        for panel in integerPanels {
            let row = try #require(ck_linear_find(panel, format, machineISA, 1)).pointee
            let product = Product(
                weights: try randomPanels(panel, n: 16, k: 64, seed: 3),
                activations: try Activations(values, rows: 1, k: 64, format: format), n: 16)
            #expect(try product.run(row.function).allSatisfy(\.isNaN))
        }
    }

    /// Every block format end to end: file bytes, panels, two-term activations, the best kernel, against the file's own numbers.
    @Test(arguments: blockWeights) func fileWeightsGiveTheProduct(type: ck_weight_type) throws {
        let weights = try FileWeights(type, rows: 50, k: 512, seed: 21), packed = try weights.packed()
        var random = SeededGenerator(seed: 22)
        let values = random.floats(4 * 512)
        for m in [1, 4] {
            let row = try #require(ck_linear_find(packed.panel, CK_ACT_Q15, machineISA, Int64(m))).pointee
            let activations = try Activations(Array(values[..<(m * 512)]), rows: m, k: 512, format: CK_ACT_Q15, isa: machineISA)
            let actual = try Product(weights: packed, activations: activations, n: 50).run(row.function)
            for r in 0..<m {
                for n in 0..<50 {
                    var expected = 0.0, energy = 0.0
                    for index in 0..<512 {
                        let term = Double(values[r * 512 + index]) * Double(weights.values[n * 512 + index])
                        expected += term
                        energy += term * term
                    }
                    // Rounding errors of weights (2^-11) and activations (2^-15) are independent: they add up as a random walk.
                    #expect(abs(Double(actual[r * 50 + n]) - expected) <= 8 * 0x1p-11 * energy.squareRoot() + 1e-12)
                }
            }
        }
    }
}

/// Floats within ±2, some of them 0, ±2 and denormal.
private func trickyFloats(_ count: Int) -> [Float] {
    var random = SeededGenerator(seed: UInt64(count))
    var values = random.floats(count, in: -2...2)
    for index in values.indices {
        switch index % 13 {
        case 4: values[index] = 0
        case 6: values[index] = index % 2 == 0 ? 2 : -2
        case 8: values[index] = .leastNonzeroMagnitude * 700
        default: break
        }
    }
    return values
}
