// Rules of tokenizers on small vocabularies worked out by hand, round trips, streaming, and texts made to be slow.
import SwiftletFormats
import SwiftletLanguage
import TestSupport
import Testing

@Suite struct TokenizerBehaviourTests {
    /// The text of each token.
    private func pieces(_ tokenizer: Tokenizer, _ text: String, addSpecial: Bool = false, parseSpecial: Bool = false) -> [String] {
        tokenizer.encode(text, addSpecial: addSpecial, parseSpecial: parseSpecial).map(tokenizer.piece(of:))
    }

    // MARK: - Byte-level BPE

    @Test func lowestRankMergesFirstThenLeftmost() throws {
        let tokenizer = try Tokenizer(Fixtures.bytePair(merges: ["b c", "a b", "a bc", "ab ab"]))
        #expect(pieces(tokenizer, "abc") == ["abc"])
        #expect(pieces(tokenizer, "abab") == ["abab"])
        #expect(pieces(tokenizer, "ababc") == ["ab", "abc"])
        #expect(pieces(tokenizer, "aab") == ["a", "ab"])
    }

    /// The merges of "aa" pair from the left; a word of any length must give the same by the scan and by the heap.
    @Test func longWordsMergeLikeShortOnes() throws {
        let tokenizer = try Tokenizer(Fixtures.bytePair(merges: ["a a", "aa a", "b a", "ba b"]))
        for text in ["aaaaa", "ababab", "aabaabab", "bababaaab"] {
            // Digits part words.
            let unit = pieces(tokenizer, text)
            let joined = pieces(tokenizer, (0..<50).map { _ in text }.joined(separator: "1"))
            #expect(joined.split(separator: "1").map(Array.init) == (0..<50).map { _ in unit })
        }
        // One word of 49 and more symbols takes the heap, one of 48 the scan: naive merging is the reference for both.
        var generator = SeededGenerator(seed: 3)
        for length in [10, 47, 48, 49, 50, 200] {
            let text = String((0..<length).map { _ in Bool.random(using: &generator) ? "a" : "b" })
            #expect(pieces(tokenizer, text) == naiveMerge(text, ["a a", "aa a", "b a", "ba b"]), "\(text)")
        }
    }

    private func naiveMerge(_ text: String, _ merges: [String]) -> [String] {
        var symbols = text.map(String.init)
        while true {
            var best: (rank: Int, index: Int)?
            for index in symbols.indices.dropLast() {
                if let rank = merges.firstIndex(of: symbols[index] + " " + symbols[index + 1]), rank < best?.rank ?? .max {
                    best = (rank, index)
                }
            }
            guard let best else { return symbols }
            symbols.replaceSubrange(best.index...best.index + 1, with: [symbols[best.index] + symbols[best.index + 1]])
        }
    }

    @Test func anyBytesComeBack() throws {
        let tokenizer = try Tokenizer(Fixtures.bytePair(merges: ["e r", "Ġ a", "Ã ©", "t h", "th e"], pre: "smollm"))
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<500 {
            let bytes = (0..<Int.random(in: 0...80, using: &generator)).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            let tokens = bytes.withUnsafeBufferPointer { tokenizer.encode($0, addSpecial: false) }
            #expect(tokens.flatMap(tokenizer.bytes(of:)) == bytes)
        }
    }

    @Test(
        .enabled(if: Fixtures.hasVocabularies, "needs ../shared/data/tokenizers"),
        arguments: [
            "ggml-vocab-gpt-2.gguf", "ggml-vocab-llama-bpe.gguf", "ggml-vocab-qwen2.gguf", "ggml-vocab-llama-spm.gguf",
            "ggml-vocab-phi-3.gguf",
            "ggml-vocab-bert-bge.gguf",
        ])
    func randomTextIsSafeAndComesBack(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        var generator = SeededGenerator(seed: 7)
        for round in 0..<1500 {
            var text = ""
            for _ in 0..<Int.random(in: 0...30, using: &generator) {
                // Half ASCII, a quarter of the basic plane, a quarter of everything.
                let limit: UInt32 = [0x7F, 0x7F, 0xFFFF, 0x10FFFF][Int.random(in: 0..<4, using: &generator)]
                if let scalar = Unicode.Scalar(UInt32.random(in: 0...limit, using: &generator)) { text.unicodeScalars.append(scalar) }
            }
            let tokens = tokenizer.encode(text, addSpecial: round % 2 == 0, parseSpecial: round % 3 == 0)
            #expect(tokens.allSatisfy { $0 >= 0 && $0 < tokenizer.count })
            guard tokenizer.kind != .wordPiece else { continue }
            let back = tokenizer.decode(tokens, skippingSpecial: true)
            // SentencePiece has one token for the space and for the sign that stands for it.
            let expected = tokenizer.kind == .sentencePiece ? String(text.map { $0 == "\u{2581}" ? " " : $0 }) : text
            #expect(Array(back.utf8) == Array(expected.utf8), "\(text.debugDescription)")
        }
    }

