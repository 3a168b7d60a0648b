// Which rules a model's `tokenizer.ggml.pre` names. The names are llama.cpp's; the rules are those of each model's tokenizer.json.
import SwiftletTensor

/// The pre-tokenizer of a byte-level BPE vocabulary: rules applied one within the other, each to the pieces of the one before.
struct PreTokenizer: Sendable {
    var rules: [PieceRule]
    /// A piece that is a token as it stands is taken whole, whatever the merges would make of it.
    var takesWholePieces = false
    /// Whether the begin-of-sequence token is added when the file does not say.
    var addsBos = false

    /// The rules for a name. Throws `SwiftletError.unsupported`, naming the key, for a name that is not known.
    static func named(_ name: String, source: String) throws -> PreTokenizer {
        switch name {
        case "default":
            return PreTokenizer(rules: [.punctuation(backtick: false), .gpt2, .numbers(maximum: nil), .digitTriples])
        case "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v1-en", "jina-v2-code", "roberta-bpe", "gigachat",
            "a.x-4.0", "mellum", "modern-bert", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling":
            return PreTokenizer(rules: [.gpt2])
        case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2":
            return PreTokenizer(rules: [.numbers(maximum: 1), .gpt2])
        case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano":
            return PreTokenizer(rules: [.words(WordRule())], takesWholePieces: true, addsBos: true)
        case "dbrx", "smaug-bpe", "glm4", "chatglm-bpe":
            return PreTokenizer(rules: [.words(WordRule())])
        case "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2", "bailingmoe",
            "bailingmoe2", "llada-moe":
            return PreTokenizer(rules: [.words(WordRule(maximumDigits: 1))])
        case "qwen35":
            return PreTokenizer(rules: [.words(WordRule(maximumDigits: 1, marksInWords: true))])
        case "seed-coder":
            return PreTokenizer(rules: [.words(WordRule(maximumDigits: 1, newlinesAfterPunctuation: false))])
        case "ufakzeka":
            return PreTokenizer(rules: [.words(WordRule(contractions: false, maximumDigits: 1))])
        case "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2":
            return PreTokenizer(rules: [.casedWords(maximumDigits: 3, contractions: true)])
        case "tekken":
            return PreTokenizer(rules: [.casedWords(maximumDigits: 1, contractions: false)], takesWholePieces: true, addsBos: true)
        case "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4":
            return PreTokenizer(rules: [.numbers(maximum: 3), .ranges(.hanAndKana, spaced: false), .deepSeekWords])
        case "deepseek-coder":
            return PreTokenizer(rules: [
                .newline, .spacedRun(.letters), .spacedRun(.punctuation), .ranges(.wideCJK, spaced: false), .numbers(maximum: 1),
            ])
        case "deepseek-llm":
            return PreTokenizer(rules: [
                .newline, .ranges(.deepSeekLetters, spaced: true), .ranges(.deepSeekPunctuation, spaced: true), .trailingWhitespace,
                .ranges(.wideCJK, spaced: false), .numbers(maximum: nil),
            ])
        case "falcon":
            return PreTokenizer(rules: [.punctuation(backtick: true), .gpt2, .digitTriples])
        case "bloom", "poro-chat", "gpt3-finnish":
            return PreTokenizer(rules: [.bloomWords])
        case "viking":
            return PreTokenizer(rules: [.bloomWords, .numbers(maximum: 1)])
        default:
            throw SwiftletError.unsupported(
                file: source, place: "tokenizer.ggml.pre", reason: "the pre-tokenizer '\(name)' is not known",
                remedy: "Use a model with another tokenizer, or a newer version of Swiftlet.")
        }
    }

    /// Cuts the bytes `start..<end` and hands the pieces to `sink` in order. They are not empty, touch, and cover the whole range.
    @inline(__always)
    func split<Sink: PieceSink>(_ scanner: PieceScanner, from start: Int, to end: Int, into sink: inout Sink) {
        rules.withUnsafeBufferPointer { Self.split(scanner, $0, 0, start, end, &sink) }
    }

    private static func split<Sink: PieceSink>(
        _ scanner: PieceScanner, _ rules: UnsafeBufferPointer<PieceRule>, _ level: Int, _ start: Int, _ end: Int, _ sink: inout Sink
    ) {
        guard level < rules.count else {
            sink.take(from: start, to: end)
            return
        }
        var index = start
        while index < end {
            let stop = scanner.pieceEnd(rules[level], from: index, to: end)
            if level + 1 == rules.count {
                sink.take(from: index, to: stop)
            } else {
                split(scanner, rules, level + 1, index, stop, &sink)
            }
            index = stop
        }
    }
}

/// Receives pieces as byte ranges of the text.
protocol PieceSink {
    mutating func take(from start: Int, to end: Int)
}

extension Tokenizer {
    /// The lengths in bytes of the pieces into which the pre-tokenizer named `name` cuts `text`, for tests and for looking at a tokenizer.
    /// Throws `SwiftletError.unsupported` for a name that is not known.
    package static func pieceLengths(of text: String, preTokenizer name: String) throws -> [Int] {
        struct Lengths: PieceSink {
            var values: [Int] = []
            mutating func take(from start: Int, to end: Int) { values.append(end - start) }
        }
        let pre = try PreTokenizer.named(name, source: "the argument")
        var lengths = Lengths()
        var text = text
        text.withUTF8 { bytes in
            guard let base = bytes.baseAddress else { return }
            pre.split(PieceScanner(base: base), from: 0, to: bytes.count, into: &lengths)
        }
        return lengths.values
    }
}
