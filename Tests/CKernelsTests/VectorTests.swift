// Row operations of every set, the scalar one included, against Double.
import CKernels
import Foundation
import SwiftletTensor
import TestSupport
import Testing

private let lengths = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 576]

/// Runs a row operation on unaligned copies with guards behind the result, and in place; both must agree.
private func apply(_ n: Int, _ inputs: [[Float]], _ operation: ([UnsafeMutablePointer<Float>], UnsafeMutablePointer<Float>) -> Void) throws
    -> [Float]
{
    let buffers = inputs.map { input in
        let buffer = UnsafeMutablePointer<Float>.allocate(capacity: input.count + 1)
        (buffer + 1).update(from: input, count: input.count)
        return buffer
    }
    let out = UnsafeMutablePointer<Float>.allocate(capacity: n + 17)
    defer {
        buffers.forEach { $0.deallocate() }
        out.deallocate()
    }
    for index in 0..<n + 17 { out[index] = 99 }
    operation(buffers.map { $0 + 1 }, out + 1)
    let result = Array(UnsafeBufferPointer(start: out + 1, count: n))
    try #require((n + 1..<n + 17).allSatisfy { out[$0] == 99 } && out[0] == 99, "wrote past the row")
    operation(buffers.map { $0 + 1 }, buffers[0] + 1)
    #expect((0..<n).allSatisfy { buffers[0][1 + $0].bitPattern == result[$0].bitPattern || result[$0].isNaN }, "in place differs")
    return result
}

private func worst(_ actual: [Float], _ expected: [Double], _ scale: (Double) -> Double) -> Double {
    zip(actual, expected).map { Double($0) == $1 ? 0 : abs(Double($0) - $1) / scale($1) }.reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
}

private func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
private func gelu(_ x: Double) -> Double { 0.5 * x * erfc(-x / 2.0.squareRoot()) }
private func geluTanh(_ x: Double) -> Double { 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) }

private func set(_ reference: RowReference) throws -> ck_vector_set { try reference.vectorSet() }

@Suite struct VectorTests {
    /// The bounds the header promises, over a dense sweep.
    @Test(arguments: RowReference.vectorSets.runnable) func functionsKeepTheirBounds(reference: RowReference) throws {
        let set = try set(reference)
        let sweep =
            stride(from: Float(-87), through: 87, by: 0.00731).map { $0 } + stride(from: Float(-1), through: 1, by: 0.00037).map { $0 }
        let n = sweep.count, doubles = sweep.map(Double.init)
        func run(_ f: ck_unary_function?) throws -> [Float] {
            let f = try #require(f)
            return try apply(n, [sweep]) { f($0[0], Int64(n), $1) }
        }
        let relative = { (x: Double) in max(abs(x), 0x1p-126) }
        let exponential = worst(try run(set.exp), doubles.map { exp($0) }, relative)
        let tangent = worst(try run(set.tanh), doubles.map { tanh($0) }, relative)
        let logistic = worst(try run(set.sigmoid), doubles.map(sigmoid), relative)
        print("\(reference.name): relative error of exp \(exponential), tanh \(tangent), sigmoid \(logistic)")
        #expect(exponential <= 2e-7 && tangent <= 3e-7 && logistic <= 3e-7)
        let product = { (f: ck_unary_function?, g: (Double) -> Double) in
            zip(try run(f), doubles).map { abs(Double($0) - g($1)) / max(abs($1), 1) }.max() ?? .infinity
        }
        let silu = try product(set.silu) { $0 * sigmoid($0) }, erf = try product(set.gelu, gelu),
            fast = try product(set.gelu_tanh, geluTanh)
        print("\(reference.name): error over max(|x|, 1) of silu \(silu), gelu \(erf), gelu_tanh \(fast)")
        #expect(silu <= 3e-7 && erf <= 3e-7 && fast <= 5e-7)
        #expect(try run(set.relu) == sweep.map { max($0, 0) })
    }

