// Samples of look-ups, normalisation, softmax and elementwise arithmetic.
import SwiftletRuntime
import TestSupport

/// A graph of one node: inputs, then weights, in operand order.
private func oneNode(
    _ op: Op, _ operands: [Operand], tokens: Int? = nil, bounds: @escaping @Sendable ([String: NaiveTensor], [NaiveTensor]) -> [[Double]])
    throws -> BuiltSample
{
    var builder = GraphBuilder(name: "sample")
    var inputs: [String: NaiveTensor] = [:]
    let ids = operands.enumerated().map { index, operand in
        switch operand {
        case .weight(let weight): return builder.weight("w\(index)", weight)
        case .floats(let tensor, let shape), .indices(let tensor, let shape):
            inputs["x\(index)"] = tensor
            let element: DType = if case .indices = operand { .i32 } else { .f32 }
            return builder.input("x\(index)", element, shape ?? tensor.shape.map { Dimension($0) })
        }
    }
    for output in try builder.node(op, ids, name: "node") { builder.output(output) }
    return BuiltSample(
        graph: builder.graph, runs: [SampleRun(inputs: inputs, binding: tokens.map { ["tokens": $0] } ?? [:])], bounds: { bounds($1, $2) })
}

private enum Operand {
    case floats(NaiveTensor, shape: [Dimension]? = nil)
    case indices(NaiveTensor, shape: [Dimension]? = nil)
    case weight(Weight)
}

@Sendable private func exact(_: [String: NaiveTensor], _ expected: [NaiveTensor]) -> [[Double]] { expected.map { $0.values.map { _ in 0 } } }
private func relative(_ factor: Double) -> @Sendable ([String: NaiveTensor], [NaiveTensor]) -> [[Double]] {
    { _, expected in expected.map { $0.values.map { factor * abs($0) } } }
}

// MARK: Look-ups

extension OpSample {
    static let lookUps: [OpSample] =
        allFormats.map { format in
            OpSample(name: "embedding: \(format)") {
                var generator = SeededGenerator(seed: 3)
                let width = if case .block(let block) = format { 2 * block.blockElements } else { 13 }
                return try oneNode(
                    .embedding, [.weight(generator.matrix(9, width, format)), .indices(NaiveTensor([8, 0, 3, 3]), shape: ["tokens"])], tokens: 4, bounds: exact)
            }
        }
        + [
            OpSample(name: "embedding: no ids") {
                var generator = SeededGenerator(seed: 4)
                return try oneNode(
                    .embedding, [.weight(generator.matrix(9, 4, .dense(.f32))), .indices(NaiveTensor([]), shape: ["tokens"])], tokens: 0, bounds: exact)
            },
            OpSample(name: "embedding: ids of two axes") {
                var generator = SeededGenerator(seed: 5)
                return try oneNode(
                    .embedding, [.weight(generator.matrix(9, 5, .dense(.bf16))), .indices(NaiveTensor([2, 3], [0, 8, 1, 7, 2, 6]))], bounds: exact)
            },
            OpSample(name: "embedding: one id without an axis") {
                var generator = SeededGenerator(seed: 6)
                return try oneNode(.embedding, [.weight(generator.matrix(9, 5, .dense(.f32))), .indices(NaiveTensor([], [8]))], bounds: exact)
            },
            OpSample(name: "embedding: from a table that is an input", isOnCPU: false) {
                var generator = SeededGenerator(seed: 6)
                return try oneNode(.embedding, [.floats(generator.tensor([4, 5])), .indices(NaiveTensor([3, 1]))], bounds: exact)
            },
            gather("rows", [5, 7], [4, 0, 0]), gather("no rows", [5, 7], []), gather("one number a row", [6], [5, 1]), gather("matrices", [3, 2, 4], [2, 1, 2]),
            OpSample(name: "gatherRows: integers") {
                try oneNode(
                    .gatherRows, [.indices(NaiveTensor([3, 2], [1, -2, 16_777_217, 4, 5, 6])), .indices(NaiveTensor([1, 2, 0, 1]))], bounds: exact)
            },
        ]

    private static func gather(_ name: String, _ shape: [Int], _ indices: [Int]) -> OpSample {
        OpSample(name: "gatherRows: " + name) {
            var generator = SeededGenerator(seed: 7)
            return try oneNode(
                .gatherRows, [.floats(generator.tensor(shape)), .indices(NaiveTensor(indices), shape: ["tokens"])], tokens: indices.count, bounds: exact)
        }
    }
}

// MARK: Rows

extension OpSample {
    static let rows: [OpSample] = [1, 2, 7, 16, 64, 577].flatMap { width in
        [0, 1, 3].flatMap { count in
            [norm(.rms, false, count, width), norm(.rms, true, count, width), norm(.layer, false, count, width), norm(.layer, true, count, width)]
                + [softmax("\(count) rows of \(width)", width) { $0.tensor([count, width], in: -9...9) }]
        }
    } + [
        norm(.rms, true, 70, 96), norm(.layer, true, 70, 96),
        softmax("large numbers", 40) { $0.tensor([2, 40], in: 1e4...1.0001e4) },
        softmax("masked", 6) { _ in NaiveTensor([1, 6], [-.infinity, 1, -.infinity, 2, 0, -.infinity]) },
        softmax("three axes", 5) { $0.tensor([2, 3, 5]) },
    ]

    private enum Norm: String { case rms, layer }

