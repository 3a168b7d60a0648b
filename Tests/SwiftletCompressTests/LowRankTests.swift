import Foundation
import SwiftletCompress
import SwiftletLanguage
import SwiftletLinearAlgebra
import SwiftletNetwork
import SwiftletRuntime
import TestSupport
import Testing


@Suite struct LowRankTests {
    /// A graph of one linear layer `x [tokens, columns] → [tokens, rows]`.
    private static func linear(_ weight: [Float], rows: Int, columns: Int, bias: [Float]? = nil) throws -> Graph {
        var builder = GraphBuilder(name: "linear")
        let x = builder.input("x", .f32, ["tokens", Dimension(columns)])
        let matrix = builder.weight("layer.weight", try Weight(name: "layer.weight", shape: [rows, columns], floats: weight))
        let offset = try bias.map { builder.weight("layer.bias", try Weight(name: "layer.bias", shape: [rows], floats: $0)) }
        builder.output(try builder.linear(x, matrix, bias: offset, name: "layer"))
        return builder.graph
    }

    private static func product(_ a: [Float], _ b: [Float], _ m: Int, _ k: Int, _ n: Int) -> [Float] {
        (0..<m * n).map { index in
            Float((0..<k).reduce(0.0) { $0 + Double(a[index / n * k + $1]) * Double(b[$1 * n + index % n]) })
        }
    }

    /// What a graph's factors multiply out to.
    private static func product(of graph: Graph, rows: Int, columns: Int) throws -> [Float]? {
        let weights = Dictionary(graph.weights.map { (graph[$0.id].name, $0.weight) }) { $1 }
        guard let a = weights["layer.weight.lowrank_a"], let b = weights["layer.weight.lowrank_b"] else { return nil }
        return product(try b.floats(), try a.floats(), rows, a.shape[0], columns)
    }

    private static func context(_ data: (any CalibrationData)? = nil, checkpoint: Checkpoint? = nil) throws -> CompressionContext {
        try CompressionContext(passes: .language, calibration: data, threads: 1, checkpoint: checkpoint)
    }

    /// Calibration rows `[tokens, columns]` for the graph above.
    private struct Rows: CalibrationData {
        let rows: [Float]
        let columns: Int
        var batchCount: Int { 1 }
        var stateBinding: Binding { [:] }
        func batch(_ index: Int) throws -> CalibrationBatch {
            let tokens = rows.count / columns
            return CalibrationBatch(binding: ["tokens": tokens], inputs: ["x": try Tensor(rows, shape: [tokens, columns])])
        }
    }

    private static func squaredNorm(_ values: [Float]) -> Double { values.reduce(0) { $0 + Double($1) * Double($1) } }

    /// ‖X·(W − W′)ᵀ‖²
    private static func outputError(_ a: [Float], _ b: [Float], on x: [Float], rows: Int, columns: Int) -> Double {
        let difference = zip(a, b).map { $0 - $1 }
        return (0..<x.count / columns).reduce(0.0) { sum, token in
            (0..<rows).reduce(sum) { sum, row in
                let y = (0..<columns).reduce(0.0) { $0 + Double(x[token * columns + $1]) * Double(difference[row * columns + $1]) }
                return sum + y * y
            }
        }
    }

    /// Rows of very different scales that lean on each other, as activations do.
    private static func activations(_ tokens: Int, _ columns: Int, seed: UInt64) -> [Float] {
        var generator = SeededGenerator(seed: seed)
        return (0..<tokens).flatMap { _ in
            let common = Float.random(in: -1...1, using: &generator)
            return (0..<columns).map { Float.random(in: -1...1, using: &generator) * (0.05 + Float($0 % 7)) + common * Float($0 % 3) }
        }
    }

    @Test(arguments: [(24, 40, 5), (40, 24, 7), (16, 16, 1)])
    func matricesOfARankAreRecovered(rows: Int, columns: Int, rank: Int) throws {
        var generator = SeededGenerator(seed: 7)
        let weight = Self.product(generator.floats(rows * rank), generator.floats(rank * columns), rows, rank, columns)
        let graph = try Self.linear(weight, rows: rows, columns: columns)
        let x = Self.activations(60, columns, seed: 3)
        let steps: [any CompressionStep] = [
            FactoriseBySVD(rank: .energy(1), multiple: 1), FactoriseByWhitenedSVD(rank: .energy(1), multiple: 1),
        ]
        for step in steps {
            let result = try step.run(graph, in: Self.context(Rows(rows: x, columns: columns)))
            try result.graph.verify()
            let product = try #require(try Self.product(of: result.graph, rows: rows, columns: columns))
            #expect(zip(product, weight).allSatisfy { abs($0 - $1) < 1e-5 })
            #expect(result.report.tensors.first?.shapeAfter == [rows, rank, columns])
            #expect(result.report.after.multiplyAccumulates == rank * (rows + columns))
        }
    }

