// What tokenizer tests share: where the real vocabularies are, the committed vectors, and small vocabularies made in memory.
import Foundation
import SwiftletFormats
import SwiftletLanguage

enum Fixtures {
    private static let testFolder = URL(filePath: #filePath).deletingLastPathComponent()
    private static let packageRoot = testFolder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let sharedData = packageRoot.deletingLastPathComponent().appending(path: "shared/data")

    /// The folder of real vocabularies beside the checkout; there on development machines only.
    static let vocabularyFolder = sharedData.appending(path: "tokenizers").path
    static let englishText = sharedData.appending(path: "text/wiki.test.raw").path

    static let smolLM2 = path(of: "SmolLM2-135M-Instruct.Q4_1.gguf")

    /// Where a model or vocabulary is: beside the checkout, in the folder that SWIFTLET_TEST_MODELS names, or in the cache of `swiftlet pull`.
    static func path(of name: String) -> String? {
        let environment = ProcessInfo.processInfo.environment
        var folders = [vocabularyFolder, sharedData.appending(path: "models").path]
        folders += [environment["SWIFTLET_TEST_MODELS"], environment["SWIFTLET_CACHE"]].compactMap { $0 }
        if let home = environment["HOME"] { folders.append(home + "/.cache/swiftlet") }
        return folders.map { $0 + "/" + name }.first { FileManager.default.fileExists(atPath: $0) }
    }

    static var hasVocabularies: Bool { FileManager.default.fileExists(atPath: vocabularyFolder) }

    static var vocabularies: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: vocabularyFolder)) ?? []
        return names.filter { $0.hasSuffix(".gguf") }.sorted()
    }

    static func path(ofVocabulary name: String) -> String { vocabularyFolder + "/" + name }

    static func tokenizer(_ name: String) throws -> Tokenizer {
        try Tokenizer.load(from: GGUFFile(path: path(of: name) ?? path(ofVocabulary: name)))
    }

    static func vectors<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: testFolder.appending(path: "Vectors/" + name)))
    }

    // MARK: - Small vocabularies

    /// A byte-level vocabulary of the 256 bytes, the given merges and what they make, and the given special tokens.
    static func bytePair(
        merges: [String] = [], control: [String] = [], userDefined: [String] = [], pre: String = "gpt-2", bos: Bool = false
    ) -> TokenizerVocabulary {
        var tokens = byteAlphabet
        for merge in merges { tokens.append(merge.split(separator: " ").joined()) }
        var types = Array(repeating: Int(TokenType.normal.rawValue), count: tokens.count)
        tokens += control + userDefined
        types += control.map { _ in Int(TokenType.control.rawValue) } + userDefined.map { _ in Int(TokenType.userDefined.rawValue) }
        var vocabulary = TokenizerVocabulary(source: "test", model: "gpt2", tokens: GGUFStrings(tokens))
        vocabulary.types = types
        vocabulary.merges = GGUFStrings(merges)
        vocabulary.preTokenizer = pre
        if bos { vocabulary.bos = 0 }
        return vocabulary
    }

    /// GPT-2's printable character for each byte, in order of the bytes.
    static let byteAlphabet: [String] = {
        var next: UInt32 = 0x100
        return (UInt32(0)..<256).map { byte in
            var scalar = byte
            if !(0x21...0x7E).contains(byte) && !(0xA1...0xAC).contains(byte) && !(0xAE...0xFF).contains(byte) {
                scalar = next
                next += 1
            }
            return Unicode.Scalar(scalar).map(String.init) ?? ""
        }
    }()

    /// A SentencePiece vocabulary: unknown, begin, end, 256 byte tokens, then `pieces` with their scores.
    static func sentencePiece(_ pieces: [(String, Float)], bytes: Bool = true) -> TokenizerVocabulary {
        var tokens = ["<unk>", "<s>", "</s>"]
        var types = [2, 3, 3]
        var scores: [Float] = [0, 0, 0]
        if bytes {
            for byte in 0..<256 {
                let digits = String(byte, radix: 16, uppercase: true)
                tokens.append("<0x\(byte < 16 ? "0" : "")\(digits)>")
                types.append(6)
                scores.append(0)
            }
        }
        for (text, score) in pieces {
            tokens.append(text)
            types.append(1)
            scores.append(score)
        }
        var vocabulary = TokenizerVocabulary(source: "test", model: "llama", tokens: GGUFStrings(tokens))
        vocabulary.types = types
        vocabulary.scores = scores
        return vocabulary
    }

    /// A WordPiece vocabulary with the special tokens of BERT; `pieces` as GGUF writes them, "▁" before those that begin a word.
    static func wordPiece(_ pieces: [String]) -> TokenizerVocabulary {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        var vocabulary = TokenizerVocabulary(source: "test", model: "bert", tokens: GGUFStrings(special + pieces))
        vocabulary.types = special.map { _ in 3 } + pieces.map { _ in 1 }
        vocabulary.padding = 0
        vocabulary.unknown = 1
        vocabulary.bos = 2
        vocabulary.separator = 3
        vocabulary.mask = 4
        return vocabulary
    }
}
