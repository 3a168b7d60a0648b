// A long English text goes through the default model's tokenizer and comes back unchanged.
import Foundation
import SwiftletFormats
import SwiftletLanguage
import Testing

@Suite struct TokenizerTextTests {
    private static var isReady: Bool {
        Fixtures.smolLM2 != nil && FileManager.default.fileExists(atPath: Fixtures.englishText)
    }

    @Test(.enabled(if: isReady, "needs the default model and ../shared/data/text"))
    func englishTextComesBackUnchanged() throws {
        let path = try #require(Fixtures.smolLM2)
        let tokenizer = try Tokenizer.load(from: GGUFFile(path: path))
        let text = try String(decoding: Data(contentsOf: URL(filePath: Fixtures.englishText)), as: UTF8.self)
        #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }
}