    @Test(arguments: RowReference.vectorSets.runnable) func edgesOfTheFunctions(reference: RowReference) throws {
        let set = try set(reference)
        let x: [Float] = [.infinity, -.infinity, .nan, 200, -200, 0, -0.0, 88.5, -100]
        func run(_ f: ck_unary_function?) throws -> [Float] {
            let f = try #require(f)
            return try apply(x.count, [x]) { f($0[0], Int64(x.count), $1) }
        }
        let e = try run(set.exp)
        #expect(e[0] == .infinity && e[1] == 0 && e[2].isNaN && e[3] == .infinity && e[4] == 0 && e[5] == 1 && e[6] == 1)
        #expect(e[7].isFinite && e[8] > 0 && e[8] < .leastNormalMagnitude)
        let t = try run(set.tanh)
        #expect(t[0] == 1 && t[1] == -1 && t[2].isNaN && t[3] == 1 && t[4] == -1 && t[5] == 0 && t[6].sign == .minus)
        let s = try run(set.sigmoid)
        #expect(s[0] == 1 && s[1] == 0 && s[2].isNaN && s[3] == 1 && s[4] == 0 && s[5] == 0.5)
        let g = try run(set.gelu)
        #expect(g[0] == .infinity && g[2].isNaN && g[3] == 200 && g[4] == 0 && g[5] == 0)
    }

