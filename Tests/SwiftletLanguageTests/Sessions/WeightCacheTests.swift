// A model whose weights come from the cache gives the logits, bit by bit, of one that packed them.
import Foundation
import SwiftletLanguage
import SwiftletRuntime
import Testing

@Suite(.enabled(if: Stories.isPresent, Stories.note))
struct WeightCacheTests {
    private func logits(_ model: LanguageModel) throws -> [UInt32] {
        let decoder = try Decoder(model: model, context: 32)
        return Array(try decoder.evaluate(model.tokenizer.encode("Once upon a time there was"), at: 0)[0]).map(\.bitPattern)
    }

    @Test(arguments: [1, 2]) func hitMissAndNoCacheAgree(_ threads: Int) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "stories-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = ModelOptions(threads: threads, weightCacheFolder: folder.path)
        // By itself a model this small is not kept.
        let small = try Stories.model(options)
        #expect(small.weightCache == .unused)
        #expect(!FileManager.default.fileExists(atPath: folder.path))
        options.weightCacheMinimumBytes = 0
        let miss = try Stories.model(options)
        guard case .written(let path, let bytes, damage: nil) = miss.weightCache else {
            Issue.record("\(miss.weightCache)")
            return
        }
        #expect(FileManager.default.fileExists(atPath: path))
        let hit = try Stories.model(options)
        #expect(hit.weightCache == .mapped(path: path, bytes: bytes))
        let expected = try logits(small)
        #expect(try logits(miss) == expected)
        #expect(try logits(hit) == expected)
        options.usesWeightCache = false
        #expect(try Stories.model(options).weightCache == .unused)
    }
}
