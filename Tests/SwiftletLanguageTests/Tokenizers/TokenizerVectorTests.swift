// Every published and generated vector, id by id: the vocabularies' own test files, llama.cpp's answers to tricky texts, and the pieces that
// Hugging Face's regular expressions cut. ../Scripts/make_tokenizer_vectors.py makes the last two.
import Foundation
import SwiftletFormats
import SwiftletLanguage
import Testing

@Suite struct TokenizerVectorTests {
    /// llama.cpp's own vectors: texts separated by a line `__ggml_vocab_test__`, ids a line each.
    @Test(.enabled(if: Fixtures.hasVocabularies, "needs ../shared/data/tokenizers"), arguments: Fixtures.vocabularies)
    func publishedVectors(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let input = try String(decoding: Data(contentsOf: URL(filePath: Fixtures.path(ofVocabulary: name + ".inp"))), as: UTF8.self)
        let output = try String(decoding: Data(contentsOf: URL(filePath: Fixtures.path(ofVocabulary: name + ".out"))), as: UTF8.self)
        let texts = input.components(separatedBy: "\n__ggml_vocab_test__\n")
        let lines = output.components(separatedBy: "\n")
        #expect(texts.count > 40)
        #expect(lines.count >= texts.count)
        for (text, line) in zip(texts, lines) {
            let expected = line.split(separator: " ").compactMap { Int32($0) }
            #expect(tokenizer.encode(text, addSpecial: false, parseSpecial: false) == expected, "\(text.debugDescription)")
        }
    }

    private struct Vocabularies: Decodable {
        struct Answers: Decodable {
            let plain: [[Int32]]
            /// In order: neither, parse, add, add and parse.
            let special: [[[Int32]]]
            /// All tokens that end a generation.
            let ends: [Int32]
            /// Digest of the bytes of every fifth token, each followed by a zero.
            let bytes: String
        }
        let texts: [String]
        let special: [String]
        let files: [String: Answers]
    }

    @Test(.enabled(if: Fixtures.hasVocabularies, "needs ../shared/data/tokenizers"))
    func answersOfLlamaCpp() throws {
        let vectors = try Fixtures.vectors("vocabularies.json", as: Vocabularies.self)
        var checked = 0
        for (name, answers) in vectors.files.sorted(by: { $0.key < $1.key }) {
            guard Fixtures.path(of: name) != nil else { continue }
            let tokenizer = try Fixtures.tokenizer(name)
            for (text, expected) in zip(vectors.texts, answers.plain) {
                #expect(tokenizer.encode(text, addSpecial: false) == expected, "\(name): \(text.debugDescription)")
                checked += 1
            }
            #expect(tokenizer.endOfGeneration.sorted() == answers.ends, "\(name)")
            var bytes: [UInt32] = []
            for id in stride(from: Int32(0), to: Int32(tokenizer.count), by: 5) {
                bytes += tokenizer.bytes(of: id).map { UInt32($0) } + [0]
            }
            #expect(digest(bytes) == answers.bytes, "\(name)")
            for (text, expected) in zip(vectors.special, answers.special) {
                let found = [(false, false), (false, true), (true, false), (true, true)].map {
                    tokenizer.encode(text, addSpecial: $0.0, parseSpecial: $0.1)
                }
                #expect(found == expected, "\(name): \(text.debugDescription)")
                checked += found.count
            }
        }
        #expect(checked > 600)
    }

    private struct PreTokenizers: Decodable {
        struct Digests: Decodable {
            let pieces: [String]
            let ids: [String]
        }
        let texts: [String]
        let vocabulary: String
        let digests: [String: Digests]
    }

    /// FNV-1a over 32-bit little-endian words.
    private func digest(_ values: some Sequence<UInt32>) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for value in values {
            for shift in stride(from: UInt32(0), to: 32, by: 8) { hash = (hash ^ UInt64(value >> shift & 0xFF)) &* 0x100_0000_01B3 }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    @Test func piecesOfPublishedPatterns() throws {
        let vectors = try Fixtures.vectors("pretokenizers.json", as: PreTokenizers.self)
        #expect(vectors.digests.count >= 20)
        for (name, digests) in vectors.digests.sorted(by: { $0.key < $1.key }) {
            for (text, expected) in zip(vectors.texts, digests.pieces) {
                let lengths = try Tokenizer.pieceLengths(of: text, preTokenizer: name)
                #expect(digest(lengths.map(UInt32.init)) == expected, "\(name): \(text.debugDescription) \(lengths)")
            }
        }
    }

    @Test(.enabled(if: Fixtures.hasVocabularies, "needs ../shared/data/tokenizers"))
    func everyPreTokenizerOnOneVocabulary() throws {
        let vectors = try Fixtures.vectors("pretokenizers.json", as: PreTokenizers.self)
        var vocabulary = try TokenizerVocabulary(GGUFFile(path: Fixtures.path(ofVocabulary: vectors.vocabulary)))
        for (name, digests) in vectors.digests.sorted(by: { $0.key < $1.key }) {
            vocabulary.preTokenizer = name
            let tokenizer = try Tokenizer(vocabulary)
            for (text, expected) in zip(vectors.texts, digests.ids) {
                let ids = tokenizer.encode(text, addSpecial: false)
                #expect(digest(ids.map { UInt32(bitPattern: $0) }) == expected, "\(name): \(text.debugDescription) \(ids)")
            }
        }
    }
}