    @Test(arguments: RowReference.vectorSets.runnable) func elementwise(reference: RowReference) throws {
        let set = try set(reference)
        for n in lengths {
            var random = SeededGenerator(seed: UInt64(n))
            let a = random.floats(n, in: -6...6), b = random.floats(n, in: -2...2), x = a.map(Double.init), y = b.map(Double.init)
            func binary(_ f: ck_binary_function?, _ expected: (Double, Double) -> Double, _ bound: Double) throws {
                let f = try #require(f)
                let result = try apply(n, [a, b]) { f($0[0], $0[1], Int64(n), $1) }
                #expect(worst(result, zip(x, y).map(expected)) { max(abs($0), 1) } <= bound, "n \(n)")
            }
            try binary(set.add, +, 6e-8)
            try binary(set.multiply, *, 6e-8)
            try binary(set.silu_gate, { $0 * sigmoid($0) * $1 }, 5e-7)
            try binary(set.gelu_gate, { gelu($0) * $1 }, 2e-6)
            try binary(set.gelu_tanh_gate, { geluTanh($0) * $1 }, 2e-6)
            try binary(set.relu_gate, { max($0, 0) * $1 }, 6e-8)
            try binary(set.sigmoid_gate, { sigmoid($0) * $1 }, 3e-7)
            let addScaled = try #require(set.add_scaled), scale = try #require(set.scale), softcap = try #require(set.softcap)
            #expect(
                worst(try apply(n, [a, b]) { addScaled($0[0], $0[1], 0.3, Int64(n), $1) }, zip(x, y).map { $0 + Double(Float(0.3)) * $1 }) {
                    max(abs($0), 1)
                } <= 2e-7)
            #expect(
                worst(try apply(n, [a]) { scale($0[0], 0.3, Int64(n), $1) }, x.map { Double(Float(0.3)) * $0 }) { max(abs($0), 1) } <= 6e-8)
            #expect(worst(try apply(n, [a]) { softcap($0[0], 5, Int64(n), $1) }, x.map { 5 * tanh($0 / 5) }) { max(abs($0), 1) } <= 5e-7)
        }
    }

    @Test(arguments: RowReference.vectorSets.runnable) func normalisations(reference: RowReference) throws {
        let set = try set(reference)
        let rms = try #require(set.rms_norm), layer = try #require(set.layer_norm)
        for n in lengths {
            var random = SeededGenerator(seed: UInt64(n) + 1)
            let a = random.floats(n, in: -4...6), w = random.floats(n, in: -2...2), b = random.floats(n), x = a.map(Double.init)
            let square = x.map { $0 * $0 }.reduce(0, +) / Double(n), mean = x.reduce(0, +) / Double(n)
            let variance = x.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(n)
            let epsilon = Double(Float(1e-5))
            let plain = x.map { $0 / (square + epsilon).squareRoot() }, centred = x.map { ($0 - mean) / (variance + epsilon).squareRoot() }
            let one = { (_: Double) in 1.0 }
            #expect(worst(try apply(n, [a]) { rms($0[0], nil, Int64(n), 1e-5, $1) }, plain, one) <= 2e-6)
            #expect(
                worst(try apply(n, [a, w]) { rms($0[0], $0[1], Int64(n), 1e-5, $1) }, zip(plain, w).map { $0 * Double($1) }, one) <= 4e-6)
            // A mean of floats is only as good as the largest of them: 6·eps over the spread.
            let bound = 1e-5 + 6 * 6e-8 / (variance + epsilon).squareRoot() * 2
            #expect(worst(try apply(n, [a]) { layer($0[0], nil, nil, Int64(n), 1e-5, $1) }, centred, one) <= bound, "n \(n)")
            let full = zip(zip(centred, w), b).map { $0.0 * Double($0.1) + Double($1) }
            #expect(worst(try apply(n, [a, w, b]) { layer($0[0], $0[1], $0[2], Int64(n), 1e-5, $1) }, full, one) <= 2 * bound)
        }
    }

    @Test(arguments: RowReference.vectorSets.runnable) func softmaxAndReductions(reference: RowReference) throws {
        let set = try set(reference)
        let softmax = try #require(set.softmax), logSumExp = try #require(set.log_sum_exp), max = try #require(set.max)
        let argmax = try #require(set.argmax), sum = try #require(set.sum), dot = try #require(set.dot)
        for n in lengths {
            var random = SeededGenerator(seed: UInt64(n) + 2)
            let a = random.floats(n, in: -30...30), b = random.floats(n)
            var mask = random.floats(n)
            if n > 2 { mask[n / 2] = -.infinity }
            for (m, scale, cap) in [(nil, Float(1), Float(0)), (mask, 0.25, 0), (nil, 0.5, 8), (mask, 0.5, 8)] as [([Float]?, Float, Float)]
            {
                var row = a
                softmax(&row, m, Int64(n), scale, cap)
                let scores = a.indices.map { index in
                    let score = Double(a[index]) * Double(scale)
                    return (cap > 0 ? Double(cap) * tanh(score / Double(cap)) : score) + Double(m?[index] ?? 0)
                }
                let top = scores.max() ?? 0, total = scores.map { exp($0 - top) }.reduce(0, +)
                #expect(worst(row, scores.map { exp($0 - top) / total }) { Swift.max($0, 1e-3) } <= 4e-6, "n \(n)")
            }
            let x = a.map(Double.init), top = x.max() ?? 0
            #expect(abs(Double(logSumExp(a, Int64(n))) - (top + log(x.map { exp($0 - top) }.reduce(0, +)))) <= 4e-6)
            #expect(max(a, Int64(n)) == a.max())
            #expect(Int(argmax(a, Int64(n))) == a.firstIndex(of: a.max() ?? 0))
            #expect(abs(Double(sum(a, Int64(n))) - x.reduce(0, +)) <= 1e-7 * x.map(abs).reduce(0, +) * Double(n).squareRoot())
            let products = zip(x, b).map { $0 * Double($1) }
            #expect(
                abs(Double(dot(a, b, Int64(n))) - products.reduce(0, +)) <= 1e-7 * products.map(abs).reduce(0, +) * Double(n).squareRoot())
        }
        var hidden = [Float](repeating: -.infinity, count: 19)
        softmax(&hidden, nil, 19, 1, 0)
        #expect(hidden.allSatisfy { $0 == 0 })
        var ties = [Float](repeating: 3, count: 40)
        #expect(argmax(&ties, 40) == 0)
        ties[0] = .nan
        ties[17] = 4
        ties[33] = 4
        #expect(argmax(&ties, 40) == 17 && max(&ties, 40) == 4)
    }

    @Test(arguments: RowReference.vectorSets.runnable) func conversions(reference: RowReference) throws {
        let set = try set(reference)
        let toHalf = try #require(set.f32_to_f16), fromHalf = try #require(set.f16_to_f32)
        let toBrain = try #require(set.f32_to_bf16), fromBrain = try #require(set.bf16_to_f32)
        // All 65536 halves and bfloats there and back, an odd count so that every tail runs.
        let all = (0..<65535).map { UInt16($0) }
        var floats = [Float](repeating: 0, count: all.count), back = [UInt16](repeating: 0, count: all.count)
        fromHalf(all, Int64(all.count), &floats)
        #expect(all.indices.allSatisfy { floats[$0].isNaN ? all[$0] & 0x7fff > 0x7c00 : floats[$0] == Float(Float16(bitPattern: all[$0])) })
        toHalf(floats, Int64(all.count), &back)
        #expect(all.indices.allSatisfy { back[$0] == all[$0] || floats[$0].isNaN && back[$0] & 0x7fff > 0x7c00 })
        fromBrain(all, Int64(all.count), &floats)
        #expect(all.indices.allSatisfy { floats[$0].bitPattern == UInt32(all[$0]) << 16 })
        toBrain(floats, Int64(all.count), &back)
        #expect(all.indices.allSatisfy { back[$0] == all[$0] || floats[$0].isNaN && back[$0] & 0x7fff > 0x7f80 })
        // Rounding: random bits against Float16 and against round-to-even done by hand.
        var random = SeededGenerator(seed: 7)
        let bits = (0..<50001).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: random.next())) }.filter { !$0.isNaN }
        var halves = [UInt16](repeating: 0, count: bits.count)
        toHalf(bits, Int64(bits.count), &halves)
        #expect(bits.indices.allSatisfy { halves[$0] == Float16(bits[$0]).bitPattern })
        toBrain(bits, Int64(bits.count), &halves)
        #expect(
            bits.indices.allSatisfy {
                halves[$0] == UInt16(truncatingIfNeeded: (bits[$0].bitPattern &+ 0x7fff &+ (bits[$0].bitPattern >> 16 & 1)) >> 16)
            })
    }

    @Test(arguments: RowReference.vectorSets.runnable) func rotaryEmbedding(reference: RowReference) throws {
        let set = try set(reference)
        for (heads, dim, rotary) in [(3, 64, 64), (2, 8, 8), (1, 128, 128), (4, 80, 32), (2, 48, 20), (1, 256, 6)] {
            var random = SeededGenerator(seed: UInt64(dim))
            let x = random.floats(heads * dim), angles = (0..<rotary / 2).map { Double($0) * 0.37 + 0.1 }
            let c = angles.map { Float(cos($0)) }, s = angles.map { Float(sin($0)) }
            for (function, step, distance) in [(set.rope_adjacent, 2, 1), (set.rope_half, 1, rotary / 2)] {
                let rope = try #require(function)
                var expected = x.map(Double.init)
                for h in 0..<heads {
                    for i in 0..<rotary / 2 {
                        let first = h * dim + i * step, second = first + distance, a = Double(x[first]), b = Double(x[second])
                        expected[first] = a * Double(c[i]) - b * Double(s[i])
                        expected[second] = a * Double(s[i]) + b * Double(c[i])
                    }
                }
                let result = try apply(heads * dim, [x]) { rope($0[0], c, s, Int64(heads), Int64(dim), Int64(rotary), $1) }
                #expect(worst(result, expected) { _ in 1 } <= 3e-7, "head dim \(dim), rotary \(rotary)")
            }
        }
    }
}
