import ArgumentParser
import SwiftletFormats
import SwiftletLanguage
import SwiftletModels

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Shows the tokens of a text: one line each, id and piece.",
        discussion: "The text is --text, --file, or what is piped in, byte for byte.")

    @Option(name: [.short, .long], help: ArgumentHelp("A GGUF file, or the name of a pulled model.", valueName: "file-or-name"))
    var model: String

    @Option(name: [.short, .long], help: "The text.")
    var text: String?

    @Option(name: [.short, .long], help: "A file that holds the text.")
    var file: String?

    @Flag(help: "Leave out the tokens the model starts and ends sequences with.")
    var noBos = false

    @Flag(help: "Names of control tokens in the text (<|im_start|>) become those tokens.")
    var parseSpecial = false

    @Flag(help: "Print one JSON object: tokens, pieces, count.")
    var json = false

    func validate() throws { try InputFile.validate(option: text, "--text", file: file) }

    func run() throws {
        let bytes = try text.map { Array($0.utf8) } ?? file.map(InputFile.bytes) ?? InputFile.standardInput()
        let tokenizer = try Tokenizer.load(from: GGUFFile(path: try ModelCache().resolve(model)))
        let tokens = bytes.withUnsafeBufferPointer { tokenizer.encode($0, addSpecial: !noBos, parseSpecial: parseSpecial) }
        Console.write(json ? TokenListing.json(tokens, tokenizer) : TokenListing.lines(tokens, tokenizer))
    }
}
