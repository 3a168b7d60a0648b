// Samples of positions and attention. Keys and values are numbers their cache format holds exactly, so that the naive evaluator, which keeps
// caches in Double, is exact; how a cache rounds is tested on its own.
import SwiftletRuntime
import TestSupport

extension OpSample {
    static let positions: [OpSample] = tables + rotations

    private static let tables: [OpSample] = [
        table("plain", RotaryTable(dimensions: 8, base: 10_000)),
        table("linear", RotaryTable(dimensions: 64, base: 10_000, scaling: .linear(factor: 4))),
        table("one pair", RotaryTable(dimensions: 2, base: 500)),
        table("magnitude", RotaryTable(dimensions: 16, base: 1e6, magnitude: 1.19)),
        table(
            "yarn", RotaryTable(
                dimensions: 64, base: 10_000,
                scaling: .yarn(factor: 16, originalContext: 4096, betaFast: 32, betaSlow: 1, extrapolation: 1, attentionFactor: 1))),
        table(
            "yarn, half extrapolated", RotaryTable(
                dimensions: 96, base: 1e6,
                scaling: .yarn(factor: 4, originalContext: 32_768, betaFast: 32, betaSlow: 1, extrapolation: 0.5, attentionFactor: 0.9))),
        table("factors", RotaryTable(dimensions: 32, base: 500_000, hasFactors: true)),
    ]

    private static func table(_ name: String, _ table: RotaryTable) -> OpSample {
        OpSample(name: "rotaryTable: " + name) {
            var generator = SeededGenerator(seed: 13)
            var builder = GraphBuilder(name: "sample")
            let positions = builder.input("positions", .i32, ["tokens"])
            let factors = table.hasFactors ? builder.weight("factors", try generator.vector(table.dimensions / 2, in: 1...40)) : nil
            builder.output(try builder.rotaryTable(table, positions: positions, factors: factors, name: "table"))
            let places = [0, 1, 131_071, 7, 2, 40_000]
            return BuiltSample(
                graph: builder.graph,
                runs: [[], [5], places].map { SampleRun(inputs: ["positions": NaiveTensor($0)], binding: ["tokens": $0.count]) },
                // Angles are computed in Double everywhere: at most 131,071 radians, so 1e-10 covers the angle's own rounding.
                bounds: { _, _, expected in expected.map { $0.values.map { ulp * abs($0) + 1e-10 } } })
        }
    }

    private static let rotations: [OpSample] = [RotaryLayout.interleaved, .split].flatMap { layout in
        [(1, 1, 2, 2), (0, 2, 8, 8), (3, 2, 8, 6), (5, 3, 64, 64), (2, 9, 64, 32), (40, 1, 128, 96), (1, 4, 10, 6)].map {
            (tokens: Int, heads: Int, head: Int, rotated: Int) in
            OpSample(name: "rotary: \(layout), \(tokens) tokens, \(heads) heads of \(head), \(rotated) turned") {
                var generator = SeededGenerator(seed: UInt64(head + rotated))
                var builder = GraphBuilder(name: "sample")
                let x = builder.input("x", .f32, ["tokens", Dimension(heads), Dimension(head)])
                let table = builder.input("table", .f32, ["tokens", Dimension(rotated)])
                builder.output(try builder.rotary(x, table: table, layout: layout, name: "rotary"))
                let inputs = ["x": generator.tensor([tokens, heads, head]), "table": generator.tensor([tokens, rotated])]
                return BuiltSample(
                    graph: builder.graph, runs: [SampleRun(inputs: inputs, binding: ["tokens": tokens])],
                    // A sum of two products of numbers up to 1.
                    bounds: { _, _, expected in expected.map { $0.values.map { _ in 3 * ulp } } })
            }
        }
    }
}

// MARK: Attention

/// What one run puts into the batch: a position and a slot for each token.
private typealias Places = [(position: Int, slot: Int)]

private func prompt(_ positions: Range<Int>, slot: Int = 0) -> Places { positions.map { ($0, slot) } }

extension OpSample {
    static let attentions: [OpSample] = formats + windowed + batches + parts + [
        attention("softcap", Attention(heads: 4, keyValueHeads: 2, headDimension: 32, scale: 0.5, softcap: 4), [prompt(0..<20), prompt(20..<21)]),
        attention("no tokens", Attention(heads: 4, keyValueHeads: 2, headDimension: 32, scale: 0.5), [prompt(0..<3), []]),
        attention("heads of 12", Attention(heads: 2, keyValueHeads: 1, headDimension: 12, scale: 0.3), [prompt(0..<5)], isOnCPU: false),
        attention("heads of 256", Attention(heads: 2, keyValueHeads: 1, headDimension: 256, scale: 1 / 16), [prompt(0..<9), prompt(9..<10)]),
    ]

    private static let cacheFormats: [WeightFormat] = [.dense(.f32), .dense(.f16), .block(.q8_0)]

    private static let formats: [OpSample] = cacheFormats.flatMap { format in
        [(1, 1, 32), (4, 4, 64), (9, 3, 64), (8, 1, 96), (6, 2, 128)].flatMap { heads, shared, dimension in
            let attention = Attention(heads: heads, keyValueHeads: shared, headDimension: dimension, scale: 1 / Float(dimension).squareRoot())
            return [
                OpSample.attention("\(format) \(heads)/\(shared)×\(dimension), a short prompt", attention, [prompt(0..<5), prompt(5..<6)], format),
                OpSample.attention("\(format) \(heads)/\(shared)×\(dimension), past the blocks", attention, [prompt(0..<67), prompt(67..<68), prompt(68..<101)], format),
            ]
        }
    } + [OpSample.attention("f32, heads of 8", Attention(heads: 3, keyValueHeads: 1, headDimension: 8, scale: 0.4), [prompt(0..<3), prompt(3..<70)])]

