// The example of the README, compiled and run as an app would.
import Foundation
import Swiftlet
import Testing

@Suite struct ReadmeExampleTests {
    static let storyModel = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../../shared/data/models/stories260k-f32.gguf").standardized.path

    @Test(.enabled(if: FileManager.default.fileExists(atPath: storyModel), "needs shared/data/models/stories260k-f32.gguf"))
    func generatesText() async throws {
        var output = ""
        // README: begin
        let model = try await LanguageModel.named(Self.storyModel)
        let session = try model.session(context: 256)
        var options = GenerationOptions(maximumTokens: 27)
        options.sampling.temperature = 0
        for try await piece in session.generate(.text("Once upon a time"), options: options) {
            output += piece.text
        }
        // README: end
        #expect(output == ", there was a little girl named Lily. She loved to play outside in the park.")
    }
}
