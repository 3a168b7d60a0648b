import SwiftletCompress
import SwiftletLinearAlgebra
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct UnstructuredPruningTests {
    // MARK: Magnitude

    @Test func theSmallestWeightsOfEachLayerGo() throws {
        let (graph, _) = try PruningFixture.layers(inputs: 6, hidden: 10)
        let result = try PruneByMagnitude(sparsity: 0.4).run(graph, in: PruningFixture.context())
        for (name, count) in [("first.weight", 24), ("second.weight", 12)] {
            let (before, after) = (try graph.elements(name), try result.graph.elements(name))
            let gone = Set(before.indices.sorted { abs(before[$0]) < abs(before[$1]) }.prefix(count))
            #expect(after == before.indices.map { gone.contains($0) ? 0 : before[$0] })
        }
        // Biases stay.
        #expect(try result.graph.elements("first.bias") == graph.elements("first.bias"))
        #expect(result.report.tensors.map(\.name) == ["first.weight", "second.weight"])
        #expect(abs(result.report.tensors[0].sparsity - 0.4) < 1e-9)
        #expect(result.report.after.nonzeroParameters == result.report.before.nonzeroParameters - 36)
    }

    @Test func globallyAllWeightsCompete() throws {
        let (graph, _) = try PruningFixture.layers(inputs: 6, hidden: 10)
        let result = try PruneByMagnitude(sparsity: 0.5, comparison: .global).run(graph, in: PruningFixture.context())
        let names = ["first.weight", "second.weight"]
        let before = try names.flatMap { try graph.elements($0) }
        let after = try names.flatMap { try result.graph.elements($0) }
        let gone = Set(before.indices.sorted { abs(before[$0]) < abs(before[$1]) }.prefix(45))
        #expect(after == before.indices.map { gone.contains($0) ? 0 : before[$0] })
    }

    @Test func theScopeDecidesWhatIsPruned() throws {
        let (graph, _) = try PruningFixture.layers(inputs: 6, hidden: 10)
        let result = try PruneByMagnitude(sparsity: 0.5, scope: Scope(include: ["second*"])).run(graph, in: PruningFixture.context())
        #expect(try result.graph.elements("first.weight") == graph.elements("first.weight"))
        #expect(try result.graph.elements("second.weight").filter { $0 == 0 }.count == 15)
        #expect(throws: SwiftletError.self) { try PruneByMagnitude(sparsity: 0.5, scope: Scope(include: ["third*"])).run(graph, in: PruningFixture.context()) }
    }

    @Test func tablesAreLeftAloneAndBlocksAreDequantised() throws {
        var fixture = PruningFixture(seed: 4)
        let ids = fixture.builder.input("ids", .i32, [5])
        let table = try fixture.weight("table", [7, 32])
        let x = try fixture.builder.embedding(table, ids, name: "look-up")
        let blocks = try Weight(
            name: "blocks", shape: [2, 32], format: .block(.q4_0), store: WeightStore(BlockFormat.q4_0.quantize(fixture.floats(64))))
        fixture.builder.output(try fixture.builder.linear(x, fixture.builder.weight("blocks", blocks), name: "product"))
        fixture.builder.output(try fixture.builder.linear(x, table, name: "head"))
        let result = try PruneByMagnitude(sparsity: 0.5).run(fixture.builder.graph, in: PruningFixture.context())
        #expect(result.report.tensors.map(\.name) == ["blocks"])
        #expect(result.report.tensors[0].formatAfter == WeightFormat.dense(.f32).description)
        let (before, after) = (try blocks.floats(), try result.graph.elements("blocks"))
        #expect(zip(before, after).allSatisfy { $1 == 0 || $0 == $1 })
        #expect(after.filter { $0 == 0 }.count >= 32)
        #expect(result.report.notes.contains { $0.contains("table") })
    }

    // MARK: Wanda

    @Test(arguments: [SparsityPattern.free, .grouped(kept: 2, of: 4)]) func wandaWeighsByTheNormOfTheInput(pattern: SparsityPattern) throws {
        let (graph, data) = try PruningFixture.layers(inputs: 8, hidden: 5)
        let scope = Scope(include: ["first*"])
        let result = try PruneByWanda(sparsity: 0.5, pattern: pattern, scope: scope).run(graph, in: PruningFixture.context(data))
        let rows = try data.batches.flatMap { batch in try batch["x"]?.floats() ?? [] }
        let norms = (0..<8).map { column in stride(from: column, to: rows.count, by: 8).reduce(0.0) { $0 + Double(rows[$1] * rows[$1]) }.squareRoot() }
        let (before, after) = (try graph.elements("first.weight"), try result.graph.elements("first.weight"))
        for row in 0..<5 {
            for group in pattern == .free ? [0..<8] : [0..<4, 4..<8] {
                let scores = group.map { abs(Double(before[row * 8 + $0])) * norms[$0] }
                let gone = Set(group.indices.sorted { scores[$0 - group.lowerBound] < scores[$1 - group.lowerBound] }.prefix(group.count / 2))
                for column in group { #expect(after[row * 8 + column] == (gone.contains(column) ? 0 : before[row * 8 + column])) }
            }
        }
    }

    @Test func convolutionsArePrunedByTheirWindows() throws {
        var fixture = PruningFixture(seed: 9)
        let x = fixture.builder.input("x", .f32, [1, 3, 6, 6])
        fixture.builder.output(try fixture.convolution(x, "conv", from: 3, to: 4))
        // The second channel is silent, so its weights go first.
        var values = fixture.floats(3 * 36)
        for index in 36..<72 { values[index] = 0 }
        let data = TensorBatches([["x": try Tensor(values, shape: [1, 3, 6, 6])]])
        let graph = fixture.builder.graph
        for step in [PruneByWanda(sparsity: 1.0 / 3), PruneBySparseGPT(sparsity: 1.0 / 3)] as [any CompressionStep] {
            let result = try step.run(graph, in: PruningFixture.context(data))
            let after = try result.graph.elements("conv.weight")
            for output in 0..<4 { for tap in 0..<9 { #expect(after[output * 27 + 9 + tap] == 0) } }
            #expect(relativeDistance(try PruningFixture.output(graph, data), try PruningFixture.output(result.graph, data)) < 1e-5)
        }
    }

    // MARK: SparseGPT

    /// A linear layer of 4 inputs whose single output is pruned.
    private static func four(dead: Int? = nil) throws -> (graph: Graph, data: TensorBatches, x: [[Double]], w: [Double]) {
        var fixture = PruningFixture(seed: 12)
        let x = fixture.builder.input("x", .f32, [16, 4])
        fixture.builder.output(try fixture.linear(x, "only", from: 4, to: 1))
        var values = fixture.floats(64)
        for row in 0..<16 {
            // Correlated inputs: there is something to make up with.
            values[row * 4 + 1] += 0.8 * values[row * 4]
            values[row * 4 + 3] -= 0.7 * values[row * 4 + 2]
            if let dead { values[row * 4 + dead] = 0 }
        }
        let rows = (0..<16).map { row in (0..<4).map { Double(values[row * 4 + $0]) } }
        let graph = fixture.builder.graph
        return (graph, TensorBatches([["x": try Tensor(values, shape: [16, 4])]]), rows, try graph.elements("only.weight").map { Double($0) })
    }

    /// min ‖X(w − v)‖² + λ‖w − v‖² over v that are zero outside of `free` and equal w in `frozen`, by Gaussian elimination.
    private static func best(_ x: [[Double]], _ w: [Double], damping: Double, free: [Int], gone: Set<Int>) -> [Double] {
        let n = w.count
        var h = (0..<n).map { i in (0..<n).map { j in x.reduce(0) { $0 + $1[i] * $1[j] } } }
        let mean = (0..<n).reduce(0) { $0 + h[$1][$1] } / Double(n)
        for i in 0..<n { h[i][i] += damping * mean }
        // Changes d of the free columns with H_ff·d = H_fg·w_g.
        var a = free.map { i in free.map { h[i][$0] } + [gone.reduce(0) { $0 + h[i][$1] * w[$1] }] }
        for pivot in a.indices {
            for row in a.indices where row != pivot {
                let factor = a[row][pivot] / a[pivot][pivot]
                for column in a[row].indices { a[row][column] -= factor * a[pivot][column] }
            }
        }
        var v = w
        for index in gone { v[index] = 0 }
        for (index, column) in free.enumerated() { v[column] += a[index][free.count] / a[index][index] }
        return v
    }

    @Test func sparseGPTMakesUpAsTheExactSolutionDoes() throws {
        let (graph, data, x, w) = try Self.four()
        let result = try PruneBySparseGPT(sparsity: 0.25).run(graph, in: PruningFixture.context(data))
        let after = try result.graph.elements("only.weight").map { Double($0) }
        let gone = after.indices.filter { after[$0] == 0 }
        #expect(gone.count == 1)
        // Columns before the one that went stay; those after it are the exact minimum.
        let free = gone.isEmpty ? [] : Array((gone[0] + 1)..<4)
        let expected = Self.best(x, w, damping: 0.01, free: free, gone: Set(gone))
        #expect(zip(after, expected).allSatisfy { abs($0 - $1) < 1e-4 })
        // And it was the cheapest to remove that way.
        func cost(_ v: [Double]) -> Double {
            let mean = (0..<4).reduce(0.0) { sum, column in sum + x.reduce(0) { $0 + $1[column] * $1[column] } } / 4
            let residual = x.reduce(0.0) { sum, row in
                let error = (0..<4).reduce(0.0) { $0 + row[$1] * (w[$1] - v[$1]) }
                return sum + error * error
            }
            return residual + 0.01 * mean * zip(w, v).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        }
        for other in 0..<4 {
            #expect(cost(expected) <= cost(Self.best(x, w, damping: 0.01, free: Array((other + 1)..<4), gone: [other])) * (1 + 1e-6))
        }
        let error = try #require(result.report.tensors[0].outputError)
        #expect(error > 0 && error < 1)
    }

    @Test func sparseGPTHarmsTheOutputsLessThanWandaAndWandaLessThanMagnitude() throws {
        // Inputs of very different sizes that depend on each other, more columns than a block of the sweep.
        var fixture = PruningFixture(seed: 20)
        let columns = 300
        let x = fixture.builder.input("x", .f32, [400, Dimension(columns)])
        fixture.builder.output(try fixture.linear(x, "only", from: columns, to: 24))
        var values = fixture.floats(400 * columns)
        for row in 0..<400 {
            for column in 1..<columns { values[row * columns + column] = (values[row * columns + column] * Float(1 + column % 7) + 0.6 * values[row * columns + column - 1]) }
        }
        let data = TensorBatches([["x": try Tensor(values, shape: [400, columns])]])
        let graph = fixture.builder.graph
        let context = try PruningFixture.context(data)
        let parent = try PruningFixture.output(graph, data)
        for pattern in [SparsityPattern.free, .grouped(kept: 2, of: 4), .blocks(rows: 1, columns: 16), .blocks(rows: 16, columns: 1)] {
            let steps: [any CompressionStep] = [
                PruneBySparseGPT(sparsity: 0.5, pattern: pattern), PruneByWanda(sparsity: 0.5, pattern: pattern), PruneByMagnitude(sparsity: 0.5, pattern: pattern),
            ]
            let errors = try steps.map { step in
                let result = try step.run(graph, in: context)
                #expect(abs(result.report.tensors[0].sparsity - 0.5) < 0.04, "\(pattern)")
                return zip(parent, try PruningFixture.output(result.graph, data)).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
            }
            // Blocks along a row mix loud inputs and quiet ones, which is all Wanda goes by.
            let margin: Double = pattern == .blocks(rows: 1, columns: 16) ? 1.1 : 1
            // A block that goes leaves less to choose from than single weights.
            #expect(errors[0] < (pattern.isOfSingleWeights ? 0.8 : 1) * errors[1] && errors[1] < margin * errors[2], "\(pattern): \(errors)")
        }
    }

    @Test func patternsHoldAfterTheSweep() throws {
        let (graph, data) = try PruningFixture.layers(inputs: 141, hidden: 20, rows: 200)
        let result = try PruneBySparseGPT(sparsity: 0.5, pattern: .grouped(kept: 4, of: 8), scope: Scope(include: ["first*"])).run(
            graph, in: PruningFixture.context(data))
        let after = try result.graph.elements("first.weight")
        for row in 0..<20 {
            for start in stride(from: 0, to: 141, by: 8) {
                let group = after[row * 141 + start..<row * 141 + min(141, start + 8)]
                #expect(group.filter { $0 != 0 }.count == min(4, group.count))
            }
        }
        let blocks = try PruneBySparseGPT(sparsity: 0.5, pattern: .blocks(rows: 16, columns: 1), scope: Scope(include: ["first*"])).run(
            graph, in: PruningFixture.context(data))
        let tall = try blocks.graph.elements("first.weight")
        for column in 0..<141 {
            for rows in [0..<16, 16..<20] { #expect(Set(rows.map { tall[$0 * 141 + column] == 0 }).count == 1) }
        }
    }

    @Test func stagesAndRoundsReachTheSameSparsity() throws {
        let (graph, data) = try PruningFixture.layers(inputs: 32, hidden: 24, rows: 100)
        let context = try PruningFixture.context(data)
        for schedule in [PruningSchedule(stages: 2), PruningSchedule(rounds: 3), PruningSchedule(rounds: 2, stages: 9)] {
            for step in [
                PruneBySparseGPT(sparsity: 0.625, schedule: schedule), PruneByWanda(sparsity: 0.625, schedule: schedule),
                PruneByActivationFrequency(sparsity: 0.625, schedule: schedule),
            ] as [any CompressionStep] {
                let result = try step.run(graph, in: context)
                #expect(result.report.tensors.map(\.name) == ["first.weight", "second.weight"])
                for tensor in result.report.tensors { #expect(abs(tensor.sparsity - 0.625) < 0.01, "\(type(of: step).technique) \(schedule) \(tensor.sparsity)") }
            }
        }
        // Later layers see what the earlier ones became.
        let once = try PruneBySparseGPT(sparsity: 0.5).run(graph, in: context).graph
        let staged = try PruneBySparseGPT(sparsity: 0.5, schedule: PruningSchedule(stages: 2)).run(graph, in: context).graph
        #expect(try once.elements("first.weight") == staged.elements("first.weight"))
        #expect(try once.elements("second.weight") != staged.elements("second.weight"))
    }

    // MARK: Edges

    @Test func sparsityZeroChangesNothingAndNearlyOneLeavesNearlyNothing() throws {
        let (graph, data) = try PruningFixture.layers(inputs: 20, hidden: 30)
        let context = try PruningFixture.context(data)
        func steps(_ sparsity: Double) -> [any CompressionStep] {
            [
                PruneByMagnitude(sparsity: sparsity), PruneByMagnitude(sparsity: sparsity, comparison: .global), PruneByWanda(sparsity: sparsity),
                PruneBySparseGPT(sparsity: sparsity), PruneByActivationFrequency(sparsity: sparsity),
            ]
        }
        for step in steps(0) { #expect(try step.run(graph, in: context).graph.elements("first.weight") == graph.elements("first.weight")) }
        for step in steps(0.999) {
            let result = try step.run(graph, in: context)
            #expect(try result.graph.elements("first.weight").filter { $0 != 0 }.count <= 1)
            #expect(try PruningFixture.output(result.graph, data).allSatisfy { $0.isFinite })
        }
        for step in steps(1) { #expect(throws: SwiftletError.self) { try step.run(graph, in: context) } }
    }

    @Test func aLayerOfZerosAndSilentInputsAreNoTrouble() throws {
        var fixture = PruningFixture(seed: 30)
        let x = fixture.builder.input("x", .f32, [10, 6])
        let zeros = try fixture.weight("zeros.weight", [4, 6], [Float](repeating: 0, count: 24))
        fixture.builder.output(try fixture.builder.linear(x, zeros, name: "zeros"))
        fixture.builder.output(try fixture.linear(x, "other", from: 6, to: 4))
        let silent = TensorBatches([["x": try Tensor(zeros: .f32, shape: [10, 6])]])
        var values = fixture.floats(60)
        for row in 0..<10 { values[row * 6 + 2] = 0 }
        let dead = TensorBatches([["x": try Tensor(values, shape: [10, 6])]])
        for data in [silent, dead] {
            for step in [
                PruneByWanda(sparsity: 0.5), PruneBySparseGPT(sparsity: 0.5), PruneByActivationFrequency(sparsity: 0.5),
            ] as [any CompressionStep] {
                let result = try step.run(fixture.builder.graph, in: PruningFixture.context(data))
                #expect(try result.graph.elements("zeros.weight").allSatisfy { $0 == 0 })
                let other = try result.graph.elements("other.weight")
                #expect(other.allSatisfy { $0.isFinite } && other.filter { $0 == 0 }.count >= 12)
            }
        }
        // Where an input never speaks, its weights are the ones to go.
        for step in [PruneByWanda(sparsity: 0.17), PruneBySparseGPT(sparsity: 0.17)] as [any CompressionStep] {
            let other = try step.run(fixture.builder.graph, in: PruningFixture.context(dead)).graph.elements("other.weight")
            for row in 0..<4 { #expect(other[row * 6 + 2] == 0) }
        }
    }

    @Test func seldomActiveInputsLoseAllTheirWeights() throws {
        var fixture = PruningFixture(seed: 31)
        let x = fixture.builder.input("x", .f32, [8, 4])
        fixture.builder.output(try fixture.linear(x, "only", from: 4, to: 3))
        // Active in 8, 1, 4 and 0 of the rows; the second one loudly, which must not help it.
        let values = (0..<8).flatMap { row -> [Float] in [1, row == 0 ? 9 : 0, row % 2 == 0 ? 1.5 : 0, 0.1] }
        let data = TensorBatches([["x": try Tensor(values, shape: [8, 4])]])
        let graph = fixture.builder.graph
        let result = try PruneByActivationFrequency(sparsity: 0.5, threshold: 0.5).run(graph, in: PruningFixture.context(data))
        let (before, after) = (try graph.elements("only.weight"), try result.graph.elements("only.weight"))
        #expect(after.indices.allSatisfy { after[$0] == ([1, 3].contains($0 % 4) ? 0 : before[$0]) })
    }

    @Test func withoutDataThereIsAnError() throws {
        let (graph, _) = try PruningFixture.layers(inputs: 6, hidden: 10)
        for step in [PruneByWanda(sparsity: 0.5), PruneBySparseGPT(sparsity: 0.5), PruneByActivationFrequency(sparsity: 0.5)] as [any CompressionStep] {
            let error = #expect(throws: SwiftletError.self) { try step.run(graph, in: PruningFixture.context()) }
            guard case .invalidArgument("calibration", _, _)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test func techniquesAreMadeFromRecipes() throws {
        func values(_ type: any RecipeTechnique.Type, _ own: [String: RecipeValue]) -> RecipeValues {
            let defaults = type.parameters.compactMap { parameter in parameter.fallback.map { (parameter.name, $0) } }
            return RecipeValues(scope: .all, values: Dictionary(defaults, uniquingKeysWith: { first, _ in first }).merging(own) { $1 })
        }
        for type in Techniques.all where ["magnitude", "wanda", "sparsegpt", "activation-frequency"].contains(type.technique) {
            #expect(Swift.type(of: try type.init(values(type, [:]))).technique == type.technique)
        }
        let step = try PruneBySparseGPT(values(PruneBySparseGPT.self, ["pattern": .text("2:4"), "stages": .integer(4)]))
        #expect(step.pattern == .grouped(kept: 2, of: 4) && step.schedule == PruningSchedule(stages: 4) && step.sparsity == 0.5)
        #expect(throws: SwiftletError.self) { try PruneByWanda(values(PruneByWanda.self, ["pattern": .text("2:4"), "sparsity": .number(0.7)])) }
        #expect(throws: SwiftletError.self) { try PruneByMagnitude(values(PruneByMagnitude.self, ["pattern": .text("2:4"), "sparsity": .number(0.7)])) }
    }
}

extension SparsityPattern {
    fileprivate var isOfSingleWeights: Bool { if case .blocks = self { self == .free } else { true } }
}
