import Foundation
import SwiftletFormats
import TestSupport
import Testing

/// Commands on a real model of 260,000 parameters.
@Suite(
    .enabled(
        if: CommandRun.binary != nil && SharedData.storiesModel != nil,
        "needs the built command and ../shared/data/models/stories260k-f32.gguf"))
struct ModelCommandTests {
    private let model = SharedData.storiesModel ?? ""
    /// The first words that llama.cpp generates greedily after "Once upon a time".
    private static let continuation = ", there was a little girl named Lily. She loved to play outside in the park."

    private func generate(_ arguments: String..., input: String? = nil) throws -> CommandRun {
        try CommandRun(["generate", "--model", model, "--temperature", "0", "--threads", "1"] + arguments, input: input)
    }

    @Test func generatesTheTextOfLlamaCpp() throws {
        let run = try generate("--prompt", "Once upon a time", "--max-tokens", "40")
        #expect(run.status == 0)
        #expect(run.output.hasPrefix(Self.continuation))
        #expect(run.output.hasSuffix("\n"))
        #expect(run.errors.contains("40 generated"))
    }

    @Test func promptComesFromAFileOrAPipeToo() throws {
        let expected = try generate("--prompt", "Once upon a time", "--max-tokens", "12").output
        #expect(try generate("--max-tokens", "12", input: "Once upon a time\n").output == expected)
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("Once upon a time\n".utf8).write(to: file)
        #expect(try generate("--max-tokens", "12", "--file", file.path).output == expected)
    }

