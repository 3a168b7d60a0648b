import Foundation
import TestSupport
import Testing

/// Where the rules of usage and of exit codes are checked: no model is needed.
@Suite(.enabled(if: CommandRun.binary != nil, "needs the built command")) struct UsageTests {
    @Test(arguments: [
        ["generate"], ["generate", "--model", "x", "--prompt", "a", "--file", "b"],
        ["generate", "--model", "x", "--prompt", "a", "--chat", "--raw"],
        ["generate", "--model", "x", "--prompt", "a", "--temperature", "-1"],
        ["generate", "--model", "x", "--prompt", "a", "--top-p", "2"],
        ["generate", "--model", "x", "--prompt", "a", "--max-tokens", "0"], ["generate", "--model", "x", "--prompt", "a", "--stop", ""],
        ["generate", "--model", "x", "--prompt", "a", "--isa", "mmx"], ["generate", "--model", "x", "--prompt", "a", "--kv-type", "f64"],
        ["generate", "--model", "x", "--prompt", "a", "--log-probs"], ["generate", "--model", "x", "--prompt", "a", "--system", "b"],
        ["generate", "--model", "x", "--prompt", "a", "--logit-bias", "5"],
        ["generate", "--model", "x", "--prompt", "a", "--threads", "0"],
        ["generate", "--model", "x", "--prompt", "a", "--context", "0"], ["chat"], ["inspect"], ["inspect", "x", "--graph", "--json"],
        ["tokenize", "--model", "x", "--text", "a", "--file", "b"], ["template", "--template", "x"], ["perplexity", "--model", "x"],
        ["perplexity", "--model", "x", "--file", "y", "--chunks", "0"], ["eval", "hellaswag", "--model", "x"],
        ["bench"], ["bench", "--model", "x", "--repetitions", "0"], ["bench", "model"], ["bench", "kernels", "--filter", "("],
        ["bench", "kernels", "--threads", "0"], ["bench", "kernels", "--shapes", "x", "--model", "y"], ["bench", "--roofline"],
        ["pull"], ["nonsense"], ["generate", "--nonsense"], ["ocr"], ["ocr", "a.png", "b.png", "--draw", "c.png"],
        ["ocr", "a.png", "--min-confidence", "2"],
        ["compress"], ["compress", "x", "--step", "cast format=f16"], ["compress", "x", "--output", "y"],
        ["compress", "x", "--output", "y", "--recipe", "r", "--step", "cast format=f16"], ["compress", "x", "--output", "y", "--step", "a", "--truth", "t"],
        ["compress", "x", "--output", "y", "--step", "a", "--evaluation-count", "-1"], ["compress", "x", "--output", "y", "--step", "a", "--sensitivity"],
        ["compare"], ["compare", "x"], ["compare", "x", "y", "--file", "a", "--images", "b"], ["compare", "x", "y", "--truth", "t"],
        ["eval", "divergence", "x", "y"], ["eval", "divergence", "x", "y", "--file", "a", "--chunks", "0"], ["eval", "choice", "--model", "x"],
        ["eval", "choice", "--model", "x", "--file", "y", "--tasks", "0"], ["eval", "images", "x"],
    ])
    func wrongUsageIsCode2OnStandardError(arguments: [String]) throws {
        let run = try CommandRun(arguments)
        #expect(run.status == 2)
        #expect(run.output.isEmpty)
        #expect(run.errors.contains("Usage:"))
    }

    @Test(arguments: [
        [], ["generate"], ["chat"], ["inspect"], ["tokenize"], ["template"], ["perplexity"], ["eval"], ["eval", "hellaswag"], ["bench"], ["bench", "model"], ["bench", "kernels"],
        ["pull"], ["doctor"], ["ocr"], ["compress"], ["compare"], ["eval", "divergence"], ["eval", "choice"], ["eval", "images"],
    ])
    func helpIsCode0OnStandardOutput(command: [String]) throws {
        let run = try CommandRun(command + ["--help"])
        #expect(run.status == 0)
        #expect(run.output.contains("USAGE: swiftlet"))
        #expect(run.errors.isEmpty)
    }

    @Test(arguments: [
        ["generate", "--model", "/absent.gguf", "--prompt", "a"], ["generate", "--model", "absent-model", "--prompt", "a"],
        ["inspect", "/absent.gguf"],
        ["inspect", "/dev/null"], ["tokenize", "--model", "/absent.gguf", "--text", "a"],
        ["template", "--template", "/absent", "--data", "/absent"],
        ["perplexity", "--model", "/absent.gguf", "--file", "/absent"], ["perplexity", "--model", "/absent.gguf", "--file", "/"],
        ["pull", "no-such-model"], ["bench", "kernels", "--shapes", "/absent"], ["bench", "kernels", "--model", "/absent.gguf"],
        ["compress", "/absent.gguf", "--output", "/tmp/x.gguf", "--step", "cast format=f16"],
        ["compress", "/absent.gguf", "--output", "/tmp/x.gguf", "--recipe", "/absent.yaml"], ["compress", "x", "--output", "y", "--step", "no-technique a=1"],
        ["compress", "/dev/null", "--output", "/tmp/x.gguf", "--step", "cast format=f16"], ["compare", "/absent.gguf", "/absent.gguf"],
        ["eval", "divergence", "/absent.gguf", "/absent.gguf", "--file", "/absent"], ["eval", "choice", "--model", "/absent.gguf", "--file", "/absent"],
        ["eval", "images", "/absent.onnx", "/absent"], ["bench", "--roofline", "/absent/x.svg", "--shapes", "/absent"], ["ocr", "/absent.png", "--detection", "/absent.onnx"],
    ])
    func failuresAreCode1AndOneLine(arguments: [String]) throws {
        let run = try CommandRun(arguments)
        #expect(run.status == 1)
        #expect(run.output.isEmpty)
        #expect(run.errors.hasPrefix("error: "))
        #expect(run.errors.split(separator: "\n").count == 1)
    }

    @Test func inspectShowsAnONNXModel() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).onnx")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(RawONNX.small()).write(to: file)
        let text = try CommandRun(["inspect", file.path]).output
        for line in ["format            onnx", "operator sets     ai.onnx 17", "  x  f32     [N, 3]", "  Relu                    1", "  w  F32"] {
            #expect(text.contains(line), "\(line) in \(text)")
        }
        let object = try CommandRun(["inspect", file.path, "--json"]).object()
        let network = try #require(object["network"] as? [String: Any])
        #expect(Set(network.keys) == ["ir_version", "producer", "operator_sets", "inputs", "outputs", "nodes", "operators", "functions"])
        #expect((network["inputs"] as? [[String: Any]])?.first?["shape"] as? [String] == ["N", "3"])
        #expect(object["parameters"] as? Int == 3 && object["cost"] == nil)
        try Data(RawONNX.small().dropLast(5)).write(to: file)
        let cut = try CommandRun(["inspect", file.path])
        #expect(cut.status == 1 && cut.errors.contains(file.lastPathComponent) && cut.errors.split(separator: "\n").count == 1)
    }

    @Test func benchTimesKernelsAndDrawsThem() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (shapes, page) = (folder.appending(path: "tiny.txt").path, folder.appending(path: "roof.svg").path)
        try Data("linear Q4_1 48 64 1 a\nvector 77 1 w\n".utf8).write(to: URL(fileURLWithPath: shapes))
        let run = try CommandRun(["bench", "kernels", "--shapes", shapes, "--filter", "q4m.*rows=64|vector.*silu_gate", "--json"])
        #expect(run.status == 0)
        let figures = try #require(run.object()["figures"] as? [[String: Any]])
        #expect(figures.contains { $0["kernel"] as? String == "linear_q4m_q8_scalar" && $0["shape"] as? String == "tiny/a/rows=64" })
        #expect(figures.contains { $0["kernel"] as? String == "vector_scalar" && $0["shape"] as? String == "tiny/w/silu_gate/n=77" })
        for figure in figures { #expect((figure["median_nanoseconds"] as? Double ?? 0) > 0) }
        // A roofline is made of kernels, wherever it is asked for.
        let drawn = try CommandRun(["bench", "--roofline", page, "--shapes", shapes, "--filter", "q4m_q8.*rows=1-cached"])
        #expect(drawn.status == 0 && drawn.output.contains("linear_q4m_q8_scalar") && drawn.errors.contains("roof.svg"))
        #expect(try String(contentsOfFile: page, encoding: .utf8).contains("linear_q4m_q8_scalar"))
        let none = try CommandRun(["bench", "kernels", "--shapes", shapes, "--filter", "nothing-has-this-name"])
        #expect(none.status == 1 && none.errors.hasPrefix("error: "))
    }

    @Test func templateIsRenderedByteForByte() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (template, data) = (folder.appending(path: "t.jinja"), folder.appending(path: "d.json"))
        try Data("{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{{ strftime_now('%Y-%m-%d %H:%M') }}".utf8).write(
            to: template)
        try Data(#"{"messages": [{"role": "user", "content": "Grüße"}]}"#.utf8).write(to: data)
        let run = try CommandRun(["template", "--template", template.path, "--data", data.path, "--now", "2025-07-10T12:00:00Z"])
        #expect(run.status == 0)
        #expect(run.output == "<user>Grüße\n2025-07-10 12:00")
        try Data("[1]".utf8).write(to: data)
        #expect(try CommandRun(["template", "--template", template.path, "--data", data.path]).status == 1)
    }
}
