// Vocabularies that lack something or contradict themselves: a typed error that names the key, never a trap.
import SwiftletFormats
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

@Suite struct HostileVocabularyTests {
    /// The key that the error of building a tokenizer names.
    private func failure(_ vocabulary: TokenizerVocabulary) -> String? {
        do {
            _ = try Tokenizer(vocabulary)
            return nil
        } catch SwiftletError.malformed(let file, _, let reason, let remedy) {
            #expect(file == "test" && !remedy.isEmpty)
            return "malformed " + (reason.split(separator: ":").first.map(String.init) ?? reason)
        } catch SwiftletError.unsupported(let file, let place, _, let remedy) {
            #expect(file == "test" && !remedy.isEmpty)
            return "unsupported " + place
        } catch {
            return "\(error)"
        }
    }

    private func changed(_ vocabulary: TokenizerVocabulary, _ change: (inout TokenizerVocabulary) -> Void) -> String? {
        var vocabulary = vocabulary
        change(&vocabulary)
        return failure(vocabulary)
    }

    @Test func bytePair() {
        let good = Fixtures.bytePair(merges: ["a b"])
        #expect(failure(good) == nil)
        #expect(changed(good) { $0.merges = nil } == "malformed tokenizer.ggml.merges")
        for merge in ["", " ", "a", "ab", "a ", " a", "a b c", "a  b", "b c", "xx y", "a 中", "\u{0} a"] {
            #expect(changed(good) { $0.merges = GGUFStrings(["a b", merge]) } == "malformed tokenizer.ggml.merges", "\(merge)")
        }
        #expect(changed(good) { $0.preTokenizer = "no-such-rule" } == "unsupported tokenizer.ggml.pre")
        #expect(changed(good) { $0.types = [1, 2] } == "malformed tokenizer.ggml.token_type")
        #expect(changed(good) { $0.types = Array(repeating: -7, count: 257) } == nil)
        #expect(changed(good) { $0.addBos = true } == "malformed tokenizer.ggml.add_bos_token")
        #expect(changed(good) { $0.addEos = true } == "malformed tokenizer.ggml.add_eos_token")
        #expect(changed(good) { $0.tokens = GGUFStrings([]) } == "malformed tokenizer.ggml.tokens")
        #expect(changed(good) { $0.bos = 257 } == "malformed tokenizer.ggml.bos_token_id")
        #expect(changed(good) { $0.eos = -2 } == "malformed tokenizer.ggml.eos_token_id")
        #expect(changed(good) { $0.eot = Int.max } == "malformed tokenizer.ggml.eot_token_id")
        #expect(changed(good) { $0.unknown = Int.min } == "malformed tokenizer.ggml.unknown_token_id")
        #expect(changed(good) { $0.fillPadding = 1 << 40 } == "malformed tokenizer.ggml.fim_pad_token_id")
        // How converters write "none".
        #expect(changed(good) { $0.padding = Int(UInt32.max) } == nil)
        // A merge of a pair twice, tokens twice, empty tokens, tokens outside the alphabet: odd, and harmless.
        #expect(changed(good) { $0.merges = GGUFStrings(["a b", "a b"]) } == nil)
        #expect(changed(good) { $0.tokens = GGUFStrings(Fixtures.byteAlphabet.dropLast() + ["ab", "ab"]) } == nil)
        #expect(changed(good) { $0.tokens = GGUFStrings(Fixtures.byteAlphabet.dropLast(2) + ["", "中文", "ab"]) } == nil)
    }

    @Test func sentencePiece() {
        let good = Fixtures.sentencePiece([("▁a", -1)])
        #expect(failure(good) == nil)
        #expect(changed(good) { $0.scores = nil } == "malformed tokenizer.ggml.scores")
        #expect(changed(good) { $0.scores = [1] } == "malformed tokenizer.ggml.scores")
        #expect(changed(good) { $0.scores?[5] = .nan } == "malformed tokenizer.ggml.scores")
        #expect(changed(good) { $0.scores?[259] = -.infinity } == nil)
        for text in ["", "<0x>", "<0xGG>", "<0x+1>", "0x0A", "<0x0A>>", "<0X0A>"] {
            let vocabulary = changed(good) { vocabulary in
                var tokens = Array(vocabulary.tokens)
                tokens[10] = text
                vocabulary.tokens = GGUFStrings(tokens)
            }
            #expect(vocabulary == "malformed tokenizer.ggml.tokens", "\(text)")
        }
        // Without the default special tokens there is nothing to begin a sequence with.
        var tiny = TokenizerVocabulary(source: "test", model: "llama", tokens: GGUFStrings(["a"]))
        tiny.scores = [0]
        #expect(failure(tiny) == "malformed tokenizer.ggml.add_bos_token")
        #expect(changed(tiny) { $0.addBos = false } == nil)
    }