    @Test func jsonHasExactlyThePromisedFields() throws {
        let object = try generate("--prompt", "Once upon a time", "--max-tokens", "20", "--json").object()
        #expect(
            Set(object.keys) == [
                "text", "tokens", "prompt_tokens", "generated_tokens", "load_ms", "prefill_tokens_per_second", "decode_tokens_per_second",
                "peak_resident_bytes", "isa", "threads", "speculation",
            ])
        #expect(object["prompt_tokens"] as? Int == 5)
        #expect(object["generated_tokens"] as? Int == 20)
        #expect((object["tokens"] as? [Int])?.prefix(4) == [432, 383, 286, 261])
        #expect((object["text"] as? String).map { Self.continuation.hasPrefix($0) || $0.hasPrefix(Self.continuation) } == true)
        #expect(object["threads"] as? Int == 1)
        for rate in ["load_ms", "prefill_tokens_per_second", "decode_tokens_per_second", "peak_resident_bytes"] {
            #expect((object[rate] as? Double ?? 0) > 0, "\(rate)")
        }
    }

    /// Guessed or not, by the text or by another model: the same text.
    @Test func speculationChangesNoText() throws {
        let prompt = ["--prompt", "Once upon a time, Tim ran. Once upon a time, Tim", "--max-tokens", "40"]
        let plain = try CommandRun(["generate", "--model", model, "--temperature", "0", "--threads", "1", "--speculate", "none"] + prompt)
        #expect(plain.status == 0)
        for arguments in [["--speculate", "lookup"], ["--draft-model", model]] {
            let run = try CommandRun(["generate", "--model", model, "--temperature", "0", "--threads", "1"] + arguments + prompt)
            #expect(run.output == plain.output)
        }
        let object = try CommandRun(["generate", "--model", model, "--temperature", "0", "--json", "--draft-model", model] + prompt).object()
        let speculation = try #require(object["speculation"] as? [String: Any])
        #expect(
            Set(speculation.keys) == ["drafted_tokens", "accepted_tokens", "verification_steps", "plain_steps", "tokens_per_step", "state"])
        let without = try CommandRun(["generate", "--model", model, "--json", "--speculate", "none"] + prompt).object()
        #expect(without["speculation"] == nil)
        #expect(try CommandRun(["generate", "--model", model, "--speculate", "sometimes"] + prompt).status == 2)
    }

    @Test func logProbabilitiesAreReportedWhenAskedFor() throws {
        let object = try generate("--prompt", "Once upon a time", "--max-tokens", "5", "--json", "--log-probs", "--top-log-probs", "3")
            .object()
        let entries = try #require(object["log_probs"] as? [[String: Any]])
        #expect(entries.count == 5)
        for entry in entries {
            let top = try #require(entry["top"] as? [[String: Any]])
            #expect(top.count == 3)
            // Greedy: the token drawn is the best one.
            #expect(top[0]["token"] as? Int == entry["token"] as? Int)
            #expect(top[0]["log_prob"] as? Double == entry["log_prob"] as? Double)
            #expect((entry["log_prob"] as? Double ?? 1) <= 0)
        }
    }

    @Test func stopTextsEndTheTextAndSeedsRepeatIt() throws {
        let stopped = try generate("--prompt", "Once upon a time", "--max-tokens", "40", "--stop", "Lily")
        #expect(stopped.output == ", there was a little girl named \n")
        #expect(stopped.errors.contains("stop text"))
        func drawn(_ seed: String) throws -> String {
            try CommandRun([
                "generate", "--model", model, "--prompt", "Once", "--max-tokens", "30", "--seed", seed, "--temperature", "1.2", "--top-k",
                "0", "--top-p", "1",
            ]).output
        }
        #expect(try drawn("7") == drawn("7"))
        #expect(try drawn("7") != drawn("8"))
    }

    @Test func aPromptLongerThanTheContextSaysByHowMuch() throws {
        let prompt = String(repeating: "Once upon a time ", count: 20)
        let run = try generate("--prompt", prompt, "--context", "32")
        #expect(run.status == 1)
        #expect(run.errors.contains("too many"))
        #expect(try generate("--prompt", prompt, "--context", "32", "--max-tokens", "4", "--context-shift").status == 0)
    }

    @Test func controlCEndsWithCode130() throws {
        let command = try StartedCommand([
            "generate", "--model", model, "--prompt", "Once", "--max-tokens", "1000000", "--ignore-eos", "--context-shift", "--context",
            "64",
        ])
        #expect(command.waitForOutput())
        command.interrupt()
        #expect(command.wait().status == 130)
    }

    @Test func aModelWithoutATemplateDoesNotChat() throws {
        let run = try CommandRun(["chat", "--model", model], input: "hello\n")
        #expect(run.status == 1)
        #expect(run.errors.contains("chat template"))
    }

    @Test func chatRemembersResetsAndLeaves() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).gguf")
        defer { try? FileManager.default.removeItem(at: file) }
        let stories = try GGUFFile(path: model)
        var writer = GGUFWriter(copying: stories.metadata)
        writer.set(
            "tokenizer.chat_template", .string("{% for m in messages %}{% if not loop.first %} {% endif %}{{ m.content }}{% endfor %}"))
        for tensor in stories.tensors { try writer.add(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store) }
        try writer.write(to: file.path)
        let run = try CommandRun(
            ["chat", "--model", file.path, "--temperature", "0", "--max-tokens", "8", "--verbose", "--threads", "1"],
            input: "Once upon a time\nLily was\n/reset\nOnce upon a time\n/nonsense\n/help\n\n/exit\nnever read\n")
        #expect(run.status == 0)
        let answers = run.output.split(separator: "\n")
        #expect(answers.count == 3)
        #expect(answers.first == answers.last)
        #expect(answers.first?.hasPrefix(", there was a little") == true)
        // The second turn evaluates only what is new; after the reset there is nothing to reuse.
        let figures = run.errors.split(separator: "\n").filter { $0.contains("prompt tokens") }
        #expect(figures.map { $0.contains("cached") } == [false, true, false])
        #expect(run.errors.contains("There is no command /nonsense"))
    }

    @Test func tokenizePrintsPiecesAndTokens() throws {
        let object = try CommandRun(["tokenize", "--model", model, "--text", "Once upon a time", "--json"]).object()
        #expect(object["tokens"] as? [Int] == [1, 403, 407, 261, 378])
        #expect(object["count"] as? Int == 5)
        #expect((object["pieces"] as? [String])?.count == 5)
        let bare = try CommandRun(["tokenize", "--model", model, "--no-bos", "--json"], input: "Once upon a time").object()
        #expect(bare["tokens"] as? [Int] == [403, 407, 261, 378])
        let odd = try CommandRun(["tokenize", "--model", model, "--text", "a\"\\\t\u{1}é\n", "--json"]).object()
        #expect((odd["tokens"] as? [Int])?.isEmpty == false)
        #expect(try CommandRun(["tokenize", "--model", model, "--text", "Once"]).output.hasPrefix("1\t"))
    }

    @Test func inspectShowsMetadataTensorsAndGraph() throws {
        let object = try CommandRun(["inspect", model, "--json"]).object()
        #expect(object["architecture"] as? String == "llama")
        #expect((object["parameters"] as? Int).map { (250_000...310_000).contains($0) } == true)
        #expect((object["cost"] as? [String: Any])?["cache_bytes_per_token"] as? Int == 640)
        #expect((object["tensors"] as? [Any])?.count ?? 0 > 40)
        let text = try CommandRun(["inspect", model]).output
        #expect(text.contains("token_embd.weight"))
        #expect(text.contains("bytes per token"))
        #expect(try CommandRun(["inspect", model, "--graph"]).output.hasPrefix("graph "))
    }

    @Test func benchAndPerplexityPrintTheirFields() throws {
        let bench = try CommandRun([
            "bench", "--model", model, "--prompt-tokens", "16", "--generate-tokens", "4", "--repetitions", "2", "--threads", "1", "--json",
        ]).object()
        for key in [
            "prefill_tokens_per_second", "decode_tokens_per_second", "load_ms", "peak_resident_bytes", "weight_bytes_per_token", "kv_bytes_per_token",
            "read_gb_per_second", "decode_percent_of_read", "decode_percent_of_read_with_kv",
        ] {
            #expect((bench[key] as? Double ?? 0) > 0, "\(key)")
        }
        let text = try #require(SharedData.storiesModel.map { _ in String(repeating: "Lily went to the park. ", count: 60) })
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(text.utf8).write(to: file)
        let run = try CommandRun([
            "perplexity", "--model", model, "--file", file.path, "--context", "64", "--chunks", "2", "--json", "--threads", "1",
        ])
        let perplexity = try run.object()
        #expect((perplexity["perplexity"] as? Double ?? 0) > 1)
        #expect(perplexity["chunks"] as? Int == 2)
        #expect(perplexity["scored_tokens"] as? Int == 62)
        // No terminal: progress comes as plain lines.
        #expect(run.errors.contains("chunk 2 of 2"))
        #expect(!run.errors.contains("\r"))
    }

    @Test func hellaSwagPrintsItsFields() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("Lily went to the\n0\npark to play.\nof the and was.\nred ran was of.\nthe the the.\n".utf8).write(to: file)
        let object = try CommandRun(["eval", "hellaswag", "--model", model, "--file", file.path, "--json", "--threads", "1"]).object()
        #expect(object["tasks"] as? Int == 1)
        #expect(object["accuracy_percent"] as? Double != nil)
    }

    @Test func doctorFindsThisMachine() throws {
        let run = try CommandRun(["doctor", "--json"])
        #expect(run.status == 0)
        #expect(try !run.object().isEmpty)
    }
}
