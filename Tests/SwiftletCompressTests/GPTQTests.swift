import SwiftletCompress
import SwiftletGraph
import TestSupport
import Testing

@Suite struct GPTQTests {
    static let scope = Scope(include: ["blk.*", "output.weight"])

    @Test(arguments: [("q4_0", nil), ("q4_1", 3), ("iq4_nl", nil), ("q5_1", nil), ("q8_0", nil)] as [(String, Int?)], [false, true])
    func errorFeedbackBeatsRounding(format: (name: String, bits: Int?), ordersByActivation: Bool) throws {
        let fixture = try FeedForwardFixture()
        let plan = try FormatPlan(format.name)
        let whole = try fixture.outputs(of: fixture.graph)
        let nearest = try QuantizeWeights(plan, scope: Self.scope, searches: false, bits: format.bits).run(fixture.graph, in: fixture.context())
        let gptq = try GPTQ(plan, scope: Self.scope, bits: format.bits, ordersByActivation: ordersByActivation, searches: false)
            .run(fixture.graph, in: fixture.context())
        let distances = try [nearest, gptq].map { FeedForwardFixture.distance(whole, try fixture.outputs(of: $0.graph)) }
        #expect(distances[1] < 0.7 * distances[0], "\(distances)")
        for layer in gptq.graph.layers(in: Self.scope) { #expect(layer.weight.format == .block(try #require(BlockFormat.allCases.first { "\($0)" == format.name }))) }
        for tensor in gptq.report.tensors { #expect(try #require(tensor.outputError) > 0) }
    }

    /// Where columns have nothing to do with each other, nothing can be made up for: what is left is rounding.
    @Test func withoutCorrelationItIsRounding() throws {
        let columns = 64
        var generator = SeededGenerator(seed: 5)
        let weight = try Weight(name: "w", shape: [6, columns], floats: generator.floats(6 * columns))
        var builder = GraphBuilder(name: "one")
        let x = builder.input("x", .f32, [Dimension(columns), Dimension(columns)])
        builder.output(try builder.linear(x, builder.weight("w", weight), name: "y"))
        var identity = [Float](repeating: 0, count: columns * columns)
        for i in 0..<columns { identity[i * (columns + 1)] = 3 }
        let context = try CompressionContext(
            passes: .language, calibration: TensorBatches([["x": Tensor(identity, shape: [columns, columns])]]), threads: 1)
        for ordersByActivation in [false, true] {
            let gptq = try GPTQ(FormatPlan("q4_1"), ordersByActivation: ordersByActivation, searches: false).run(builder.graph, in: context)
            let nearest = try QuantizeWeights(FormatPlan("q4_1"), searches: false).run(builder.graph, in: context)
            let values = try [gptq, nearest].map { try #require($0.graph.weights.first).weight.floats() }
            // Ties may fall either way.
            let different = zip(values[0], values[1]).filter { abs($0 - $1) > 1e-6 }.count
            #expect(different <= 2)
        }
    }

    /// Against the method written out: after each column the inverse Hessian of the rest is formed anew.
    @Test func levelsAreThoseOfTheMethodWrittenOut() throws {
        let columns = 32, rows = 5, samples = 80
        var generator = SeededGenerator(seed: 11)
        let w = generator.floats(rows * columns)
        let shared = generator.floats(samples)
        let x = generator.floats(samples * columns).enumerated().map { $1 + shared[$0 / columns] }
        var gram = [Float](repeating: 0, count: columns * columns)
        for s in 0..<samples { for i in 0..<columns { for j in 0..<columns { gram[i * columns + j] += x[s * columns + i] * x[s * columns + j] } } }

        var builder = GraphBuilder(name: "one")
        let input = builder.input("x", .f32, [Dimension(samples), Dimension(columns)])
        builder.output(try builder.linear(input, builder.weight("w", Weight(name: "w", shape: [rows, columns], floats: w)), name: "y"))
        let context = try CompressionContext(passes: .language, calibration: TensorBatches([["x": Tensor(x, shape: [samples, columns])]]), threads: 1)
        let result = try GPTQ(FormatPlan("q4_0"), ordersByActivation: false, searches: false).run(builder.graph, in: context)
        let got = try #require(result.graph.weights.first).weight.floats()

        let mean = (0..<columns).reduce(0.0) { $0 + Double(gram[$1 * (columns + 1)]) } / Double(columns)
        var wanted = [Double](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            // The scale of the row's one block, from its extremes.
            let block = Array(w[row * columns..<(row + 1) * columns])
            let grid = Set(try BlockFormat.q4_0.dequantize(BlockFormat.q4_0.quantize(block)))
            let extreme = try #require(block.max { abs($0) < abs($1) })
            let scale = Double(Float(Float16(extreme / -8)))
            #expect(grid.allSatisfy { (Double($0) / scale).rounded() == Double($0) / scale })
            var rest = block.map { Double($0) }
            for column in 0..<columns {
                let live = Array(column..<columns)
                var h = live.map { i in live.map { j in Double(gram[i * columns + j]) + (i == j ? 0.01 * mean : 0) } }
                let inverse = Self.inverse(&h)
                let level = min(7, max(-8, (rest[column] / scale).rounded()))
                wanted[row * columns + column] = scale * level
                let error = (rest[column] - scale * level) / inverse[0][0]
                for (index, later) in live.enumerated() { rest[later] -= error * inverse[0][index] }
            }
        }
        let different = zip(got, wanted).filter { abs(Double($0) - $1) > 1e-5 }.count
        #expect(different <= rows * columns / 40, "\(different) of \(rows * columns) levels differ")
    }

    /// Gauss and Jordan.
    private static func inverse(_ matrix: inout [[Double]]) -> [[Double]] {
        let n = matrix.count
        var result = (0..<n).map { i in (0..<n).map { $0 == i ? 1.0 : 0.0 } }
        for i in 0..<n {
            let pivot = matrix[i][i]
            for j in 0..<n {
                matrix[i][j] /= pivot
                result[i][j] /= pivot
            }
            for k in 0..<n where k != i {
                let factor = matrix[k][i]
                for j in 0..<n {
                    matrix[k][j] -= factor * matrix[i][j]
                    result[k][j] -= factor * result[i][j]
                }
            }
        }
        return result
    }

    @Test func scalingColumnsChangesNothingAndHelpsRounding() throws {
        let fixture = try FeedForwardFixture()
        let whole = try fixture.outputs(of: fixture.graph)
        let plan = try FormatPlan("q4_1")
        let awq = try AWQ(plan, scope: Self.scope, bits: 3).run(fixture.graph, in: fixture.context())
        #expect(FeedForwardFixture.distance(whole, try fixture.outputs(of: awq.graph)) < 1e-9)
        let gate = try #require(awq.graph.layers().first { $0.name.contains("gate") }).weight
        #expect(try gate.floats() != #require(fixture.graph.layers().first { $0.name.contains("gate") }).weight.floats())
        let rounding = QuantizeWeights(plan, scope: Self.scope, searches: false, bits: 3)
        let distances = try [fixture.graph, awq.graph].map {
            FeedForwardFixture.distance(whole, try fixture.outputs(of: rounding.run($0, in: fixture.context()).graph))
        }
        #expect(distances[1] < 0.8 * distances[0], "\(distances)")
    }

    @Test func awqWithoutAPlaceForScalesIsAnError() throws {
        let fixture = try FeedForwardFixture()
        #expect(throws: SwiftletError.self) {
            try AWQ(FormatPlan("q4_0"), scope: Scope(include: ["output.weight"])).run(fixture.graph, in: fixture.context())
        }
    }
}
