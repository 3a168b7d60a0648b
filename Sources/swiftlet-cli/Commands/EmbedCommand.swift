import ArgumentParser
import Foundation
import SwiftletLanguage
import SwiftletModels
import SwiftletRuntime

struct EmbedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "embed", abstract: "Turns texts into vectors: similar texts get similar ones.",
        discussion: """
            The texts are the arguments, the lines of --file, or the lines of what is piped in. Prints a JSON array for each, a line each; --similarity prints \
            a line for each text instead, with its cosine to every text.
            """)

    @Argument(help: ArgumentHelp("The texts.", valueName: "text"))
    var texts: [String] = []

    @Option(name: [.short, .long], help: ArgumentHelp("A folder with config.json, tokenizer.json and model.safetensors, or the name of a pulled model.", valueName: "folder-or-name"))
    var model = "minilm"

    @Option(help: ArgumentHelp("Round the matrices to this format when the model is loaded: q8_0 (cosine above 0.999 on MiniLM), q5_0, q4_0.", valueName: "format"))
    var quantize: String?

    @Option(name: [.short, .long], help: "A file with a text on each line.")
    var file: String?

    @Flag(help: "Print the cosine of every text to every text.")
    var similarity = false

    @Flag(help: "Print one JSON object: model, dimensions, tokens of each text, embeddings, and the similarity when asked for.")
    var json = false

    @Option(help: "Threads that compute (default: one a physical core).")
    var threads: Int?

    @Option(help: "Highest instruction set to use (default: the best this machine has, or $SWIFTLET_ISA).")
    var isa: InstructionSet?

    private struct Report: Encodable {
        let model: String
        let dimensions: Int
        let tokens: [Int]
        let embeddings: [[Float]]
        let similarity: [[Float]]?
    }

    private static func format(_ name: String) -> BlockFormat? { BlockFormat.allCases.first { $0.name.lowercased() == name.lowercased() && $0.hasRounding } }

    func validate() throws {
        if !texts.isEmpty, file != nil { throw ValidationError("Give texts or --file, not both.") }
        if texts.isEmpty, file == nil, Console.readsFromTerminal { throw ValidationError("Give a text or --file, or pipe lines into the command.") }
        if let quantize, Self.format(quantize) == nil {
            throw ValidationError("--quantize takes \(BlockFormat.allCases.filter(\.hasRounding).map { $0.name.lowercased() }.joined(separator: ", ")).")
        }
        if let threads, !(1...512).contains(threads) { throw ValidationError("--threads must be between 1 and 512.") }
    }

    func run() async throws {
        let texts = try texts.isEmpty ? lines(file.map(InputFile.bytes) ?? InputFile.standardInput()) : texts
        let options = EncoderOptions(threads: threads, instructionSet: try InstructionSet.resolve(isa?.rawValue), quantization: quantize.flatMap(Self.format))
        let encoder = try await TextEncoder.load(ModelCache().resolveFolder(model), options: options)
        let tokens = texts.map(encoder.tokens)
        let vectors = try encoder.embed(tokens: tokens)
        let cosines = similarity ? vectors.map { vector in vectors.map { TextEncoder.similarity(vector, $0) } } : nil
        if json {
            return try JSONOutput.print(
                Report(model: model, dimensions: encoder.dimensions, tokens: tokens.map(\.count), embeddings: vectors, similarity: cosines))
        }
        for row in cosines ?? [] { Console.write(row.map { String(format: "%7.4f", $0) }.joined(separator: " ") + "\n") }
        if cosines == nil { for vector in vectors { Console.write("[" + vector.map(\.description).joined(separator: ",") + "]\n") } }
    }

    /// The lines, without their ends; bytes that are no UTF-8 are replaced.
    private func lines(_ bytes: [UInt8]) -> [String] {
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { String(decoding: $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0, as: UTF8.self) }
    }
}
