import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct LanguagePruningTests {
    /// Token windows for the fixture's inputs.
    private struct Tokens: CalibrationData {
        let windows: [[Int]] = (0..<16).map { window in (0..<8).map { (window * 11 + $0 * 5) % LlamaFixture.vocabulary } }
        var batchCount: Int { windows.count }
        var stateBinding: Binding { [LlamaFixture.symbols.slots: 2, LlamaFixture.symbols.context: 16] }

        func batch(_ index: Int) throws -> CalibrationBatch {
            let step = LlamaFixture.step(windows[index], start: 0)
            return CalibrationBatch(
                binding: [LlamaFixture.symbols.tokens: 8, LlamaFixture.symbols.rows: 8],
                inputs: try step.inputs.mapValues { try Tensor($0.integers.map { Int32($0) }, shape: [$0.values.count]) })
        }
    }

    private static func context(_ data: (any CalibrationData)? = Tokens()) throws -> CompressionContext {
        try CompressionContext(passes: .language, calibration: data, threads: 2)
    }

    private static func logits(_ graph: Graph) throws -> [Float] {
        let step = LlamaFixture.step([3, 1, 4, 1, 5, 9, 2, 6], start: 0)
        var evaluator = try NaiveEvaluator(graph, binding: step.binding)
        return try evaluator.run(step.inputs, binding: step.binding)[0].values.map { Float($0) }
    }

    /// The graph with some columns, by name of the weight, set to zero or scaled.
    private static func scaled(_ graph: Graph, _ name: String, by factor: Float = 0, columns: (Int) -> Bool = { _ in true }) throws -> Graph {
        var result = graph
        let (id, weight) = try #require(graph.weights.first { graph[$0.id].name == name })
        let elements = try weight.floats().enumerated().map { columns($0 % weight.columnCount) ? $1 * factor : $1 }
        result.replaceWeight(id, with: try Weight(name: name, shape: weight.shape, floats: elements))
        return result
    }

    // MARK: Heads

    @Test func headsGoWithTheirKeysAndValues() throws {
        var graph = try LlamaFixture.graph(hasBias: true, seed: 3, headDimension: 8)
        // Key-value head 1 of layer 0 and head 0 of layer 1 say little: their columns are 16 wide.
        graph = try Self.scaled(graph, "blk.0/attn_output.weight", by: 0.01) { $0 >= 16 }
        graph = try Self.scaled(graph, "blk.1/attn_output.weight", by: 0.01) { $0 < 16 }
        var silent = try Self.scaled(graph, "blk.0/attn_output.weight") { $0 >= 16 }
        silent = try Self.scaled(silent, "blk.1/attn_output.weight") { $0 < 16 }
        for importance in ChannelImportance.allCases {
            let result = try PruneHeads(share: 0.5, importance: importance, reconstructs: false).run(graph, in: Self.context())
            try result.graph.verify()
            #expect(result.graph.shape("blk.0/q.weight") == [16, 16] && result.graph.shape("blk.1/k.weight") == [8, 16])
            #expect(result.graph.shape("blk.0/v.bias") == [8] && result.graph.shape("blk.0/attn_output.weight") == [16, 16])
            #expect(result.graph.states.allSatisfy { result.graph[$0].state?.shape[1] == 1 })
            #expect(relativeDistance(try Self.logits(silent), try Self.logits(result.graph)) < 1e-5)
        }
    }

    @Test func theOutputMakesUpForHeadsThatGo() throws {
        let graph = try LlamaFixture.graph(seed: 5, headDimension: 8)
        let parent = try Self.logits(graph)
        let result = try PruneHeads(share: 0.5).run(graph, in: Self.context())
        let plain = try PruneHeads(share: 0.5, reconstructs: false).run(graph, in: Self.context())
        func error(_ graph: Graph) throws -> Float { zip(parent, try Self.logits(graph)).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } }
        #expect(try error(result.graph) < error(plain.graph))
        // Half of two heads; a third of them is none.
        #expect(try PruneHeads(share: 0.2).run(graph, in: Self.context()).graph.shape("blk.0/k.weight") == [16, 16])
        #expect(throws: SwiftletError.self) { try PruneHeads(share: 0.5).run(graph, in: Self.context(nil)) }
        #expect(throws: SwiftletError.self) { try PruneHeads(share: 0.5, scope: Scope(include: ["none"])).run(graph, in: Self.context()) }
    }

    // MARK: Layers

    @Test func theLayerThatDoesLeastGoes() throws {
        var graph = try LlamaFixture.graph(layers: 4, seed: 6, headDimension: 8)
        for name in ["attn_output", "ffn_down"] { graph = try Self.scaled(graph, "blk.2/\(name).weight", by: 0.001) }
        let result = try PruneLayers(count: 1).run(graph, in: Self.context())
        try result.graph.verify()
        #expect(result.report.notes.first?.hasPrefix("Layers 2 to 2 of 4") == true)
        var silent = graph
        for name in ["attn_output", "ffn_down"] { silent = try Self.scaled(silent, "blk.2/\(name).weight") }
        #expect(relativeDistance(try Self.logits(silent), try Self.logits(result.graph)) < 1e-5)
        // The last layer moved up under its new name.
        #expect(try result.graph.elements("blk.2/ffn_up.weight") == graph.elements("blk.3/ffn_up.weight"))
        #expect(result.graph.shape("blk.3/ffn_up.weight") == nil)
        #expect(result.graph.states.map { result.graph[$0].name }.sorted() == (0..<3).flatMap { ["blk.\($0)/cache_k", "blk.\($0)/cache_v"] })
    }

    @Test func aRunOfLayersGoesAtOnce() throws {
        var graph = try LlamaFixture.graph(layers: 5, seed: 7, headDimension: 8)
        for layer in [0, 1] { for name in ["attn_output", "ffn_down"] { graph = try Self.scaled(graph, "blk.\(layer)/\(name).weight", by: 0.001) } }
        let result = try PruneLayers(count: 2).run(graph, in: Self.context()).graph
        #expect(try result.elements("blk.0/ffn_up.weight") == graph.elements("blk.2/ffn_up.weight"))
        for count in [0, 5, 9] { #expect(throws: SwiftletError.self) { try PruneLayers(count: count).run(graph, in: Self.context()) } }
        #expect(throws: SwiftletError.self) { try PruneLayers(count: 1).run(graph, in: Self.context(nil)) }
        let (network, data) = try PruningFixture.layers(inputs: 4, hidden: 4)
        #expect(throws: SwiftletError.self) { try PruneLayers(count: 1).run(network, in: PruningFixture.context(data)) }
    }

    @Test func layersThatDifferByTheirNumberStayInStep() throws {
        // Every second layer sees a window: one layer cannot go, two can.
        var graph = try LlamaFixture.graph(layers: 4, seed: 8, headDimension: 8)
        for index in graph.nodes.indices where graph.nodes[index].name.hasPrefix("blk.0/") || graph.nodes[index].name.hasPrefix("blk.2/") {
            if case .attention(var attention) = graph.nodes[index].op {
                attention.window = 4
                graph.nodes[index].op = .attention(attention)
            }
        }
        let one = try PruneLayers(count: 1).run(graph, in: Self.context())
        // Only the last can go alone.
        #expect(one.report.notes.first?.hasPrefix("Layers 3 to 3 of 4") == true)
        let two = try PruneLayers(count: 2).run(graph, in: Self.context()).graph
        let windows = two.nodes.compactMap { node in if case .attention(let attention) = node.op { attention.window } else { nil } }
        #expect(windows == [4])
    }

    // MARK: Files

    @Test(.enabled(if: SharedData.storiesModel != nil)) func prunedModelsReadBackAsTheGraphsTheyAre() throws {
        let model = try GGUFModel(path: try #require(SharedData.storiesModel), context: 64)
        let tokens = try Tokenizer.load(from: model.file).encode("Once upon a time there was a little girl who had a red ball.", addSpecial: true, parseSpecial: false)
        let windows = try TokenWindows(tokens: tokens, length: min(8, tokens.count), count: 2)
        let context = try Self.context(windows)
        let steps: [[any CompressionStep]] = [
            [PruneNeurons(share: 0.25, multiple: 4)], [PruneHeads(share: 0.5)], [PruneLayers(count: 2)],
            [PruneLayers(count: 1), PruneHeads(share: 0.25), PruneNeurons(share: 0.5, multiple: 4), PruneBySparseGPT(sparsity: 0.5)],
        ]
        for (index, steps) in steps.enumerated() {
            let result = try Compressor(steps).run(model.graph, in: context)
            let path = FileManager.default.temporaryDirectory.appending(path: "pruned-\(ProcessInfo.processInfo.processIdentifier)-\(index).gguf").path
            defer { try? FileManager.default.removeItem(atPath: path) }
            try model.write(result.graph, to: path)
            let read = try GGUFModel(path: path, context: 64)
            func operations(_ graph: Graph) -> [String: Op] { Dictionary(graph.nodes.map { ($0.name, $0.op) }) { first, _ in first } }
            #expect(operations(read.graph) == operations(result.graph))
            for (id, weight) in result.graph.weights {
                let name = result.graph[id].name
                let other = try #require(read.graph.weights.first { read.graph[$0.id].name == name }?.weight)
                #expect(other.shape == weight.shape, "\(name)")
                #expect(try other.floats() == weight.floats(), "\(name)")
            }
            #expect(result.steps.last?.after.parameters ?? 0 < result.steps[0].before.parameters)
            // And it runs.
            var options = ModelOptions()
            options.usesWeightCache = false
            _ = try LanguageModel(path: path, options: options)
        }
    }

    @Test(.enabled(if: SharedData.storiesModel != nil)) func widthsThatDifferCannotBeWritten() throws {
        let model = try GGUFModel(path: try #require(SharedData.storiesModel), context: 64)
        let context = try Self.context(nil)
        let step = PruneNeurons(share: 0.5, multiple: 4, importance: .l2, reconstructs: false, scope: Scope(include: ["blk.0.*"]))
        let graph = try step.run(model.graph, in: context).graph
        let path = FileManager.default.temporaryDirectory.appending(path: "uneven-\(ProcessInfo.processInfo.processIdentifier).gguf").path
        #expect(throws: SwiftletError.self) { try model.write(graph, to: path) }
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
