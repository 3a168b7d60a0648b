// The example of the README is ReadmeApp.swift: compiled here, run here, and compared with what the README shows.
import Foundation
import Swiftlet
import Testing

@Suite struct ReadmeExampleTests {
    static let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    static let storyModel = here.appendingPathComponent("../../../shared/data/models/stories260k-f32.gguf").standardized.path

    @Test func readmeShowsTheCompiledExample() throws {
        let readme = try String(contentsOf: Self.here.appendingPathComponent("../../README.md"), encoding: .utf8)
        let example = try String(contentsOf: Self.here.appendingPathComponent("ReadmeApp.swift"), encoding: .utf8)
        #expect(readme.contains("```swift\n\(example)```"))
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: storyModel), "needs shared/data/models/stories260k-f32.gguf"))
    func exampleTellsTheStory() async throws {
        let story = try await tellStory(model: Self.storyModel)
        #expect(story == ", there was a little girl named Lily. She loved to play outside in the park.")
    }
}