    @Test func outputsOfTheGraphAreThoseOfTheProduct() throws {
        let (rows, columns) = (20, 28)
        var generator = SeededGenerator(seed: 1)
        let graph = try Self.linear(generator.floats(rows * columns), rows: rows, columns: columns, bias: generator.floats(rows))
        let result = try FactoriseBySVD(rank: .ratio(0.7), multiple: 2).run(graph, in: Self.context())
        let product = try #require(try Self.product(of: result.graph, rows: rows, columns: columns))
        let bias = try #require(graph.weights.first { graph[$0.id].name == "layer.bias" }).weight.floats()
        let expected = try Self.linear(product, rows: rows, columns: columns, bias: bias)
        let x = NaiveTensor([3, columns], generator.floats(3 * columns).map(Double.init))
        let binding: Binding = ["tokens": 3]
        var (whole, factored) = (try NaiveEvaluator(expected, binding: binding), try NaiveEvaluator(result.graph, binding: binding))
        let (a, b) = (try whole.run(["x": x], binding: binding)[0], try factored.run(["x": x], binding: binding)[0])
        #expect(a.shape == b.shape && zip(a.values, b.values).allSatisfy { abs($0 - $1) < 1e-5 })
        #expect(result.graph.nodes.map(\.name) == ["layer.lowrank_a", "layer"])
    }

    /// The best of all matrices of rank 1 in the norm of the outputs, by alternating least squares from many starts.
    private static func bestRankOne(_ weight: [Float], on x: [Float], rows: Int, columns: Int) -> Double {
        let tokens = x.count / columns
        var gram = [Double](repeating: 0, count: columns * columns)
        for t in 0..<tokens {
            for i in 0..<columns { for j in 0..<columns { gram[i * columns + j] += Double(x[t * columns + i]) * Double(x[t * columns + j]) } }
        }
        var generator = SeededGenerator(seed: 99)
        var best = Double.infinity
        for _ in 0..<8 {
            var a = generator.floats(columns).map(Double.init)
            var b = [Double](repeating: 0, count: rows)
            for _ in 0..<500 {
                let ga = (0..<columns).map { i in (0..<columns).reduce(0.0) { $0 + gram[i * columns + $1] * a[$1] } }
                let norm = zip(a, ga).reduce(0.0) { $0 + $1.0 * $1.1 }
                b = (0..<rows).map { row in (0..<columns).reduce(0.0) { $0 + Double(weight[row * columns + $1]) * ga[$1] } / norm }
                let size = b.reduce(0) { $0 + $1 * $1 }
                a = (0..<columns).map { column in (0..<rows).reduce(0.0) { $0 + Double(weight[$1 * columns + column]) * b[$1] } / size }
            }
            let candidate = (0..<rows * columns).map { Float(b[$0 / columns] * a[$0 % columns]) }
            best = min(best, outputError(weight, candidate, on: x, rows: rows, columns: columns))
        }
        return best
    }

    @Test(arguments: [(5, 4), (4, 6), (7, 7)]) func whitenedIsTheBestOfItsRank(rows: Int, columns: Int) throws {
        var generator = SeededGenerator(seed: UInt64(rows * 10 + columns))
        let weight = generator.floats(rows * columns)
        let x = Self.activations(30, columns, seed: 8)
        let ratio = Double(rows + columns) / Double(rows * columns)
        let result = try FactoriseByWhitenedSVD(rank: .ratio(ratio + 1e-9), multiple: 1, prior: 0)
            .run(Self.linear(weight, rows: rows, columns: columns), in: Self.context(Rows(rows: x, columns: columns)))
        let product = try #require(try Self.product(of: result.graph, rows: rows, columns: columns))
        let error = Self.outputError(weight, product, on: x, rows: rows, columns: columns)
        let best = Self.bestRankOne(weight, on: x, rows: rows, columns: columns)
        #expect(abs(error - best) < 1e-4 * best)
        // What the report says is what the outputs show.
        let energy = Self.outputError(weight, weight.map { _ in 0 }, on: x, rows: rows, columns: columns)
        let reported = try #require(result.report.tensors[0].outputError)
        #expect(abs(reported - error / energy) < 1e-4)
        let noise = Self.squaredNorm(zip(weight, product).map { $0 - $1 })
        let signal = try #require(result.report.tensors[0].signalToNoise)
        #expect(abs(signal - 10 * log10(Self.squaredNorm(weight) / noise)) < 1e-3)
    }

