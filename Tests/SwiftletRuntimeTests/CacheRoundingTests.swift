// What storing in a cache rounds to: hand-computed bytes for the reference, and the same bytes from every backend on random rows.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Caches round as their format says")
struct CacheRoundingTests {
    /// One token of one head, written at position 1 of 2.
    private func graph(_ format: WeightFormat, width: Int, tokens: Int = 1) throws -> Graph {
        var builder = GraphBuilder(name: "cache")
        let x = builder.input("x", .f32, [Dimension(tokens), 1, Dimension(width)])
        let positions = builder.input("positions", .i32, [Dimension(tokens)])
        let slots = builder.input("slots", .i32, [Dimension(tokens)])
        let state = builder.state("cache", StateSpec(shape: [1, 1, Dimension(tokens + 1), Dimension(width)], format: format))
        _ = try builder.cacheWrite(state, x, positions: positions, slots: slots, name: "write")
        return builder.graph
    }

    private func stored(_ values: [Float], _ format: WeightFormat, width: Int, on backend: any Backend) throws -> [UInt8] {
        let tokens = values.count / width
        let sample = BuiltSample(
            graph: try graph(format, width: width, tokens: tokens),
            runs: [
                SampleRun(inputs: [
                    "x": NaiveTensor([tokens, 1, width], values.map(Double.init)), "positions": NaiveTensor(Array(1...tokens)),
                    "slots": NaiveTensor([Int](repeating: 0, count: tokens)),
                ])
            ], bounds: { _, _, _ in [] })
        let bytes = try execute(sample, on: [backend]).states[0]
        let rowBytes = try #require(format.rowBytes(elements: width))
        #expect(bytes[..<rowBytes].allSatisfy { $0 == 0 }, "position 0 was not written")
        return Array(bytes[rowBytes...])
    }

    private func halves(_ bytes: [UInt8]) -> [UInt16] { stride(from: 0, to: bytes.count, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 } }

    /// IEEE 754 binary16, to nearest, ties to even.
    @Test("f16") func half() throws {
        let pairs: [(Float, UInt16)] = [
            (1, 0x3c00), (-2, 0xc000), (1 / 3, 0x3555), (65_504, 0x7bff), (65_519, 0x7bff), (65_520, 0x7c00), (0x1p-24, 0x0001),
            (0x1p-25, 0x0000), (0x1.8p-24, 0x0002), (2049, 0x6800), (2051, 0x6802), (-0.0, 0x8000), (0x1p-14, 0x0400), (6.1e-5, 0x03ff),
        ]
        let bytes = try stored(pairs.map(\.0), .dense(.f16), width: pairs.count, on: ReferenceBackend(pool: nil))
        #expect(halves(bytes) == pairs.map(\.1))
    }

    @Test("bf16") func bfloat() throws {
        let pairs: [(Float, UInt16)] = [(1, 0x3f80), (-1.00390625, 0xbf80), (1.01171875, 0x3f82), (3.4e38, 0x7f80), (0x1p-133, 0x0001)]
        let bytes = try stored(pairs.map(\.0), .dense(.bf16), width: pairs.count, on: ReferenceBackend(pool: nil))
        #expect(halves(bytes) == pairs.map(\.1))
    }

    /// Largest 254: scale 2, levels x/2 with halves to even. A block of zeros has the scale 0.
    @Test("q8_0") func q8() throws {
        var values: [Float] = [254, -254, 1, 3, -1, -3, 2, 5, 100.5, 0] + [Float](repeating: 0, count: 54)
        values[40] = 0x1p-101
        let bytes = try stored(values, .block(.q8_0), width: 64, on: ReferenceBackend(pool: nil))
        #expect(halves(Array(bytes[0..<2])) == [0x4000])
        #expect(bytes[2..<12].map { Int8(bitPattern: $0) } == [127, -127, 0, 2, 0, -2, 1, 2, 50, 0])
        #expect(bytes[12...].allSatisfy { $0 == 0 })
    }

    @Test("A number that is none spoils its block visibly", arguments: [Float.nan, .infinity, -.infinity]) func notANumber(_ value: Float) throws {
        var values = [Float](repeating: 1, count: 32)
        values[7] = value
        let bytes = try stored(values, .block(.q8_0), width: 32, on: ReferenceBackend(pool: nil))
        #expect(halves(bytes)[0] == 0x7e00)
    }

    @Test("Every instruction set stores the reference's bytes", arguments: [WeightFormat.dense(.f32), .dense(.f16), .block(.q8_0)])
    func everyPath(_ format: WeightFormat) throws {
        var generator = SeededGenerator(seed: 21)
        // Magnitudes from subnormal halves to beyond the largest half, and halves exactly between two levels.
        var values = (0..<64 * 40).map { Float.random(in: -2...2, using: &generator) * Float(sign: .plus, exponent: $0 / 64 - 24, significand: 1) }
        for index in 0..<32 { values[index] = Float(index) * 0.5 }
        values[31] = 127
        let expected = try stored(values, format, width: 64, on: ReferenceBackend(pool: nil))
        for path in ISAPath.allCases where path.isHere {
            let bytes = try stored(values, format, width: 64, on: CPUBackend(pool: Pools.all[1], isa: path.rawValue))
            #expect(bytes == expected, "\(path)")
        }
    }
}
