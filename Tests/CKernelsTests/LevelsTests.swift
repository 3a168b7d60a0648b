// Single 8-bit numbers of every set: against the definition in Float, step by step, bit for bit.
import CKernels
import TestSupport
import Testing

private let counts = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 255, 256, 257, 700]

private func level(_ y: Float, _ zero: UInt8, _ range: ClosedRange<Float> = 0...255) -> UInt8 {
    let moved = (y.isNaN ? 0 : y).rounded(.toNearestOrEven) + Float(zero)
    return UInt8(min(max(moved, range.lowerBound), range.upperBound))
}

/// Bytes behind which a kernel may not write.
private func written<Element: BitwiseCopyable & Equatable>(_ count: Int, guardValue: Element, _ body: (UnsafeMutablePointer<Element>) -> Void) throws -> [Element] {
    var memory = [Element](repeating: guardValue, count: count + 40)
    memory.withUnsafeMutableBufferPointer { memory in if let base = memory.baseAddress { body(base + 3) } }
    try #require(memory[..<3].allSatisfy { $0 == guardValue } && memory[(count + 3)...].allSatisfy { $0 == guardValue }, "wrote past the end")
    return Array(memory[3..<count + 3])
}

@Suite struct LevelsTests {
    /// Numbers at and beside the middle between two levels, beyond the range, and none.
    private func floats(_ count: Int, scale: Float) -> [Float] {
        var random = SeededGenerator(seed: UInt64(count))
        let special: [Float] = [.nan, .infinity, -.infinity, 0, -0.0, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude, 3e9, -3e9]
        return (0..<count).map { index in
            if index % 13 == 5 { return special[index / 13 % special.count] }
            let place = Float(Int.random(in: -300...300, using: &random))
            let middle = index % 3 == 0 ? place + 0.5 : place + Float.random(in: -0.5...0.5, using: &random)
            return middle * scale
        }
    }

    private func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    @Test(arguments: RowReference.levels.runnable) func quantizes(reference: RowReference) throws {
        let set = try reference.levelsSet()
        for count in counts {
            for (scale, zero) in [(1, 0), (0.0186, 114), (0.25, 255), (3.7, 128)] as [(Float, UInt8)] {
                let x = floats(count, scale: scale)
                let result = try written(count, guardValue: UInt8(0xa5)) { set.quantize(x, Int64(count), scale, zero, $0) }
                #expect(result == x.map { level($0 / scale, zero) }, "\(count) numbers, scale \(scale), zero \(zero)")
            }
        }
    }

    @Test(arguments: RowReference.levels.runnable) func quantizesPlanes(reference: RowReference) throws {
        let set = try reference.levelsSet()
        for planes in 1...Int(CK_LEVELS_PLANES) {
            for (plane, range) in [(1, 0..<1), (300, 0..<300), (300, 7..<270), (600, 100..<101), (777, 0..<777), (20, 4..<4)] {
                let x = floats(planes * plane, scale: 0.02)
                let result = try written(planes * plane, guardValue: UInt8(0x5a)) {
                    set.quantize_planes(x, Int64(plane), Int64(planes), Int64(range.lowerBound), Int64(range.count), 0.02, 77, $0)
                }
                let expected = (0..<plane).flatMap { pixel in
                    (0..<planes).map { range.contains(pixel) ? level(x[$0 * plane + pixel] / 0.02, 77) : 0x5a }
                }
                #expect(result == expected, "\(range) of \(planes) planes of \(plane)")
            }
        }
    }

    @Test(arguments: RowReference.levels.runnable) func dequantizes(reference: RowReference) throws {
        let set = try reference.levelsSet()
        for count in counts {
            let x = bytes(count, seed: UInt64(count))
            for (scale, zero) in [(1, 0), (0.0186, 114), (1e-30, 255)] as [(Float, UInt8)] {
                let result = try written(count, guardValue: Float(99)) { set.dequantize(x, Int64(count), scale, zero, $0) }
                #expect(result == x.map { (Float($0) - Float(zero)) * scale })
            }
        }
    }

    @Test(arguments: RowReference.levels.runnable) func adds(reference: RowReference) throws {
        let set = try reference.levelsSet()
        for count in counts {
            let (a, b) = (bytes(count, seed: 1), bytes(count, seed: 2))
            for (zeroA, zeroB, factorA, factorB, zero, low, high) in [(0, 0, 1, 1, 0, 0, 255), (120, 7, 0.7, 1.3, 33, 33, 240), (255, 255, 0.5, 0.25, 128, 0, 255), (9, 200, 1e9, 1e-9, 4, 4, 4)]
                as [(UInt8, UInt8, Float, Float, UInt8, UInt8, UInt8)]
            {
                var sum = ck_levels_sum(zero_a: zeroA, zero_b: zeroB, factor_a: factorA, factor_b: factorB, zero: zero, low: low, high: high)
                let expected = zip(a, b).map { a, b -> UInt8 in
                    let (left, right) = ((Float(a) - Float(zeroA)) * factorA, (Float(b) - Float(zeroB)) * factorB)
                    return level(left + right, zero, Float(low)...Float(high))
                }
                #expect(try written(count, guardValue: UInt8(0xa5)) { set.sum(&sum, a, b, Int64(count), $0) } == expected)
                // In place.
                var own = a
                own.withUnsafeMutableBufferPointer { own in if let base = own.baseAddress { set.sum(&sum, base, b, Int64(count), base) } }
                #expect(own == expected)
            }
        }
    }

    @Test(arguments: RowReference.levels.runnable) func takesMeans(reference: RowReference) throws {
        let set = try reference.levelsSet()
        for channels in [1, 7, 8, 15, 16, 17, 33, 64, 100] {
            for (pixels, wider) in [(1, 0), (2, 3), (49, 0), (1000, 1)] {
                let stride = channels + wider
                let x = bytes((pixels - 1) * stride + channels, seed: UInt64(pixels))
                var mean = ck_levels_mean(
                    pixels: Int64(pixels), pixel_stride: Int64(stride), channels: Int64(channels), zero_x: 100, factor: 3.3 / Float(pixels), zero: 120, low: 40, high: 250)
                let expected = (0..<channels).map { channel -> UInt8 in
                    let sum = (0..<pixels).reduce(0) { $0 + Int(x[$1 * stride + channel]) - 100 }
                    return level(Float(sum) * mean.factor, 120, 40...250)
                }
                #expect(try written(channels, guardValue: UInt8(0xa5)) { set.mean(&mean, x, $0) } == expected, "\(pixels) pixels of \(channels)")
            }
        }
    }

    @Test func lookUpHonoursTheMask() throws {
        #expect(try #require(ck_levels_find(0)).pointee.isa == 0)
        for mask in [UInt32(CK_ISA_AVX2), machineISA] { #expect(try #require(ck_levels_find(mask)).pointee.isa & ~mask == 0) }
        #expect(ck_levels_set_at(ck_levels_set_count()) == nil)
    }
}
