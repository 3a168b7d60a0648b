// Speed on English text and time to build the tables, in release builds only: the limits are the project's promises, with room for a busy machine.
import Foundation
import SwiftletFormats
import SwiftletLanguage
import Testing

#if DEBUG
    private let isOptimized = false
#else
    private let isOptimized = true
#endif

@Suite(.serialized) struct TokenizerSpeedTests {
    private static var isReady: Bool {
        isOptimized && Fixtures.smolLM2 != nil && FileManager.default.fileExists(atPath: Fixtures.englishText)
    }

    /// The fastest of `repetitions` runs, in seconds.
    private func fastest(_ repetitions: Int, _ body: () throws -> Void) rethrows -> Double {
        var best = Double.infinity
        let clock = ContinuousClock()
        for _ in 0..<repetitions {
            let time = try clock.measure(body)
            best = min(best, time / .seconds(1))
        }
        return best
    }

    @Test(.enabled(if: isReady, "needs a release build, the default model and ../shared/data/text"))
    func englishTextWithTheDefaultModel() throws {
        let path = try #require(Fixtures.smolLM2)
        let tokenizer = try Tokenizer.load(from: GGUFFile(path: path))
        let text = try String(decoding: Data(contentsOf: URL(filePath: Fixtures.englishText)), as: UTF8.self)
        var tokens: [Int32] = []
        let seconds = fastest(7) { tokens = tokenizer.encode(text) }
        let rate = Double(text.utf8.count) / seconds / 1e6
        print("SmolLM2: \(Int(rate)) MB/s, \(tokens.count) tokens of \(text.utf8.count) bytes")
        #expect(rate >= 5)
        #expect(tokenizer.decode(tokens) == text)
        let short = String(text.prefix(200))
        let shortSeconds = fastest(2000) { tokens = tokenizer.encode(short) }
        print("SmolLM2: 200 characters in \(shortSeconds * 1e6) us")
        let decoding = fastest(3) { _ = tokenizer.decode(tokens) }
        print("SmolLM2: decode \(Double(tokens.count) / decoding / 1e6) M tokens/s")
    }

    @Test(.enabled(if: isReady && Fixtures.hasVocabularies, "needs a release build and ../shared/data"), arguments: Fixtures.vocabularies)
    func otherVocabularies(name: String) throws {
        let file = try GGUFFile(path: Fixtures.path(ofVocabulary: name))
        let seconds = try fastest(5) { _ = try Tokenizer.load(from: file) }
        let tokenizer = try Tokenizer.load(from: file)
        let text = try String(decoding: Data(contentsOf: URL(filePath: Fixtures.englishText)), as: UTF8.self)
        let rate = Double(text.utf8.count) / fastest(3) { _ = tokenizer.encode(text) } / 1e6
        print("\(name): \(Int(rate * 10)) tenths of MB/s, tables in \(seconds * 1e3) ms")
        #expect(rate >= 1)
    }

    /// 49,152 tokens and 48,900 merges: 25 ms promised. 262,144 SentencePiece tokens: 100 ms promised. Twice that on a busy machine.
    @Test(
        .enabled(if: isReady, "needs a release build and the default model"),
        arguments: [
            ("SmolLM2-135M-Instruct.Q4_1.gguf", 0.025), ("gemma-3-270m-q4_k_m.gguf", 0.1),
        ])
    func tablesOfModels(name: String, promise: Double) throws {
        guard let path = Fixtures.path(of: name) else { return }
        let file = try GGUFFile(path: path)
        let seconds = try fastest(5) { _ = try Tokenizer.load(from: file) }
        print("\(name): tables in \(seconds * 1e3) ms")
        #expect(seconds < promise * 2)
    }
}