    // MARK: - SentencePiece

    @Test func highestScoreJoinsFirstAndTheRestIsBytes() throws {
        let tokenizer = try Tokenizer(
            Fixtures.sentencePiece([
                ("▁", -1), ("h", -9), ("e", -9), ("l", -9), ("o", -9), ("he", -3), ("el", -2), ("hel", -5), ("lo", -4), ("▁h", -6),
                ("▁he", -7),
            ]))
        // "el" is best, then "lo"; "hel" joins next and nothing joins "▁" to it.
        #expect(pieces(tokenizer, "hello") == [" ", "hel", "lo"])
        #expect(pieces(tokenizer, "he") == [" he"])
        #expect(tokenizer.encode("é", addSpecial: false).map { tokenizer.type(of: $0) } == [.normal, .byte, .byte])
        #expect(tokenizer.decode(tokenizer.encode("hé\nlo o")) == "<s>hé\nlo o")
        #expect(tokenizer.encode("", addSpecial: true) == [1])
        #expect(tokenizer.encode("", addSpecial: false) == [])
    }

    @Test func textWithoutBytesBecomesUnknown() throws {
        let tokenizer = try Tokenizer(Fixtures.sentencePiece([("▁", -1), ("a", -2)], bytes: false))
        #expect(tokenizer.encode("aéa", addSpecial: false) == [3, 4, 0, 0, 4])
    }

    @Test func spacePrefixFollowsTheFlag() throws {
        var vocabulary = Fixtures.sentencePiece([("▁", -1), ("a", -2), ("▁a", -3)])
        vocabulary.addSpacePrefix = false
        vocabulary.addBos = false
        vocabulary.addEos = true
        let tokenizer = try Tokenizer(vocabulary)
        #expect(pieces(tokenizer, "a a", addSpecial: true) == ["a", " a", "</s>"])
        #expect(tokenizer.decode([261, 261]) == " a a")
    }

    // MARK: - WordPiece

    @Test func wordsAreCleanedAndCutGreedily() throws {
        let tokenizer = try Tokenizer(Fixtures.wordPiece(["▁un", "aff", "able", "▁cafe", "▁!", "▁中", "▁文", "▁a", "b", "▁ab"]))
        #expect(pieces(tokenizer, "UNAFFABLE Café!") == [" un", "aff", "able", " cafe", " !"])
        #expect(pieces(tokenizer, "中文 ab abb axb") == [" 中", " 文", " ab", " ab", "b", "[UNK]"])
        #expect(pieces(tokenizer, "a\u{0}b\u{FFFD}\u{200B}b", addSpecial: true) == ["[CLS]", " ab", "b", "[SEP]"])
        #expect(tokenizer.decode(tokenizer.encode("ab unable", addSpecial: false)) == "ab unable")
    }

    // MARK: - Special tokens

    @Test func controlTokensAreTextUnlessParsed() throws {
        let tokenizer = try Tokenizer(
            Fixtures.bytePair(merges: ["< |"], control: ["<|im_end|>", "<|im_end|>x"], userDefined: ["<tool>", "   "], pre: "qwen2"))
        #expect(pieces(tokenizer, "a<|im_end|>", parseSpecial: true) == ["a", "<|im_end|>"])
        #expect(pieces(tokenizer, "<|im_end|>") == ["<|", "i", "m", "_", "e", "n", "d", "|", ">"])
        #expect(pieces(tokenizer, "<|im_end|>x<|im_end|>y", parseSpecial: true) == ["<|im_end|>x", "<|im_end|>", "y"])
        #expect(pieces(tokenizer, "a<tool>    b") == ["a", "<tool>", "   ", " ", "b"])
        #expect(tokenizer.endOfGeneration == [257])
        #expect(tokenizer.eot == 257)
        #expect(tokenizer.token(for: "<|im_end|>") == 257)
        #expect(tokenizer.token(for: "<|") == 256)
        #expect(tokenizer.token(for: "nothing") == nil)
        #expect(tokenizer.decode([97, 257, 98]) == "a<|im_end|>b")
        #expect(tokenizer.decode([97, 257, 98], skippingSpecial: true) == "ab")
    }

