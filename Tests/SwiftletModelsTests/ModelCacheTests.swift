import Foundation
import SwiftletModels
import SwiftletTensor
import Testing

@Suite struct ModelCacheTests {
    private static func withFolder(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("swiftlet-test-\(UUID().uuidString)", isDirectory: true)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }

    @Test func pathsAndNamesResolve() throws {
        try Self.withFolder { folder in
            let cache = ModelCache(root: folder)
            let file = folder.appendingPathComponent("mine.gguf")
            try Data([1, 2, 3]).write(to: file)
            #expect(try cache.resolve(file.path) == file.path)
            #expect(try cache.resolve("mine") == file.path)
            #expect(try cache.resolve("mine.gguf") == file.path)
            let entry = try #require(try cache.entries().first)
            #expect(entry.name == "mine" && entry.byteCount == 3 && entry.source == nil)
        }
    }

    @Test func whatIsMissingSaysWhatToDo() throws {
        try Self.withFolder { folder in
            let cache = ModelCache(root: folder)
            func message(_ argument: String) -> String {
                do { return try cache.resolve(argument) } catch { return "\(error)" }
            }
            #expect(message("smollm2-135m").contains("swiftlet pull smollm2-135m"))
            #expect(message("smolm").contains("gemma3-270m") && message("smolm").contains("swiftlet pull"))
            #expect(message("/nowhere/a.gguf").contains("/nowhere/a.gguf"))
            #expect(message("https://example.com/a.gguf").contains("swiftlet pull"))
            // A known model's file of the wrong size is not that model.
            try Data([1]).write(to: folder.appendingPathComponent("SmolLM2-135M-Instruct.Q4_1.gguf"))
            #expect(message("smollm2-135m").contains("swiftlet pull smollm2-135m"))
        }
    }

    @Test func anAbsentFolderHoldsNothing() throws {
        #expect(try ModelCache(root: URL(fileURLWithPath: "/nowhere/cache")).entries().isEmpty)
    }

    /// A model of several files is there when all are, and has a folder of its own.
    @Test func aModelOfSeveralFilesNeedsThemAll() throws {
        try Self.withFolder { folder in
            let cache = ModelCache(root: folder)
            let model = try #require(KnownModel.named("minilm"))
            var files = [(model.fileName, model.byteCount)] + model.companions.map { ($0.fileName, $0.byteCount) }
            let last = files.removeLast()
            func make(_ file: (name: String, byteCount: Int)) throws {
                let url = folder.appendingPathComponent(file.name)
                try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                #expect(FileManager.default.createFile(atPath: url.path, contents: nil))
                // Sparse: the size alone counts here.
                #expect(truncate(url.path, off_t(file.byteCount)) == 0)
            }
            for file in files { try make(file) }
            #expect(throws: SwiftletError.self) { try cache.resolve("minilm") }
            #expect(try cache.entries().isEmpty)
            try make(last)
            #expect(try cache.resolve("minilm") == folder.appendingPathComponent(model.fileName).path)
            #expect(try cache.resolveFolder(folder.path) == folder.path)
            #expect(try cache.entries().map(\.name) == ["minilm"])
        }
    }

    @Test func knownModelsAreWellFormed() {
        #expect(Set(KnownModel.all.map(\.name)).count == KnownModel.all.count)
        for model in KnownModel.all {
            #expect(model.sha256.count == 64 && model.sha256.allSatisfy { $0.isHexDigit && !$0.isUppercase })
            #expect(!model.members.isEmpty && model.byteCount > 0 && [".gguf", ".onnx", ".safetensors"].contains { model.fileName.hasSuffix($0) })
            for companion in model.companions {
                #expect(companion.sha256.count == 64 && companion.byteCount > 0)
                // All in the model's own folder.
                #expect(companion.fileName.split(separator: "/").first == model.fileName.split(separator: "/").first)
            }
        }
    }

    /// The models that are in this machine's cache must be the published ones.
    @Test(arguments: KnownModel.all) func pulledModelsAreThePublishedOnes(model: KnownModel) throws {
        let cache = ModelCache()
        guard let path = try? cache.resolve(model.name) else { return }
        #expect(try ModelCache.sha256(of: URL(fileURLWithPath: path)) == model.sha256)
        for companion in model.companions {
            #expect(try ModelCache.sha256(of: cache.root.appendingPathComponent(companion.fileName)) == companion.sha256)
        }
    }
}
