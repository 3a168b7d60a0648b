import Foundation
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime
import Testing

/// A random encoder of two layers, committed with what NumPy computes in double precision.
@Suite struct TinyEncoderTests {
    private func encoder(_ options: EncoderOptions = EncoderOptions(threads: 1)) throws -> TextEncoder {
        try TextEncoder(path: EncoderFixtures.tiny, options: options)
    }

    @Test(arguments: [1, 2]) func vectorsAreThoseOfNumPy(threads: Int) throws {
        let expected = try EncoderFixtures.expected("tiny.json")
        let encoder = try encoder(EncoderOptions(threads: threads))
        #expect(expected.texts.map(encoder.tokens) == expected.ids)
        let vectors = try encoder.embed(expected.texts)
        for (vector, row) in zip(vectors, expected.rows) { #expect(EncoderFixtures.largestError(vector, row) < 1e-5) }
        #expect(vectors.count == expected.rows.count && encoder.dimensions == 16)
    }

    @Test func everyInstructionSetAndTheReferenceAgree() throws {
        let expected = try EncoderFixtures.expected("tiny.json")
        for isa in InstructionSet.available {
            let vectors = try encoder(EncoderOptions(threads: 2, instructionSet: isa)).embed(expected.texts)
            for (vector, row) in zip(vectors, expected.rows) { #expect(EncoderFixtures.largestError(vector, row) < 1e-5, "\(isa)") }
        }
        let reference = try TextEncoder(path: EncoderFixtures.tiny, options: EncoderOptions(threads: 1)) { pool, _ in
            BackendSet([ReferenceBackend(pool: pool)])
        }
        for (vector, row) in zip(try reference.embed(expected.texts), expected.rows) { #expect(EncoderFixtures.largestError(vector, row) < 1e-5) }
    }

    /// All on the CPU backend.
    @Test func nothingRunsElsewhere() throws {
        let timings = try encoder().profile(tokens: [2, 5, 6, 3])
        #expect(timings.count > 3)
        #expect(Set(timings.map(\.backend)) == ["cpu"])
    }

    /// More texts and tokens than one batch takes, in an order that mixes lengths: each vector is that of the text alone.
    @Test func batchesDoNotChangeVectors() throws {
        let encoder = try encoder()
        let texts = (0..<150).map { index in Array(repeating: ["cat", "dog", "runs", "a"][index % 4], count: index % 19).joined(separator: " ") }
        let together = try encoder.embed(texts)
        #expect(together.count == texts.count)
        for (text, vector) in zip(texts, together) { #expect(try EncoderFixtures.largestError(vector, encoder.embed(text)) < 1e-5) }
        #expect(try encoder.embed([]) == [])
    }

    @Test func threadsShareOneEncoder() async throws {
        let encoder = try encoder(EncoderOptions(threads: 2))
        let texts = ["The cats sleep.", "abba, dog runs!", "a"]
        let alone = try encoder.embed(texts)
        try await withThrowingTaskGroup(of: [[Float]].self) { group in
            for _ in 0..<8 { group.addTask { try encoder.embed(texts) } }
            for try await vectors in group { #expect(vectors == alone) }
        }
    }

    @Test func vectorsHaveLengthOne() throws {
        let vectors = try encoder().embed(["a", "cat dog"])
        for vector in vectors { #expect(abs(TextEncoder.similarity(vector, vector) - 1) < 1e-6) }
    }

    @Test func textsAreCutAtTheLimit() throws {
        let text = Array(repeating: "cat", count: 50).joined(separator: " ")
        #expect(try encoder().tokens(of: text).count == 20)  // tokenizer.json
        #expect(try encoder(EncoderOptions(threads: 1, maximumTokens: 5)).tokens(of: text) == [2, 9, 9, 9, 3])
        #expect(try encoder(EncoderOptions(threads: 1, maximumTokens: 1000)).tokens(of: text).count == 24)  // positions
        #expect(throws: SwiftletError.self) { try encoder(EncoderOptions(threads: 1, maximumTokens: 2)) }
        #expect(throws: SwiftletError.self) { try encoder().embed(tokens: [[2, 3], []]) }
        #expect(throws: SwiftletError.self) { try encoder().embed(tokens: [Array(repeating: 2, count: 21)]) }
        #expect(throws: SwiftletError.self) { try encoder().embed(tokens: [[2, 99, 3]]) }
        try EncoderFixtures.withCopy({ try Data(#"{"max_seq_length": 7}"#.utf8).write(to: $0.appending(path: "sentence_bert_config.json")) }) { folder in
            let cut = try TextEncoder(path: folder, options: EncoderOptions(threads: 1)).tokens(of: text)
            #expect(cut.count == 7)
        }
    }

    @Test func theFirstTokenIsPooledWhereTheFilesSaySo() throws {
        func pooled(_ json: String, _ body: (String) throws -> Void) throws {
            try EncoderFixtures.withCopy({ folder in
                try FileManager.default.createDirectory(at: folder.appending(path: "1_Pooling"), withIntermediateDirectories: true)
                try Data(json.utf8).write(to: folder.appending(path: "1_Pooling/config.json"))
            }, body)
        }
        let mean = try encoder().embed("cat dog")
        try pooled(#"{"word_embedding_dimension": 16, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#) {
            let first = try TextEncoder(path: $0).embed("cat dog")
            #expect(EncoderFixtures.largestError(first, mean) > 0.01)
        }
        try pooled(#"{"pooling_mode_mean_tokens": true}"#) { folder in
            let same = try TextEncoder(path: folder).embed("cat dog")
            #expect(same == mean)
        }
        try pooled(#"{"pooling_mode_max_tokens": true}"#) { folder in
            let error = #expect(throws: SwiftletError.self) { try TextEncoder(path: folder) }
            #expect(error?.description.contains("pooling_mode_max_tokens") == true)
        }
    }

    @Test(arguments: [
        (#""hidden_act": "gelu""#, #""hidden_act": "mish""#, "mish"), (#""model_type": "bert""#, #""model_type": "mpnet""#, "mpnet"),
        (#""num_attention_heads": 2"#, #""num_attention_heads": 3"#, "3 heads"), (#""num_hidden_layers": 2"#, #""num_hidden_layers": 3"#, "layer.2"),
        (#""hidden_size": 16"#, #""hidden_size": -16"#, "hidden_size"), (#""hidden_size": 16"#, #""hidden_size": 32"#, "shape"),
        (#""vocab_size": 20"#, #""vocab_size": 19"#, "vocabulary"), (#""vocab_size": 20"#, #""vocab_size": "many""#, "vocab_size"),
        (#""layer_norm_eps": 1e-12"#, #""layer_norm_eps": -1"#, "layer_norm_eps"), (#""hidden_size": 16"#, #""hidden": 16"#, "hidden_size"),
        (#""position_embedding_type": "absolute""#, #""position_embedding_type": "relative_key""#, "relative_key"), ("{", "[", "JSON"),
        (#""hidden_size": 16"#, #""hidden_size": 1e300"#, "config.json"),
    ]) func wrongConfigurationsAreRefused(old: String, new: String, place: String) throws {
        try EncoderFixtures.withCopy({ try EncoderFixtures.replace(old, new, in: $0.appending(path: "config.json")) }) { folder in
            let error = #expect(throws: SwiftletError.self) { try TextEncoder(path: folder, options: EncoderOptions(threads: 1)) }
            #expect(error?.description.contains(place) == true, "\(error?.description ?? "")")
        }
    }

    @Test(arguments: ["config.json", "tokenizer.json", "model.safetensors"]) func missingFilesAreNamed(file: String) throws {
        try EncoderFixtures.withCopy({ try FileManager.default.removeItem(at: $0.appending(path: file)) }) { folder in
            let error = #expect(throws: SwiftletError.self) { try TextEncoder(path: folder, options: EncoderOptions(threads: 1)) }
            #expect(error?.description.contains(file) == true)
        }
    }
}

/// all-MiniLM-L6-v2 beside NumPy in double precision.
@Suite(.enabled(if: EncoderFixtures.miniLM != nil, "needs the model: swiftlet pull minilm")) struct MiniLMTests {
    @Test(arguments: [1, 2]) func sentencesHaveTheVectorsOfNumPy(threads: Int) throws {
        let expected = try EncoderFixtures.expected("minilm.json")
        let sentences = try #require(expected.sentences)
        let encoder = try TextEncoder(path: try #require(EncoderFixtures.miniLM), options: EncoderOptions(threads: threads))
        #expect(encoder.dimensions == 384 && encoder.maximumTokens == 256 && sentences.count >= 50)
        let vectors = try encoder.embed(sentences)
        for (sentence, (vector, row)) in zip(sentences, zip(vectors, expected.rows)) {
            #expect(EncoderFixtures.cosine(vector, row) > 0.999999, "\(sentence)")
            #expect(EncoderFixtures.largestError(vector, row) < 1e-5, "\(sentence)")
        }
        // The first two say the same, the third something else.
        #expect(TextEncoder.similarity(vectors[0], vectors[1]) > 0.5 && TextEncoder.similarity(vectors[0], vectors[2]) < 0.2)
    }

    @Test func nothingRunsElsewhere() throws {
        let encoder = try TextEncoder(path: try #require(EncoderFixtures.miniLM), options: EncoderOptions(threads: 1))
        #expect(try Set(encoder.profile(tokens: encoder.tokens(of: "A cat.")).map(\.backend)) == ["cpu"])
    }

    /// Accents, Chinese, emoji, controls, long words: the ids of the `tokenizers` package.
    @Test func idsAreThoseOfTokenizers() throws {
        let expected = try EncoderFixtures.expected("minilm.json")
        let encoder = try TextEncoder(path: try #require(EncoderFixtures.miniLM), options: EncoderOptions(threads: 1))
        for (text, ids) in zip(expected.texts, expected.ids) where ids.count <= encoder.maximumTokens {
            #expect(encoder.tokens(of: text) == ids, "\(text.debugDescription)")
        }
    }
}
