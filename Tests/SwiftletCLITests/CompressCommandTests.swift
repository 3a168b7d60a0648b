// Compression from the outside: exit codes, places of errors, files.
import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: CommandRun.binary != nil, "needs the built command")) struct CompressCommandTests {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "compress-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func file(_ name: String, _ text: String) throws -> String {
        let path = folder.appending(path: name).path
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    private var files: Set<String> { Set((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []) }

    @Test func techniquesAreListed() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let run = try CommandRun(["compress", "--techniques"])
        #expect(run.status == 0 && run.output.contains("cast: ") && run.output.contains("format") && run.output.contains("one of f32, f16, bf16 (required)"))
        let json = try CommandRun(["compress", "--techniques", "--json"])
        let list = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]])
        let cast = try #require(list.first { $0["technique"] as? String == "cast" })
        let parameter = try #require((cast["parameters"] as? [[String: Any]])?.first)
        #expect(parameter["name"] as? String == "format" && parameter["choices"] as? [String] == ["f32", "f16", "bf16"] && parameter["required"] as? Bool == true)
    }

    @Test func errorsInRecipesAreShownAtTheirPlace() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let recipe = try file("r.yaml", "name: x\nsteps:\n  - technique: cats\n    format: f16\n")
        let run = try CommandRun(["compress", "model.gguf", "--output", folder.appending(path: "out.gguf").path, "--recipe", recipe])
        #expect(run.status == 1 && run.output.isEmpty && run.errors.hasPrefix("error: \(recipe):3:16: there is no technique 'cats'. Choose one of "))
        #expect(run.errors.contains("cast") && files == ["r.yaml"])
        let budget = try CommandRun(["compress", SharedData.storiesModel ?? "/dev/null", "--output", "o", "--step", "cast format=f16", "--budget", "drop=1%,size=4"])
        #expect(budget.status == 1 && budget.errors.contains("--budget:1:14: '4' is no amount for size"))
        let step = try CommandRun(["compress", "m", "--output", "o", "--step", "cast format=f16", "--step", "cast format=f8"])
        #expect(step.status == 1 && step.errors.contains("--step:2:13: 'format' is 'f8'"))
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"))
    func aModelIsCompressedComparedAndScored() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let model = try #require(SharedData.storiesModel), small = folder.appending(path: "small.gguf").path
        let text = try file("t.txt", String(repeating: "Once upon a time there was a little girl named Lily who loved her big red ball. ", count: 120))
        let recipe = try file("r.yaml", "name: half\ncalibration: {windows: 2, length: 64}\nsteps:\n  - {technique: cast, format: bf16}\n")
        let report = folder.appending(path: "report").path
        let run = try CommandRun([
            "compress", model, "--output", small, "--recipe", recipe, "--calibration", text, "--evaluation-count", "2", "--report", report, "--force", "--threads", "2", "--json",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let object = try run.object()
        #expect(object["recipe"] as? String == "half" && object["is_written"] as? Bool == true && object["threads"] as? Int == 2)
        #expect(files == ["t.txt", "r.yaml", "report", "small.gguf"])
        #expect(Set(try FileManager.default.contentsOfDirectory(atPath: report)) == ["report.json", "report.html"])
        #expect(run.errors.contains("cast") && run.errors.contains("divergence"))

        let compared = try CommandRun(["compare", model, small, "--file", text, "--chunks", "2", "--json"]).object()
        let divergence = try #require(compared["divergence"] as? [String: Any])
        #expect((divergence["mean_divergence"] as? Double ?? 1) < 0.01 && divergence["chunks"] as? Int == 2)
        let table = try CommandRun(["compare", model, small])
        #expect(table.status == 0 && table.output.contains("stories260k-f32.gguf") && table.output.contains("small.gguf") && !table.output.contains("perplexity"))
        let scored = try CommandRun(["eval", "divergence", model, small, "--file", text, "--chunks", "2", "--context", "64"])
        #expect(scored.status == 0 && scored.output.contains("same top token") && scored.errors.contains("2 windows of 64 tokens"))

        // Back to f32: larger, so refused; nothing is written and the exit code says so.
        let large = folder.appending(path: "large.gguf").path
        let refused = try CommandRun(["compress", small, "--output", large, "--step", "cast format=f32"])
        #expect(refused.status == 1 && refused.errors.contains("error: \(large): the result is refused: it is larger than its parent by ") && refused.errors.contains("--force"))
        #expect(!files.contains { $0.hasPrefix("large") })

        let tasks = try file("x.jsonl", "{\"question\": \"Once upon a\", \"choices\": [\"time\", \"of of of\"], \"answer\": \"A\"}\n")
        let choice = try CommandRun(["eval", "choice", "--model", model, "--file", tasks, "--json"]).object()
        #expect(choice["tasks"] as? Int == 1 && choice["correct"] as? Int == 1)
    }

    @Test func anEncoderIsCompressedComparedAndUsed() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let tiny = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "SwiftletLanguageTests/Encoders/Vectors/tiny").path
        let text = try file("texts.txt", "a cat sleeps\nthe kitten naps\none two three\n"), small = folder.appending(path: "small").path
        let options = ["--step", "smoothquant inserts=true", "--step", "int8-dynamic", "--calibration", text, "--threads", "1"]
        let refused = try CommandRun(["compress", tiny, "--output", small, "--budget", "drop=0.0000001%"] + options)
        #expect(refused.status == 1 && refused.errors.contains("the result is refused: ") && refused.errors.contains("drop is ") && files == ["texts.txt"])
        let run = try CommandRun(["compress", tiny, "--output", small, "--force", "--json"] + options)
        #expect(run.status == 0, "\(run.errors)")
        let vectors = try #require((try run.object()["comparison"] as? [String: Any])?["vectors"] as? [String: Any])
        #expect(vectors["texts"] as? Int == 3 && (vectors["least_cosine"] as? Double ?? 0) > 0.99 && files == ["texts.txt", "small"])
        #expect(try CommandRun(["embed", "--model", small, "--json", "a cat sleeps"]).object()["dimensions"] as? Int == 16)
        let compared = try CommandRun(["compare", tiny, small, "--file", text, "--samples", "2", "--json"]).object()
        #expect((compared["vectors"] as? [String: Any])?["texts"] as? Int == 2)
        let table = try CommandRun(["compare", tiny, small, "--file", text])
        #expect(table.status == 0 && table.output.contains("cosine of 3") && table.output.contains("a text"))
        let wrong = try CommandRun(["compare", tiny, small, "--images", folder.path])
        #expect(wrong.status == 1 && wrong.errors.contains("is an encoder of texts. Give its data with --file."))
        #expect(try CommandRun(["compare", tiny, text]).status == 1)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"))
    func anInterruptionLeavesNothing() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let text = try file("t.txt", String(repeating: "Once upon a time there was a little girl named Lily who loved her big red ball. ", count: 20000))
        let run = try StartedCommand([
            "compress", try #require(SharedData.storiesModel), "--output", folder.appending(path: "o.gguf").path, "--step", "cast format=bf16", "--evaluation", text,
            "--evaluation-count", "0", "--force",
        ])
        try run.input.close()
        // The candidate is there while it is measured.
        for _ in 0..<6000 where files == ["t.txt"] { Thread.sleep(forTimeInterval: 0.01) }
        #expect(files.contains { $0.hasPrefix("o.gguf.") })
        run.interrupt()
        #expect(run.wait().status == 130)
        #expect(files == ["t.txt"])
    }
}
