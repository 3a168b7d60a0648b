// The options of commands that compare models of any kind.
import ArgumentParser
import Foundation
import SwiftletCompress
import SwiftletLanguage
import SwiftletMeasure
import SwiftletModels
import SwiftletNetwork
import SwiftletRuntime

struct ComparisonArguments: ParsableArguments {
    @Option(name: [.short, .long], help: ArgumentHelp("A text for language models, or texts (a line each) for encoders.", valueName: "file"))
    var file: String?

    @Option(help: "Tokens in a window of the text.")
    var context = 512

    @Option(help: "Windows to score, from the start of the text (default: all).")
    var chunks: Int?

    @Option(help: ArgumentHelp("A folder of pictures or .npy files for networks.", valueName: "folder"))
    var images: String?

    @Option(help: ArgumentHelp("The right classes of the pictures: lines of a file name, a comma and a class.", valueName: "file.csv"))
    var truth: String?

    @Option(help: "Samples to take, evenly spread over the folder or the texts (default: all).")
    var samples: Int?

    @Option(help: ArgumentHelp("The shape of an input whose sizes a network leaves open.", valueName: "name=1,3,224,224"))
    var shape: [NamedArgument] = []

    @OptionGroup(title: "Pictures") var image: ImageArguments
    @OptionGroup var machine: MachineArguments

    func validate() throws {
        if context < 4 { throw ValidationError("--context must be at least 4.") }
        if let chunks, chunks < 1 { throw ValidationError("--chunks must be positive.") }
        if let samples, samples < 1 { throw ValidationError("--samples must be positive.") }
        if file != nil, images != nil { throw ValidationError("Give --file for language models and encoders or --images for networks, not both.") }
        if truth != nil, images == nil { throw ValidationError("--truth is of the pictures of --images.") }
    }

    /// Measures both models.
    func compare(_ parent: String, _ model: String, progress: @escaping @Sendable (String, Int, Int) throws -> Void) throws -> ModelComparison {
        let cache = ModelCache()
        let (parent, model) = (try cache.resolveFolder(parent), try cache.resolveFolder(model))
        let kind = try ModelFile.kind(of: parent)
        guard try ModelFile.kind(of: model) == kind else {
            throw SwiftletError.invalidArgument(name: model, reason: "is of another kind than \(parent)", remedy: "Compare two GGUF files, two ONNX files or two encoders.")
        }
        let isa = try InstructionSet.resolve(machine.isa?.rawValue)
        switch kind {
        case .language:
            guard images == nil, shape.isEmpty else { throw wrongData(parent, "a language model", "--file") }
            let text = try file.map { try InputFile.bytes($0) }
            return try LanguageComparison(text: text, context: context, chunks: chunks).measure(
                parent: parent, model: model, options: ModelOptions(threads: machine.threads, instructionSet: isa, usesWeightCache: false), progress: progress)
        case .encoder:
            guard images == nil, shape.isEmpty else { throw wrongData(parent, "an encoder of texts", "--file") }
            let text = try file.map { try InputFile.bytes($0) }
            return try EncoderComparison(text: text, limit: samples).measure(
                parent: parent, model: model, options: EncoderOptions(threads: machine.threads, instructionSet: isa), progress: progress)
        case .network:
            guard file == nil else { throw wrongData(parent, "a network", "--images") }
            let options = NetworkOptions(threads: machine.threads, instructionSet: isa)
            let inputs = try NetworkSamples.inputs(of: ModelFile.network(parent, shapes: Dictionary(shape.map { ($0.name, try $0.sizes("--shape")) }) { $1 }).graph)
            let used = try images.map {
                try NetworkSamples.open($0, inputs: inputs, truth: truth, limit: samples) { try image.card(for: Model(path: parent, options: options)) }
            } ?? NetworkSamples(zerosFor: inputs)
            return try NetworkComparison(count: used.count) { try used.sample($0) }.measure(
                parent: parent, model: model, options: options, comparesOutputs: used.hasMeaning, progress: progress)
        }
    }

    private func wrongData(_ model: String, _ kind: String, _ option: String) -> SwiftletError {
        .invalidArgument(name: model, reason: "is \(kind)", remedy: "Give its data with \(option).")
    }
}
