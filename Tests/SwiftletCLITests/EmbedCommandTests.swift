import Foundation
import Testing

/// `swiftlet embed` on the random encoder that the language tests have.
@Suite(.enabled(if: CommandRun.binary != nil, "needs the built command")) struct EmbedCommandTests {
    private let model = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "SwiftletLanguageTests/Encoders/Vectors/tiny").path

    private func vectors(_ run: CommandRun) throws -> [[Double]] {
        try run.output.split(separator: "\n").map { try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [Double]) }
    }

    @Test func aVectorALineFromArgumentsFilesAndPipes() throws {
        let run = try CommandRun(["embed", "--model", model, "cat", "a dog"])
        #expect(run.status == 0)
        let found = try vectors(run)
        #expect(found.map(\.count) == [16, 16])
        for vector in found { #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5) }
        #expect(try CommandRun(["embed", "--model", model], input: "cat\r\na dog\n").output == run.output)
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("cat\na dog".utf8).write(to: file)
        #expect(try CommandRun(["embed", "--model", model, "--file", file.path]).output == run.output)
        // The file of the weights stands for its folder.
        #expect(try CommandRun(["embed", "--model", model + "/model.safetensors", "cat", "a dog"]).output == run.output)
    }

    @Test func jsonAndSimilarity() throws {
        let object = try CommandRun(["embed", "--model", model, "--json", "--similarity", "cat", "", "cat"]).object()
        #expect(Set(object.keys) == ["model", "dimensions", "tokens", "embeddings", "similarity"])
        #expect(object["tokens"] as? [Int] == [3, 2, 3] && object["dimensions"] as? Int == 16)
        let cosines = try #require(object["similarity"] as? [[Double]])
        #expect(cosines.map(\.count) == [3, 3, 3])
        #expect(abs(cosines[0][2] - 1) < 1e-5 && abs(cosines[1][1] - 1) < 1e-5 && cosines[0][1] == cosines[1][0] && cosines[0][1] < 0.999)
        let text = try CommandRun(["embed", "--model", model, "--similarity", "cat", "cat"])
        #expect(text.output == " 1.0000  1.0000\n 1.0000  1.0000\n")
        #expect(try CommandRun(["embed", "--model", model, "--json", "cat"]).object()["similarity"] == nil)
    }

    @Test func wrongUsageAndMissingModels() throws {
        #expect(try CommandRun(["embed", "a", "--file", "b"]).status == 2)
        #expect(try CommandRun(["embed", "a", "--threads", "0"]).status == 2)
        #expect(try CommandRun(["bench", "embed", "--repetitions", "0"]).status == 2)
        let absent = try CommandRun(["embed", "a", "--model", "/absent/model.safetensors"])
        #expect(absent.status == 1 && absent.output.isEmpty && absent.errors.hasPrefix("error: /absent"))
        let empty = try CommandRun(["embed", "a"], environment: ["SWIFTLET_CACHE": "/absent"])
        #expect(empty.status == 1 && empty.errors.contains("swiftlet pull minilm"))
    }

    @Test func theBenchmarkReportsEveryLength() throws {
        let object = try CommandRun(["bench", "embed", "--model", model, "--tokens", "3", "17", "--repetitions", "2", "--batch", "3", "--json"]).object()
        let lengths = try #require(object["lengths"] as? [[String: Any]])
        #expect(lengths.map { $0["tokens"] as? Int } == [3, 17])
        #expect(lengths.allSatisfy { ($0["milliseconds"] as? Double ?? 0) > 0 && ($0["batch_milliseconds_per_text"] as? Double ?? 0) > 0 })
    }
}
