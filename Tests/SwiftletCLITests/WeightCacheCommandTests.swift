// Packed weights from the outside: what is written where, what is said, and that the text never depends on it.
import Foundation
import Testing

/// The default model where it was pulled; smaller ones are not kept.
private let pulled: String? = {
    let environment = ProcessInfo.processInfo.environment
    let folder = environment["SWIFTLET_CACHE"] ?? (environment["HOME"] ?? "") + "/.cache/swiftlet"
    let path = folder + "/SmolLM2-135M-Instruct.Q4_1.gguf"
    return FileManager.default.fileExists(atPath: path) ? path : nil
}()

@Suite(.enabled(if: CommandRun.binary != nil && pulled != nil, "needs the built command and the model smollm2-135m: swiftlet pull smollm2-135m"))
struct WeightCacheCommandTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "weight-cache-\(UUID().uuidString)")

    private func arguments(_ more: String...) -> [String] {
        ["generate", "--model", pulled ?? "", "--temperature", "0", "--prompt", "The capital of France is", "--max-tokens", "4"] + more
    }

    private func files() -> [URL] { (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? [] }

    @Test func theTextIsTheSameWhereverTheWeightsComeFrom() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        // Without the cache nothing is written, in the default place either.
        let plain = try CommandRun(arguments("--no-cache"), environment: ["SWIFTLET_CACHE": folder.path])
        #expect(plain.status == 0)
        #expect(files().isEmpty)
        // Two processes at once find nothing and write.
        let both = try (0..<2).map { _ in try StartedCommand(arguments("--weight-cache", folder.path)) }
        for command in both {
            try command.input.close()
            let run = command.wait()
            #expect(run.status == 0)
            #expect(run.output == plain.output)
            #expect(!run.errors.contains("note:"))
        }
        let file = try #require(files().count == 1 ? files()[0] : nil)
        let written = try FileManager.default.attributesOfItem(atPath: file.path)[.modificationDate] as? Date
        let hit = try CommandRun(arguments("--weight-cache", folder.path))
        #expect(hit.output == plain.output)
        #expect(try FileManager.default.attributesOfItem(atPath: file.path)[.modificationDate] as? Date == written)
        // A byte in the middle of the weights goes bad: said, and put right.
        let handle = try FileHandle(forUpdating: file)
        try handle.seek(toOffset: 40_000_000)
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: 40_000_000)
        try handle.write(contentsOf: Data([byte ^ 1]))
        try handle.close()
        let repaired = try CommandRun(arguments("--weight-cache", folder.path))
        #expect(repaired.output == plain.output)
        #expect(repaired.errors.contains("packed and written again"))
        #expect(!(try CommandRun(arguments("--weight-cache", folder.path)).errors.contains("note:")))
        // Shown, then deleted.
        let shown = try CommandRun(["cache", "--weight-cache", folder.path, "--json"]).object()
        #expect((shown["entries"] as? [Any])?.count == 1)
        #expect(try CommandRun(["cache", "--weight-cache", folder.path, "--clear"]).status == 0)
        #expect(files().isEmpty)
    }

    @Test func aFolderThatCannotBeWrittenIsOnlyANote() throws {
        let run = try CommandRun(arguments("--weight-cache", (pulled ?? "") + "/packed"))
        #expect(run.status == 0)
        #expect(run.errors.contains("note: packed weights are not kept"))
    }

    @Test func contradictionsAreUsageErrors() throws {
        #expect(try CommandRun(arguments("--no-cache", "--weight-cache", folder.path)).status == 2)
        #expect(try CommandRun(["cache", "--clear", "--prune"]).status == 2)
    }
}