    /// Sums of n numbers in f32 are off by at most nε of their largest terms; the rest is a few roundings.
    private static func norm(_ kind: Norm, _ hasSecond: Bool, _ count: Int, _ width: Int) -> OpSample {
        OpSample(name: "\(kind)Norm: \(count) rows of \(width)\(hasSecond ? (kind == .rms ? ", scaled" : ", with bias") : "")") {
            var generator = SeededGenerator(seed: UInt64(width + count))
            let x = Operand.floats(generator.tensor([count, width], in: -3...5), shape: ["tokens", Dimension(width)])
            let scale = try generator.vector(width), bias = try generator.vector(width)
            switch kind {
            case .rms:
                return try oneNode(.rmsNorm(epsilon: 1e-5), [x] + (hasSecond ? [.weight(scale)] : []), tokens: count, bounds: relative(2 * ulp * Double(width + 4)))
            case .layer:
                return try oneNode(.layerNorm(epsilon: 1e-2), [x, .weight(scale)] + (hasSecond ? [.weight(bias)] : []), tokens: count) { inputs, expected in
                    let values = inputs["x0"]?.values ?? []
                    return expected.map { output in
                        output.values.indices.map { index in
                            let row = values[index / width * width..<(index / width + 1) * width]
                            let mean = row.reduce(0, +) / Double(width)
                            let deviation = (row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width) + 1e-2).squareRoot()
                            let largest = row.reduce(0) { max($0, abs($1)) }
                            return 2 * ulp * Double(width + 4) * (largest / deviation + 1)
                        }
                    }
                }
            }
        }
    }

    /// The exponential is within 2e-7, its argument within ε of the largest input, the sum within nε.
    private static func softmax(_ name: String, _ width: Int, _ data: @escaping @Sendable (inout SeededGenerator) -> NaiveTensor) -> OpSample {
        OpSample(name: "softmax: " + name) {
            var generator = SeededGenerator(seed: 11)
            return try oneNode(.softmax, [.floats(data(&generator))]) { inputs, expected in
                let largest = (inputs["x0"]?.values ?? []).filter(\.isFinite).reduce(0) { max($0, abs($1)) }
                return expected.map { $0.values.map { (1e-6 + 2 * ulp * (Double(width + 1) + largest)) * $0 + 0x1p-126 } }
            }
        }
    }
}

// MARK: Elements

extension OpSample {
    static let elementwise: [OpSample] =
        Unary.all.flatMap { function in
            [0, 1, 19, 4099].map { count in
                OpSample(name: "unary: \(function) of \(count)") {
                    var generator = SeededGenerator(seed: UInt64(count))
                    return try oneNode(.unary(function), [.floats(generator.tensor([count], in: -12...12))]) { inputs, _ in
                        [(inputs["x0"]?.values ?? []).map { function.error(at: $0) + ulp * abs(NaiveOps.unary(function, $0)) }]
                    }
                }
            }
        }
        + ([.add, .subtract, .multiply, .divide] as [Binary]).flatMap { function in
            [
                binary(function, [3, 5], [3, 5]), binary(function, [3, 5], [5]),
                binary(function, [1], [1]), binary(function, [], []), binary(function, [2, 3, 17], [17]),
                binary(function, [0, 4], [4]), binary(function, [300, 33], [33]),
                binary(function, [5], [3, 5]), binary(function, [2, 1, 4], [3, 1]),
                binary(function, [2, 3], []),
            ]
        }
        + [
            OpSample(name: "binary: integers", isOnCPU: false) {
                try oneNode(
                    .binary(.divide), [.indices(NaiveTensor([4], [8, -9, 12, 2_147_483_647])), .indices(NaiveTensor([4], [2, 3, -4, 1]))], bounds: exact)
            },
            OpSample(name: "binary: a vector weight") {
                var generator = SeededGenerator(seed: 8)
                return try oneNode(.binary(.multiply), [.floats(generator.tensor([4, 21])), .weight(generator.vector(21))], bounds: relative(ulp))
            },
            OpSample(name: "binary: a number with itself") {
                var builder = GraphBuilder(name: "sample")
                let x = builder.input("x", .f32, [7])
                let doubled = try builder.binary(.add, x, x, name: "doubled")
                builder.output(try builder.binary(.multiply, doubled, doubled, name: "squared"))
                return BuiltSample(
                    graph: builder.graph, runs: [SampleRun(inputs: ["x": NaiveTensor([7], [0, 1, -2, 3, 0.5, -0.25, 9])])],
                    bounds: { _, _, expected in exact([:], expected) })
            },
            OpSample(name: "reshape: between operations, and of an output") {
                var generator = SeededGenerator(seed: 9)
                var builder = GraphBuilder(name: "sample")
                let x = builder.input("x", .f32, ["tokens", 6])
                let wide = try builder.reshape(x, ["tokens", 2, 3], name: "split")
                let softmax = try builder.node(.softmax, [wide], name: "softmax")[0]
                let flat = try builder.reshape(softmax, [Dimension("tokens") * 6], name: "flat")
                builder.output(flat)
                return BuiltSample(
                    graph: builder.graph, runs: [SampleRun(inputs: ["x": generator.tensor([3, 6])], binding: ["tokens": 3])],
                    bounds: { _, _, expected in relative(2e-6)([:], expected) })
            },
        ]

    private static func binary(_ function: Binary, _ a: [Int], _ b: [Int]) -> OpSample {
        OpSample(name: "binary: \(function) \(a) \(b)") {
            var generator = SeededGenerator(seed: 12)
            return try oneNode(.binary(function), [.floats(generator.tensor(a)), .floats(generator.tensor(b, in: 0.5...2))], bounds: relative(ulp))
        }
    }
}
