import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct EncoderModelTests {
    /// Tokens and configuration are those of the random encoder of the tests of SwiftletLanguage, made twice as wide: rows are whole blocks.
    private static let source = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "SwiftletLanguageTests/Encoders/Vectors/tiny").path
    private static let tiny: String = {
        do { return try makeEncoder() } catch { return "\(error)" }
    }()

    private static func makeEncoder() throws -> String {
        let folder = FileManager.default.temporaryDirectory.appending(path: "encoder-source-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: source + "/tokenizer.json", toPath: folder + "/tokenizer.json")
        let config = try String(contentsOfFile: source + "/config.json", encoding: .utf8)
            .replacingOccurrences(of: "\"hidden_size\": 16", with: "\"hidden_size\": 32").replacingOccurrences(of: "\"intermediate_size\": 24", with: "\"intermediate_size\": 64")
        try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        var generator = SeededGenerator(seed: 17)
        var writer = SafetensorsWriter()
        for tensor in try SafetensorsFile(path: source + "/model.safetensors").tensors {
            // 16 elements of a vector become 32, 24 of the hidden layer 64; 24 positions stay.
            let isTable = tensor.name.contains("embeddings.") && tensor.shape.rank == 2
            let shape = tensor.shape.dimensions.enumerated().map { axis, size in isTable && axis == 0 ? size : size == 16 ? 32 : size == 24 ? 64 : size }
            let values = generator.floats(shape.reduce(1, *), in: -0.4...0.4)
            try writer.add(name: tensor.name, shape: Shape(shape), type: .f32, store: WeightStore(values))
        }
        try writer.write(to: folder + "/model.safetensors")
        return folder
    }

    private static let texts = ["a cat sleeps", "the kitten naps", "one two three four five"]

    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "encoder-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private static func embed(_ path: String, _ options: EncoderOptions = EncoderOptions(threads: 1)) throws -> [[Float]] {
        try TextEncoder(path: path, options: options).embed(texts)
    }

    /// The model's graph with every matrix of whole blocks in Q8_0.
    private static func blocks(_ model: EncoderModel) throws -> Graph {
        var graph = model.graph
        for (id, weight) in graph.weights where weight.shape.rank == 2 && weight.shape[1] % 32 == 0 {
            let store = try WeightStore(BlockFormat.q8_0.quantize(weight.floats()))
            graph.replaceWeight(id, with: try Weight(name: graph[id].name, shape: weight.shape, format: .block(.q8_0), store: store))
        }
        return graph
    }

    @Test func anUnchangedModelComesBack() throws {
        let model = try EncoderModel(path: Self.tiny)
        try Self.withFolder { folder in
            try model.write(model.graph, to: folder)
            #expect(try Self.embed(folder) == Self.embed(Self.tiny))
            let (a, b) = (try SafetensorsFile(path: Self.tiny + "/model.safetensors"), try SafetensorsFile(path: folder + "/model.safetensors"))
            #expect(Set(a.tensors.map(\.name)) == Set(b.tensors.map(\.name)))
        }
    }

    @Test func blocksAreWrittenAsIntegersAndComeBackAsTheSameBlocks() throws {
        let model = try EncoderModel(path: Self.tiny)
        let graph = try Self.blocks(model)
        try Self.withFolder { folder in
            try model.write(graph, to: folder)
            let file = try SafetensorsFile(path: folder + "/model.safetensors")
            let again = try EncoderModel(path: folder)
            let written = Dictionary(again.graph.weights.map { (again.graph[$0.id].name, $0.weight) }) { first, _ in first }
            var count = 0
            for (id, weight) in graph.weights where weight.format == .block(.q8_0) {
                let other = try #require(written[graph[id].name])
                #expect(other.format == weight.format)
                #expect(other.store.withBytes { Array($0) } == weight.store.withBytes { Array($0) })
                #expect(file.tensors.contains { $0.name.hasSuffix(graph[id].name) && $0.type == .i8 })
                count += 1
            }
            #expect(count > 0)
            // Loading the original with rounding gives the same vectors.
            #expect(try Self.embed(folder) == Self.embed(Self.tiny, EncoderOptions(threads: 1, quantization: .q8_0)))
            // A file of integers is written again as it is.
            try Self.withFolder { second in
                try again.write(again.graph, to: second)
                #expect(try Self.embed(second) == Self.embed(folder))
            }
        }
    }

    @Test func dynamicInt8IsWrittenWithScalesOfRows() throws {
        let model = try EncoderModel(path: Self.tiny)
        let result = try Compressor([QuantizeDynamic()]).run(model.graph, in: CompressionContext(passes: model.passes, threads: 1)).graph
        try Self.withFolder { folder in
            try model.write(result, to: folder)
            let vectors = try Self.embed(folder)
            for (a, b) in zip(vectors, try Self.embed(Self.tiny)) { #expect(TextEncoder.similarity(a, b) > 0.995) }
            #expect(vectors != (try Self.embed(Self.tiny)))
        }
    }

    private static func context(_ model: EncoderModel) throws -> CompressionContext {
        let data = try EncoderTexts(text: Array("a cat sleeps\n\n the kitten naps \r\none two three\nfour".utf8), model: model)
        #expect(data.count == 4)
        return try CompressionContext(passes: model.passes, calibration: data, threads: 1)
    }

    @Test func textsAreLinesThatAreNotEmpty() throws {
        let model = try EncoderModel(path: Self.tiny), encoder = try TextEncoder(path: Self.tiny)
        let data = try EncoderTexts(text: Array("a cat sleeps\n\n  \nthe kitten naps \r\none two\nthree\n".utf8), model: model, limit: 2)
        #expect(data.count == 2 && data.batchCount == 1)
        let expected = ["a cat sleeps", "one two"].flatMap(encoder.tokens)
        #expect(try data.batch(0).inputs["tokens"]?.elements(as: Int32.self) == expected)
        #expect(throws: SwiftletError.self) { _ = try EncoderTexts(text: Array(" \n\n".utf8), model: model) }
    }

    /// With `inserts` what linear layers behind normalisations read is multiplied by a vector in the file; without, all goes into plain weights.
    @Test(arguments: [false, true], [false, true])
    func smoothingIsWritten(inserts: Bool, isRounded: Bool) throws {
        let model = try EncoderModel(path: Self.tiny), context = try Self.context(model)
        var steps: [any CompressionStep] = [SmoothQuant(inserts: inserts)]
        if isRounded { steps.append(QuantizeDynamic()) }
        let graph = try Compressor(steps).run(model.graph, in: context).graph
        try Self.withFolder { folder in
            try model.write(graph, to: folder)
            let file = try SafetensorsFile(path: folder + "/model.safetensors"), names = Set(file.tensors.map(\.name))
            let smoothed = names.filter { $0.hasSuffix(".smoothed_weight") }, factors = names.filter { $0.hasSuffix(".smoothing") }
            let keys = ["attention.self.query", "attention.self.key", "attention.self.value", "intermediate.dense"]
            #expect(smoothed.count == (inserts ? 2 * keys.count : 0) && factors.count == smoothed.count)
            for key in keys where inserts { #expect(smoothed.contains { $0.hasSuffix("layer.1.\(key).smoothed_weight") } && !names.contains { $0.hasSuffix("layer.1.\(key).weight") }) }
            let vectors = try Self.embed(folder), parent = try Self.embed(Self.tiny)
            for (a, b) in zip(vectors, parent) { #expect(TextEncoder.similarity(a, b) > (isRounded ? 0.995 : 0.99999)) }
            let again = try EncoderModel(path: folder)
            // Layers that read the same with the same factors share a node.
            #expect(again.graph.nodes.count == model.graph.nodes.count + (inserts ? 4 : 0))
            #expect(again.graph.layers().map(\.name) == model.graph.layers().map(\.name))
            try Self.withFolder { second in
                try again.write(again.graph, to: second)
                #expect(try Self.embed(second) == vectors)
                #expect(try Set(SafetensorsFile(path: second + "/model.safetensors").tensors.map(\.name)) == names)
            }
        }
    }

    @Test func otherLayersThanTheConfigurationsAreAnError() throws {
        let model = try EncoderModel(path: Self.tiny), context = try Self.context(model)
        let factored = try Compressor([FactoriseBySVD(rank: .ratio(0.5), multiple: 1)]).run(model.graph, in: context).graph
        try Self.withFolder { folder in
            let error = #expect(throws: SwiftletError.self) { try model.write(factored, to: folder) }
            #expect(error?.description.contains("config.json describes") == true, "\(error?.description ?? "")")
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
        var graph = model.graph
        let layer = try #require(graph.layers().first { $0.name.hasSuffix("output.dense.weight") })
        graph.replaceWeight(layer.weightID, with: try Weight(name: layer.name, shape: [1, layer.weight.columnCount], floats: [Float](repeating: 0, count: layer.weight.columnCount)))
        try Self.withFolder { folder in #expect(throws: SwiftletError.self) { try model.write(graph, to: folder) } }
    }

    @Test func onlyFoldersOfEncodersAreReplaced() throws {
        let model = try EncoderModel(path: Self.tiny)
        try Self.withFolder { folder in
            try model.checkOutput(folder)
            try model.write(model.graph, to: folder)
            try model.checkOutput(folder)
            #expect(try EncoderModel.byteCount(folder) == EncoderModel.byteCount(folder + "/model.safetensors"))
            #expect(try EncoderModel.byteCount(folder) > 3000 && EncoderModel.isEncoder(folder) && !EncoderModel.isEncoder(folder + "/config.json"))
            try Data("mine".utf8).write(to: URL(fileURLWithPath: folder + "/notes.txt"))
            let error = #expect(throws: SwiftletError.self) { try model.checkOutput(folder) }
            #expect(error?.description.contains("notes.txt") == true)
            #expect(throws: SwiftletError.self) { try model.checkOutput(folder + "/notes.txt") }
        }
        #expect(throws: SwiftletError.self) { try model.checkOutput(Self.tiny + "/.") }
    }

    @Test func whatAFolderCannotHoldIsAnError() throws {
        let model = try EncoderModel(path: Self.tiny)
        #expect(throws: SwiftletError.self) { try model.write(model.graph, to: Self.tiny) }
        var graph = model.graph
        for (id, weight) in graph.weights where weight.shape.rank == 2 && weight.shape[1] % 32 == 0 {
            let store = try WeightStore(BlockFormat.q4_0.quantize(weight.floats()))
            graph.replaceWeight(id, with: try Weight(name: graph[id].name, shape: weight.shape, format: .block(.q4_0), store: store))
        }
        try Self.withFolder { folder in
            #expect(throws: SwiftletError.self) { try model.write(graph, to: folder) }
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
    }

    @Test func scalesOfTheWrongShapeAreAnError() throws {
        let source = try SafetensorsFile(path: Self.tiny + "/model.safetensors")
        let broken = try #require(source.tensors.first { $0.name.hasSuffix("query.weight") })
        try Self.withFolder { folder in
            try FileManager.default.copyItem(atPath: Self.tiny, toPath: folder)
            for scale in [nil, [broken.shape[0] + 1, 1], [broken.shape[0], broken.shape[1] + 1], [broken.shape[0]], [0, 0]] as [[Int]?] {
                var writer = SafetensorsWriter()
                for tensor in source.tensors where tensor.name != broken.name {
                    try writer.add(name: tensor.name, shape: tensor.shape, type: tensor.type, store: tensor.store)
                }
                let count = broken.shape.elementCount
                try writer.add(name: broken.name, shape: broken.shape, type: .i8, store: WeightStore([Int8](repeating: 1, count: count)))
                if let scale {
                    let count = scale.reduce(1, *)
                    try writer.add(name: broken.name + "_scale", shape: Shape(scale), type: .f32, store: WeightStore([Float](repeating: 1, count: count)))
                }
                try? FileManager.default.removeItem(atPath: folder + "/model.safetensors")
                try writer.write(to: folder + "/model.safetensors")
                #expect(throws: SwiftletError.self) { _ = try TextEncoder(path: folder) }
            }
        }
    }
}
