// What session tests share: a real model of 260,000 parameters, and llama.cpp's greedy continuation of a prompt with it.
import Foundation
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

/// The model `stories260k` (llama, f32, 512 tokens, trained on 512 positions), there on development machines only.
enum Stories {
    static let path = SharedData.storiesModel
    static var isPresent: Bool { path != nil }
    static let note: Comment = "needs ../shared/data/models/stories260k-f32.gguf"
    static let prompt = "Once upon a time"

    /// llama.cpp's continuation; made by Scripts/make_architecture_vectors.py.
    struct Greedy: Decodable {
        let prompt: String
        let promptTokens: [Int32]
        let tokens: [Int32]
        let text: String
    }

    static func greedy() throws -> Greedy {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return try JSONDecoder().decode(Greedy.self, from: Data(contentsOf: folder.appending(path: "Vectors/stories.json")))
    }

    static func model(_ options: ModelOptions = ModelOptions(threads: 1)) throws -> LanguageModel {
        try LanguageModel(path: #require(path), options: options)
    }

    /// Everything a generation hands out.
    static func elements(_ generation: Generation) async throws -> [GeneratedText] {
        var result: [GeneratedText] = []
        for try await element in generation { result.append(element) }
        return result
    }

    static func text(_ elements: [GeneratedText]) -> String { elements.map(\.text).joined() }

    static func tokens(_ elements: [GeneratedText]) -> [Int32] { elements.compactMap { $0.token?.id } }

    /// Greedy options for `count` tokens.
    static func greedy(_ count: Int?, stop: [String] = [], shiftsContext: Bool = false) -> GenerationOptions {
        GenerationOptions(maximumTokens: count, sampling: .greedy, stop: stop, shiftsContext: shiftsContext)
    }

    /// Options that draw from the whole distribution.
    static func drawn(_ count: Int, seed: UInt64?) -> GenerationOptions {
        var sampling = SamplingOptions()
        (sampling.temperature, sampling.topK, sampling.topP, sampling.minP, sampling.seed) = (1, 0, 1, 0, seed)
        return GenerationOptions(maximumTokens: count, sampling: sampling)
    }
}

/// The error `body` throws, when it is one of ours.
func swiftletError<Result>(_ body: () async throws -> Result) async -> SwiftletError? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error as? SwiftletError
    }
}