    @Test(.enabled(if: Fixtures.hasVocabularies, "needs ../shared/data/tokenizers"))
    func specialTokensOfRealVocabularies() throws {
        let qwen = try Fixtures.tokenizer("ggml-vocab-qwen2.gguf")
        #expect(qwen.eot == qwen.token(for: "<|im_end|>"))
        #expect(qwen.endOfGeneration.isSuperset(of: [151_643, 151_645]))
        #expect(!qwen.addsBos && !qwen.addsEos)
        let llama = try Fixtures.tokenizer("ggml-vocab-llama-bpe.gguf")
        #expect(llama.bos == 128_000 && llama.eos == 128_001 && llama.eot == 128_009 && llama.addsBos)
        #expect(llama.endOfGeneration == [128_001, 128_009])
        let bert = try Fixtures.tokenizer("ggml-vocab-bert-bge.gguf")
        #expect(bert.encode("hello") == [101, 7592, 102])
        #expect(bert.special.mask == 103 && bert.padding == 0)
        let phi = try Fixtures.tokenizer("ggml-vocab-phi-3.gguf")
        #expect(phi.endOfGeneration.isSuperset(of: [32_000, 32_007]))
    }

    // MARK: - Streaming

    @Test func streamingNeverSplitsACharacter() throws {
        let tokenizer = try Tokenizer(Fixtures.bytePair())
        let text = "aé中🦙\u{301}👩‍👩‍👧z\u{10FFFF}\u{D7FF}\u{E000}"
        var decoder = StreamingDecoder(tokenizer)
        var parts: [String] = []
        for token in tokenizer.encode(text, addSpecial: false) { parts.append(decoder.append(token)) }
        #expect(decoder.finish() == "")
        #expect(parts.joined() == text)
        #expect(parts.filter { !$0.isEmpty }.allSatisfy { $0.unicodeScalars.count == 1 && $0 != "\u{FFFD}" })
    }

    @Test func streamingEqualsDecodingAtOnce() throws {
        let tokenizer = try Tokenizer(Fixtures.bytePair())
        var generator = SeededGenerator(seed: 5)
        // Bytes that begin, continue and break characters.
        let bytes: [UInt8] = [
            0x41, 0x80, 0xBF, 0xC0, 0xC2, 0xC3, 0xE0, 0xE2, 0xED, 0xA0, 0x9F, 0x90, 0x8F, 0xF0, 0xF4, 0xF5, 0xFF, 0x96, 0x81,
        ]
        for _ in 0..<3000 {
            let sequence = (0..<Int.random(in: 0...12, using: &generator)).map { _ in bytes.randomElement(using: &generator) ?? 0 }
            var decoder = StreamingDecoder(tokenizer)
            var text = ""
            for byte in sequence { text += decoder.append(Int32(byte)) }
            text += decoder.finish()
            #expect(text == String(decoding: sequence, as: UTF8.self), "\(sequence)")
        }
    }

    @Test func idsOutsideTheVocabularyAreEmpty() throws {
        let tokenizer = try Tokenizer(Fixtures.bytePair())
        for id in [Int32.min, -1, 256, Int32.max] {
            #expect(tokenizer.bytes(of: id) == [])
            #expect(tokenizer.piece(of: id) == "")
            #expect(tokenizer.type(of: id) == .undefined)
        }
        #expect(tokenizer.decode([-1, 97, 9999]) == "a")
        #expect(tokenizer.piece(of: 0xE2) == "<0xE2>")
    }

    // MARK: - Texts made to be slow

    /// Quadratic work on so many bytes without a break, in ten ways, would take minutes.
    @Test(.timeLimit(.minutes(1)), arguments: ["a", " ", "\n", "ab", "1", "!", "é", "中", "\u{301}", "A", "<", "'", "\u{0}", " \n"])
    func longRunsTakeLinearTime(unit: String) throws {
        let text = String(repeating: unit, count: 60_000 / unit.utf8.count)
        for pre in [
            "gpt-2", "smollm", "llama-bpe", "gpt-4o", "deepseek-v3", "deepseek-coder", "deepseek-llm", "falcon", "bloom", "default",
        ] {
            let tokenizer = try Tokenizer(
                Fixtures.bytePair(
                    merges: ["a a", "aa aa", "aaaa aaaa", "Ġ Ġ", "ĠĠ ĠĠ", "a b", "ab ab", "Ã ©"], userDefined: ["<<<<x"], pre: pre,
                    bos: true))
            #expect(tokenizer.decode(tokenizer.encode(text, addSpecial: false)) == text, "\(pre)")
        }
        let pieces = [("▁", Float(-1)), ("a", -2), ("aa", -3), ("aaaa", -4), ("▁▁", -3), ("ab", -3), ("a▁a", -9)]
        let sentencePiece = try Tokenizer(Fixtures.sentencePiece(pieces))
        #expect(sentencePiece.decode(sentencePiece.encode(text, addSpecial: false)) == text)
        let wordPiece = try Tokenizer(Fixtures.wordPiece(["▁a", "a", "b", "▁1", "1", "▁!"]))
        #expect(wordPiece.encode(text).allSatisfy { $0 >= 0 })
    }
}
