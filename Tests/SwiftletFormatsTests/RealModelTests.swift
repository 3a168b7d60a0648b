import Foundation
import SwiftletFormats
import SwiftletTensor
import Testing

/// `../shared/data` beside the checkout: real models, there on development machines only.
private let sharedData = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "shared/data")

private func files(in folder: String) -> [String] {
    let path = sharedData.appending(path: folder).path
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.filter { $0.hasSuffix(".gguf") }.sorted().map { path + "/" + $0 }
}

@Suite struct RealModelTests {
    @Test(.enabled(if: !files(in: "models").isEmpty, "needs ../shared/data/models"))
    func storiesModelHasItsPublishedDimensions() throws {
        let path = sharedData.appending(path: "models/stories260k-f32.gguf").path
        let file = try GGUFFile(path: path)
        #expect(try file.metadata.requiredString("general.architecture") == "llama")
        #expect(try file.metadata.requiredInt("llama.embedding_length") == 64)
        #expect(try file.metadata.requiredInt("llama.block_count") == 5)
        let tokens = try file.metadata.requiredStrings("tokenizer.ggml.tokens")
        #expect(tokens.count == 512)
        let embedding = try file.requiredTensor(named: "token_embd.weight")
        #expect(embedding.shape == [512, 64])
        #expect(embedding.format == .dense(.f32))
        #expect(embedding.byteCount == 512 * 64 * 4)
        // Weights of a trained model are finite and neither all equal nor large: a wrong offset shows at once.
        let values = try embedding.dequantized()
        #expect(values.allSatisfy { $0.isFinite && abs($0) < 100 })
        #expect(Set(values.prefix(64)).count > 32)
        let parameters = file.tensors.reduce(0) { $0 + $1.shape.elementCount }
        #expect((250_000...310_000).contains(parameters))
    }

    @Test(.enabled(if: !files(in: "tokenizers").isEmpty, "needs ../shared/data/tokenizers"), arguments: files(in: "tokenizers"))
    func vocabularyFilesOpen(path: String) throws {
        let file = try GGUFFile(path: path)
        let tokens = try file.metadata.requiredStrings("tokenizer.ggml.tokens")
        #expect(tokens.count > 1000)
        #expect(try file.metadata.requiredInts("tokenizer.ggml.token_type").count == tokens.count)
        let bytes = tokens.withBytes(at: tokens.count - 1) { Array($0) }
        #expect(String(decoding: bytes, as: UTF8.self) == tokens.last)
    }
}