    @Test func wordPieceAndUnknownModels() {
        let good = Fixtures.wordPiece(["▁a"])
        #expect(failure(good) == nil)
        #expect(changed(good) { $0.unknown = nil } == "malformed tokenizer.ggml.unknown_token_id")
        #expect(changed(good) { $0.separator = nil } == "malformed tokenizer.ggml.add_eos_token")
        for model in ["t5", "rwkv", "", "plamo2"] { #expect(changed(good) { $0.model = model } == "unsupported tokenizer.ggml.model") }
    }

    @Test func metadataWithoutATokenizer() {
        let pairs: [[(key: String, value: GGUFValue)]] = [
            [], [("tokenizer.ggml.model", .string("gpt2"))],
            [("tokenizer.ggml.model", .uint32(3)), ("tokenizer.ggml.tokens", .array(.string(GGUFStrings(["a"]))))],
            [("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.tokens", .array(.uint32([1])))],
            [
                ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.tokens", .array(.string(GGUFStrings(["a"])))),
                ("tokenizer.ggml.bos_token_id", .string("a")),
            ],
        ]
        for pairs in pairs {
            #expect(throws: SwiftletError.self) { try TokenizerVocabulary(GGUFMetadata(pairs), source: "test") }
        }
    }

    /// Random vocabularies of every kind either throw a `SwiftletError` or encode and decode without a trap.
    @Test func randomVocabularies() {
        var generator = SeededGenerator(seed: 99)
        let texts = [
            "a", "b", "ab", "▁", "▁a", "Ġ", "Ġa", "<0x41>", "<0x", "", "中", "é", "<|im_end|>", "</s>", "[CLS]", " ", "\n", "aab", "[PAD]",
            "#a",
        ]
        var built = 0
        for _ in 0..<4000 {
            let count = Int.random(in: 0...14, using: &generator)
            let tokens = (0..<count).map { _ in texts.randomElement(using: &generator) ?? "" }
            var vocabulary = TokenizerVocabulary(
                source: "test", model: ["gpt2", "llama", "bert"].randomElement(using: &generator) ?? "", tokens: GGUFStrings(tokens))
            if Bool.random(using: &generator) { vocabulary.types = tokens.map { _ in Int.random(in: -1...8, using: &generator) } }
            vocabulary.scores = tokens.map { _ in Float(Int.random(in: -3...3, using: &generator)) }
            vocabulary.merges = GGUFStrings(Bool.random(using: &generator) ? [] : ["a b"])
            vocabulary.preTokenizer = ["default", "smollm", "gpt-4o"].randomElement(using: &generator)
            vocabulary.bos = Bool.random(using: &generator) ? nil : Int.random(in: -2...15, using: &generator)
            vocabulary.unknown = Bool.random(using: &generator) ? nil : Int.random(in: 0...5, using: &generator)
            vocabulary.separator = Bool.random(using: &generator) ? nil : 0
            vocabulary.addBos = Bool.random(using: &generator)
            vocabulary.modelName = Bool.random(using: &generator) ? "phi-3" : nil
            do {
                let tokenizer = try Tokenizer(vocabulary)
                built += 1
                let text = (0..<8).map { _ in texts.randomElement(using: &generator) ?? "" }.joined()
                for parse in [false, true] {
                    let ids = tokenizer.encode(text, parseSpecial: parse)
                    #expect(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.count })
                    _ = tokenizer.decode(ids)
                }
            } catch {
                #expect(error is SwiftletError)
            }
        }
        #expect(built > 300)
    }
}
