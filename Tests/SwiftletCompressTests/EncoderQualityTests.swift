// all-MiniLM-L6-v2 in 8 bits, with and without SmoothQuant: how far its vectors turn away from those of the parent.
import Foundation
import SwiftletCompress
import SwiftletLanguage
import SwiftletRuntime
import Testing

@Suite struct EncoderTextsTests {
    @Test func textsLieBehindOneAnother() throws {
        let data = try EncoderTexts(tokens: [[5, 6, 7], [8], [9, 10]], textsPerBatch: 2)
        #expect(data.batchCount == 2 && data.stateBinding == ["texts": 2, "context": 3])
        let batch = try data.batch(0)
        #expect(batch.binding == ["tokens": 4])
        func values(_ name: String) throws -> [Int32] { try #require(batch.inputs[name]).elements(as: Int32.self) }
        #expect(try values("tokens") == [5, 6, 7, 8])
        #expect(try values("positions") == [0, 1, 2, 0])
        #expect(try values("ends") == [2, 2, 2, 0])
        #expect(try values("texts") == [0, 0, 0, 1])
        #expect(try data.batch(1).binding == ["tokens": 2])
        #expect(throws: SwiftletError.self) { _ = try EncoderTexts(tokens: []) }
        #expect(throws: SwiftletError.self) { _ = try EncoderTexts(tokens: [[1], []]) }
    }
}

private let miniLM: String? = {
    let environment = ProcessInfo.processInfo.environment
    let folders = [environment["SWIFTLET_TEST_MODELS"], environment["SWIFTLET_CACHE"], environment["HOME"].map { $0 + "/.cache/swiftlet" }].compactMap { $0 }
    return folders.map { $0 + "/all-MiniLM-L6-v2" }.first { FileManager.default.fileExists(atPath: $0 + "/model.safetensors") }
}()

@Suite(.enabled(if: miniLM != nil, "needs the model: swiftlet pull minilm")) struct EncoderQualityTests {
    private struct Sentences: Decodable { let sentences: [String] }

    /// Even ones calibrate, odd ones are measured.
    private static func sentences() throws -> (calibration: [String], evaluation: [String]) {
        let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "SwiftletLanguageTests/Encoders/Vectors/minilm.json")
        let all = try JSONDecoder().decode(Sentences.self, from: Data(contentsOf: path)).sentences
        return (all.indices.filter { $0 % 2 == 0 }.map { all[$0] }, all.indices.filter { $0 % 2 == 1 }.map { all[$0] })
    }

    /// The mean of the vectors of each text, of length 1.
    private static func vectors(_ graph: Graph, _ model: EncoderModel, _ texts: [[Int32]], _ activation: CPUBackend.ActivationPrecision) throws -> [[Float]] {
        let pool = try ThreadPool(threadCount: 1)
        let compiled = try CompiledGraph(
            model.passes.run(graph), backends: BackendSet([CPUBackend(pool: pool, isa: InstructionSet.resolve(nil).usableMask, activation: activation), ReferenceBackend(pool: pool)]))
        let data = try EncoderTexts(tokens: texts, textsPerBatch: 1)
        let context = try ExecutionContext(compiled, stateBinding: data.stateBinding)
        return try texts.indices.map { index in
            let batch = try data.batch(index), plan = try context.plan(batch.binding)
            for id in compiled.graph.inputs { try plan.write(#require(batch.inputs[compiled.graph[id].name]), to: id) }
            try plan.run()
            let rows = try plan.elements(of: compiled.graph.outputs[0], as: Float.self), width = rows.count / texts[index].count
            let sum = (0..<width).map { column in stride(from: column, to: rows.count, by: width).reduce(Float(0)) { $0 + rows[$1] } }
            let length = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return sum.map { $0 / length }
        }
    }

    /// Weights in blocks of 32 with 8 bits turn no vector by a cosine below 0.999, activations of 8 bits need SmoothQuant for that. One scale a row is coarser.
    @Test func eightBitsKeepTheVectors() throws {
        let path = try #require(miniLM), sentences = try Self.sentences()
        let parent = try TextEncoder(path: path, options: EncoderOptions(threads: 1))
        let expected = try parent.embed(sentences.evaluation), texts = sentences.evaluation.map(parent.tokens)
        let model = try EncoderModel(path: path)
        let context = try CompressionContext(passes: model.passes, calibration: EncoderTexts(tokens: sentences.calibration.map(parent.tokens)), threads: 1)
        func cosines(_ steps: [any CompressionStep], _ activation: CPUBackend.ActivationPrecision) throws -> (least: Float, mean: Float) {
            let graph = steps.isEmpty ? model.graph : try Compressor(steps).run(model.graph, in: context).graph
            let all = zip(try Self.vectors(graph, model, texts, activation), expected).map { TextEncoder.similarity($0, $1) }
            let result = (least: all.min() ?? 0, mean: all.reduce(0, +) / Float(all.count))
            print("MiniLM \(steps.map { type(of: $0).technique }), activations \(activation): cosine at least \(result.least), mean \(result.mean) of \(all.count)")
            return result
        }
        #expect(try cosines([], .int15).least > 0.99999)
        // The values behind normalisations are read by sums as well, so the factors need nodes of their own.
        let smoothing = SmoothQuant(inserts: true)
        #expect(try cosines([smoothing], .int15).least > 0.9999)
        for activation in [CPUBackend.ActivationPrecision.int15, .int8] {
            let blocks = QuantizeWeights(try FormatPlan("q8_0"))
            let plain = try cosines([blocks], activation), smoothed = try cosines([smoothing, blocks], activation)
            #expect(plain.least >= (activation == .int15 ? 0.999 : 0.998) && smoothed.least >= 0.999)
            let rows = try cosines([QuantizeDynamic()], activation), smoothedRows = try cosines([smoothing, QuantizeDynamic()], activation)
            #expect(rows.least > 0.99 && smoothedRows.least > 0.99)
            #expect(smoothed.mean > plain.mean && smoothedRows.mean > rows.mean)
        }
    }
}
