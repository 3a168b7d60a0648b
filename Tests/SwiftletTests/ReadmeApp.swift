import Swiftlet

/// Continues a story, token by token.
func tellStory(model name: String = "smollm2-135m") async throws -> String {
    let model = try await LanguageModel.named(name)  // a pulled name, or the path of a GGUF file
    let session = try model.session(context: 256)
    var options = GenerationOptions(maximumTokens: 27)
    options.sampling.temperature = 0
    var story = ""
    for try await piece in session.generate(.text("Once upon a time"), options: options) {
        print(piece.text, terminator: "")
        story += piece.text
    }
    return story
}
