// The examples of the README are ReadmeApp.swift and ReadmeMedia.swift: compiled here, run here, and compared with what the README shows.
import Foundation
import Swiftlet
import Testing

@Suite struct ReadmeExampleTests {
    static let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    static let storyModel = here.appendingPathComponent("../../../shared/data/models/stories260k-f32.gguf").standardized.path

    @Test func readmeShowsTheCompiledExample() throws {
        let readme = try String(contentsOf: Self.here.appendingPathComponent("../../README.md"), encoding: .utf8)
        for file in ["ReadmeApp.swift", "ReadmeMedia.swift"] {
            let example = try String(contentsOf: Self.here.appendingPathComponent(file), encoding: .utf8)
            #expect(readme.contains("```swift\n\(example)```"), "\(file)")
        }
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: storyModel), "needs shared/data/models/stories260k-f32.gguf"))
    func exampleTellsTheStory() async throws {
        let story = try await tellStory(model: Self.storyModel)
        #expect(story == ", there was a little girl named Lily. She loved to play outside in the park.")
    }

    private static let shared = here.appendingPathComponent("../../../shared/data").standardized.path
    private static let classifier = shared + "/models/efficientnet-lite0.onnx"
    private static let picture = shared + "/images/imagenet-500/n01440764_tench.jpg"

    @Test(.enabled(if: FileManager.default.fileExists(atPath: classifier), "needs shared/data/models/efficientnet-lite0.onnx"))
    func exampleSeesTheFish() async throws {
        let predictions = try await nameWhatIsThere(in: Self.picture, model: Self.classifier)
        #expect(predictions.count == 3)
        #expect(predictions[0].index == 0)  // tench
        #expect(predictions[0].probability > 0.8)
    }
}