    @Test func whitenedIsNeverWorseThanPlainOnTheOutputs() throws {
        let (rows, columns) = (32, 48)
        for seed in 0..<6 {
            var generator = SeededGenerator(seed: UInt64(seed))
            let weight = generator.floats(rows * columns)
            let x = Self.activations(200, columns, seed: UInt64(seed) + 50)
            let graph = try Self.linear(weight, rows: rows, columns: columns)
            let context = try Self.context(Rows(rows: x, columns: columns))
            var errors: [Double] = []
            let steps: [any CompressionStep] = [
                FactoriseByWhitenedSVD(rank: .ratio(0.5), multiple: 1, prior: 0), FactoriseBySVD(rank: .ratio(0.5), multiple: 1),
            ]
            for step in steps {
                let result = try step.run(graph, in: context)
                let product = try #require(try Self.product(of: result.graph, rows: rows, columns: columns))
                errors.append(Self.outputError(weight, product, on: x, rows: rows, columns: columns))
            }
            #expect(errors[0] < errors[1])
        }
    }

    /// Fewer rows than columns, and columns in which nothing flows: no inverse exists, and a rank of as many as rows loses nothing of the outputs.
    @Test func singularMomentsAreNoObstacle() throws {
        let (rows, columns, tokens) = (24, 32, 6)
        var generator = SeededGenerator(seed: 5)
        let weight = generator.floats(rows * columns)
        let x = Self.activations(tokens, columns, seed: 2).enumerated().map { $0.offset % columns < 3 ? 0 : $0.element }
        let graph = try Self.linear(weight, rows: rows, columns: columns)
        let result = try FactoriseByWhitenedSVD(rank: .energy(0.9999999), multiple: 1, prior: 0).run(graph, in: Self.context(Rows(rows: x, columns: columns)))
        let product = try #require(try Self.product(of: result.graph, rows: rows, columns: columns))
        let energy = Self.outputError(weight, weight.map { _ in 0 }, on: x, rows: rows, columns: columns)
        #expect(Self.outputError(weight, product, on: x, rows: rows, columns: columns) < 1e-6 * energy)
        #expect(result.report.tensors[0].shapeAfter[1] <= tokens)
        #expect(product.allSatisfy { $0.isFinite })
    }

    /// With fewer rows than columns the data alone say nothing of most directions; the prior keeps the weight's own there. On other rows of the same kind it is
    /// nearer.
    @Test func priorHelpsWhereDataAreFew() throws {
        let (rows, columns) = (40, 60)
        var generator = SeededGenerator(seed: 15)
        let weight = generator.floats(rows * columns)
        let graph = try Self.linear(weight, rows: rows, columns: columns)
        let all = Self.activations(420, columns, seed: 6)
        let context = try Self.context(Rows(rows: Array(all[..<(20 * columns)]), columns: columns))
        let others = Array(all[(20 * columns)...])
        let errors = try [0, 0.5].map { prior in
            let result = try FactoriseByWhitenedSVD(rank: .ratio(0.7), multiple: 1, prior: prior).run(graph, in: context)
            let product = try #require(try Self.product(of: result.graph, rows: rows, columns: columns))
            return Self.outputError(weight, product, on: others, rows: rows, columns: columns)
        }
        #expect(errors[1] < errors[0])
        #expect(throws: SwiftletError.self) { try FactoriseByWhitenedSVD(rank: .ratio(0.7), multiple: 1, prior: -1).run(graph, in: context) }
    }

    @Test func matrixOfZerosBecomesZeros() throws {
        let graph = try Self.linear([Float](repeating: 0, count: 16 * 16), rows: 16, columns: 16)
        for rule in [RankRule.energy(0.9), .ratio(0.5), .sensitivity(0.5)] {
            let result = try FactoriseBySVD(rank: rule, multiple: 4).run(graph, in: Self.context())
            let product = try #require(try Self.product(of: result.graph, rows: 16, columns: 16))
            #expect(product.allSatisfy { $0 == 0 })
        }
    }