    private static let windowed: [OpSample] = [1, 5, 64, 80].map { (window: Int) in
        attention(
            "window of \(window)", Attention(heads: 4, keyValueHeads: 2, headDimension: 32, scale: 0.3, window: window),
            [prompt(0..<3), prompt(3..<90), prompt(90..<91)], .dense(.f16))
    }

    private static let batches: [OpSample] = cacheFormats.flatMap { format in
        let shape = Attention(heads: 4, keyValueHeads: 2, headDimension: 32, scale: 0.3)
        return [
            attention("\(format) three sequences at once", shape, [
                prompt(0..<4, slot: 2) + prompt(0..<2, slot: 0) + prompt(0..<7, slot: 1), [(2, 0), (4, 2), (7, 1)], [(8, 1), (3, 0)],
            ], format),
            attention("\(format) positions out of order", shape, [[(3, 0), (0, 0), (2, 0), (1, 0)], [(5, 0), (0, 1), (4, 0)]], format),
            attention("\(format) a position written again", shape, [prompt(0..<6), prompt(2..<4)], format),
        ]
    }

    /// Caches long enough to be cut into parts that several threads attend to.
    private static let parts: [OpSample] = cacheFormats.flatMap { format in
        let grouped = Attention(heads: 9, keyValueHeads: 3, headDimension: 32, scale: 0.2), single = Attention(heads: 2, keyValueHeads: 1, headDimension: 64, scale: 0.1)
        return [
            attention(
                "\(format) in parts", grouped, [prompt(0..<300), prompt(300..<301), prompt(301..<304), prompt(304..<320)], format, context: 330),
            attention("\(format) one head in parts", single, [prompt(0..<600), prompt(191..<192), prompt(192..<193), prompt(600..<601)], format, context: 610),
            attention(
                "\(format) sequences of unequal length", grouped, [
                    prompt(0..<290, slot: 1) + prompt(0..<2, slot: 0), [(290, 1), (2, 0)], [(0, 2), (291, 1), (292, 1), (3, 0)],
                ], format, context: 330),
            attention(
                "\(format) a window in parts", Attention(heads: 2, keyValueHeads: 1, headDimension: 32, scale: 0.2, window: 200),
                [prompt(0..<300), prompt(300..<301), prompt(301..<305)], format, context: 330),
        ]
    }

    private static func attention(
        _ name: String, _ attention: Attention, _ runs: [Places], _ format: WeightFormat = .dense(.f32), isOnCPU: Bool = true, context: Int = 112
    ) -> OpSample {
        let slots = 3
        return OpSample(name: "attention: " + name, isOnCPU: isOnCPU) {
            var generator = SeededGenerator(seed: UInt64(attention.headDimension + attention.heads))
            var builder = GraphBuilder(name: "sample")
            let (shared, dimension) = (Dimension(attention.keyValueHeads), Dimension(attention.headDimension))
            let q = builder.input("q", .f32, ["tokens", Dimension(attention.heads), dimension])
            let k = builder.input("k", .f32, ["tokens", shared, dimension])
            let v = builder.input("v", .f32, ["tokens", shared, dimension])
            let positions = builder.input("positions", .i32, ["tokens"])
            let slotIDs = builder.input("slots", .i32, ["tokens"])
            let cache = StateSpec(shape: ["slots", shared, "context", dimension], format: format)
            let keys = try builder.cacheWrite(builder.state("keys", cache), k, positions: positions, slots: slotIDs, name: "write keys")
            let values = try builder.cacheWrite(builder.state("values", cache), v, positions: positions, slots: slotIDs, name: "write values")
            builder.output(
                try builder.attention(attention, query: q, keys: keys, values: values, positions: positions, slots: slotIDs, name: "attention"))
            let inputs = runs.map { places in
                SampleRun(
                    inputs: [
                        "q": generator.tensor([places.count, attention.heads, attention.headDimension]),
                        "k": generator.cacheRows([places.count, attention.keyValueHeads, attention.headDimension]),
                        "v": generator.cacheRows([places.count, attention.keyValueHeads, attention.headDimension]),
                        "positions": NaiveTensor(places.map(\.position)), "slots": NaiveTensor(places.map(\.slot)),
                    ], binding: ["tokens": places.count])
            }
            return BuiltSample(
                graph: builder.graph, stateBinding: ["slots": slots, "context": context], runs: inputs,
                // All numbers are at most 1. A score is off by e = 2ε(d+1)·scale, which changes every weight by at most 2e of itself; the
                // exponentials (1e-6) and the sum over n ≤ context positions (2εn) do the rest.
                bounds: { _, _, expected in
                    let score = 2 * ulp * Double(attention.headDimension + 1) * Double(attention.scale)
                    let error = 2 * score + 1e-6 + 2 * ulp * Double(context)
                    return expected.map { $0.values.map { _ in error } }
                })
        }
    }
}

extension SeededGenerator {
    /// Multiples of 1/128 up to 127/128, one of that size in every 32: f16 and Q8_0 (scale 1/128) hold them exactly.
    fileprivate mutating func cacheRows(_ shape: [Int]) -> NaiveTensor {
        let count = shape.reduce(1, *)
        let levels = (0..<count).map { $0 % 32 == 0 ? 127 : Int.random(in: -127...127, using: &self) }
        return NaiveTensor(shape, levels.map { Double($0) / 128 })
    }
}
