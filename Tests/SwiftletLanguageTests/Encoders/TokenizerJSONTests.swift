import Foundation
import SwiftletFormats
import SwiftletLanguage
import SwiftletTensor
import Testing

/// What of tokenizer.json is read, and what is refused by name.
@Suite struct TokenizerJSONTests {
    private let json: String

    init() throws { json = try String(contentsOf: URL(filePath: EncoderFixtures.tiny + "/tokenizer.json"), encoding: .utf8) }

    private func read(_ old: String = "", _ new: String = "") throws -> TokenizerJSON {
        try #require(old.isEmpty || json.contains(old), "\(old)")
        return try TokenizerJSON(json: Data((old.isEmpty ? json : json.replacingOccurrences(of: old, with: new)).utf8), name: "tokenizer.json")
    }

    @Test func idsOfASmallVocabulary() throws {
        let read = try read()
        #expect(read.maximumTokens == 20)
        let tokenizer = read.tokenizer
        #expect(tokenizer.kind == .wordPiece && tokenizer.count == 20)
        #expect(tokenizer.encode("Cats, DOG\u{301}!") == [2, 9, 10, 16, 11, 17, 3])
        #expect(tokenizer.encode("abba xyz sleeping", addSpecial: false) == [5, 8, 8, 7, 1, 13, 14])
        #expect(tokenizer.encode("a[MASK]b", addSpecial: false, parseSpecial: true) == [5, 4, 6])
        #expect(tokenizer.encode("", addSpecial: true) == [2, 3])
    }

    @Test func longWordsAreUnknown() throws {
        let read = try read(#""max_input_chars_per_word": 100"#, #""max_input_chars_per_word": 4"#)
        #expect(read.tokenizer.encode("abba abbaa", addSpecial: false) == [5, 8, 8, 7, 1])
        // Characters count, not bytes.
        #expect(read.tokenizer.encode("\u{e0}\u{e0}\u{e0}\u{e0}", addSpecial: false) == [5, 7, 7, 7])
    }

    @Test func caseAndAccentsAreKeptWhereTheFileSaysSo() throws {
        #expect(try read(#""lowercase": true"#, #""lowercase": false"#).tokenizer.encode("A a", addSpecial: false) == [1, 5])
        #expect(try read(#""strip_accents": null"#, #""strip_accents": false"#).tokenizer.encode("\u{e0} a", addSpecial: false) == [1, 5])
    }

    @Test(arguments: [
        (#""type": "BertNormalizer""#, #""type": "NFKC""#, "normalizer"), (#""clean_text": true"#, #""clean_text": false"#, "clean_text"),
        (#""handle_chinese_chars": true"#, #""handle_chinese_chars": false"#, "handle_chinese_chars"),
        (#""type": "BertPreTokenizer""#, #""type": "ByteLevel""#, "pre_tokenizer"), (#""type": "BertProcessing""#, #""type": "Sequence""#, "post_processor"),
        (#""unk_token""#, #""unk""#, "unk_token"), (#""unk_token": "[UNK]""#, #""unk_token": "[NO]""#, "[NO]"),
        (#""type": "WordPiece","#, #""type": "BPE","#, "model"), (###""continuing_subword_prefix": "##","###, #""continuing_subword_prefix": "","#, "prefix"),
        (#""cat": 9"#, #""cat": 8"#, "vocab"), (#""cat": 9"#, #""cat": "x""#, "vocab"), (#""cat": 9"#, #""cat": 99999999999"#, "vocab"),
        (#""single_word": false"#, #""single_word": true"#, "single_word"), (#""content": "[MASK]""#, #""content": "[X]""#, "added_tokens.4"),
        (#""max_length": 20"#, #""max_length": 2"#, "max_length"), (#""stride": 0"#, #""direction": "Left""#, "Left"), (#""model""#, #""models""#, "model"),
    ]) func whatIsNotReadIsNamed(old: String, new: String, place: String) throws {
        let error = #expect(throws: SwiftletError.self) { try read(old, new) }
        #expect(error?.description.contains("tokenizer.json") == true && error?.description.contains(place) == true, "\(error?.description ?? "")")
    }

    @Test func textThatIsNoJSONIsRefused() throws {
        for text in ["", "[]", "{", "null", String(json.prefix(json.count / 2))] {
            #expect(throws: SwiftletError.self) { try TokenizerJSON(json: Data(text.utf8), name: "tokenizer.json") }
        }
    }
}