    @Test func layersThatWouldNotBecomeCheaperAreLeftAlone() throws {
        var generator = SeededGenerator(seed: 5)
        let graph = try Self.linear(generator.floats(16 * 16), rows: 16, columns: 16)
        for step in [
            FactoriseBySVD(rank: .ratio(0.9), multiple: 8), FactoriseBySVD(rank: .energy(0.9999), multiple: 1),
            FactoriseBySVD(rank: .ratio(1), multiple: 1, scope: Scope(include: ["other"])),
        ] {
            let result = try step.run(graph, in: Self.context())
            #expect(result.graph.nodes.map(\.name) == graph.nodes.map(\.name) && result.report.tensors.isEmpty)
            #expect(result.report.notes.count == (step.scope == .all ? 1 : 0))
        }
        #expect(throws: SwiftletError.self) { try FactoriseBySVD(rank: .ratio(0.5), multiple: 0).run(graph, in: Self.context()) }
        #expect(throws: SwiftletError.self) { try FactoriseByWhitenedSVD(rank: .ratio(0.5), multiple: 1).run(graph, in: Self.context()) }
    }

    /// A tied head, look-ups and factors themselves stay; what is left of a model computes the same where ranks are full.
    @Test func modelsKeepWhatTheyShare() throws {
        let graph = try LlamaFixture.graph(layers: 2, hasBias: true)
        let step = FactoriseBySVD(rank: .ratio(0.8), multiple: 2)
        let result = try step.run(graph, in: Self.context())
        try result.graph.verify()
        let names = Set(result.graph.weights.map { result.graph[$0.id].name })
        #expect(names.contains("token_embd.weight") && names.contains("blk.1/ffn_down.weight.lowrank_b") && !names.contains("blk.1/ffn_down.weight"))
        #expect(result.report.notes.contains { $0.hasPrefix("token_embd.weight left alone") })
        #expect(result.report.after.parameters < result.report.before.parameters)
        // Fused and not, the factored graph computes the same.
        let (inputs, binding) = LlamaFixture.step([3, 1, 4, 1, 5], start: 0)
        var plain = try NaiveEvaluator(result.graph, binding: binding)
        var fused = try NaiveEvaluator(PassPipeline.language.run(result.graph), binding: binding)
        let (a, b) = (try plain.run(inputs, binding: binding)[0], try fused.run(inputs, binding: binding)[0])
        #expect(zip(a.values, b.values).allSatisfy { abs($0 - $1) < 1e-6 })
        let again = try step.run(result.graph, in: Self.context())
        #expect(again.report.tensors.isEmpty && again.report.notes.contains { $0.hasSuffix("a factor already") })
    }

    @Test func interruptedWorkGoesOnWithTheSameResult() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "swiftlet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var generator = SeededGenerator(seed: 5)
        let graph = try Self.linear(generator.floats(24 * 32), rows: 24, columns: 32)
        let data = Rows(rows: Self.activations(50, 32, seed: 1), columns: 32)
        let step = FactoriseByWhitenedSVD(rank: .sensitivity(0.6), multiple: 1)
        let first = try step.run(graph, in: Self.context(data, checkpoint: Checkpoint(folder: folder)))
        // Data that would give another result show that the kept one is taken.
        let other = Rows(rows: Self.activations(50, 32, seed: 2), columns: 32)
        let second = try step.run(graph, in: Self.context(other, checkpoint: Checkpoint(folder: folder)))
        let fresh = try step.run(graph, in: Self.context(other))
        let products = try [first, second, fresh].map { try Self.product(of: $0.graph, rows: 24, columns: 32) }
        #expect(products[0] == products[1] && products[0] != products[2])
    }

    /// A real model, written with factors and read again: the same weights, the same logits.
    @Test(.enabled(if: SharedData.storiesModel != nil)) func filesHoldFactors() throws {
        let model = try GGUFModel(path: try #require(SharedData.storiesModel), context: 64)
        let context = try CompressionContext(passes: model.passes, threads: 1)
        let data = try TokenWindows(tokens: (1...24).map { Int32($0 * 17) }, length: 24, count: 1, first: 1, asksForLogits: true)
        func logits(_ graph: Graph) throws -> [Float] {
            var result: [Float] = []
            try GraphRun(graph, values: [graph.outputs[0]], in: context).forEachBatch(of: data) { _, values in
                result = Array(try values.floats(graph.outputs[0]))
            }
            return result
        }
        func names(_ graph: Graph) -> Set<String> { Set(graph.weights.map { graph[$0.id].name }) }
        let graph = try FactoriseBySVD(rank: .ratio(0.8), multiple: 4).run(model.graph, in: context).graph
        let path = FileManager.default.temporaryDirectory.appending(path: "swiftlet-\(UUID().uuidString).gguf").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try model.write(graph, to: path)
        let again = try GGUFModel(path: path, context: 64)
        #expect(names(again.graph) == names(graph) && names(graph).contains("blk.0.ffn_down.weight.lowrank_b"))
        #expect(try logits(again.graph) == logits(graph))
        #expect(try logits(again.graph) != logits(model.graph))
    }
}
