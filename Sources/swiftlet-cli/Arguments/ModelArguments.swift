// The options of every command that runs a model.
import ArgumentParser
import SwiftletLanguage
import SwiftletModels
import SwiftletRuntime

extension InstructionSet: ExpressibleByArgument {}
extension ModelOptions.CacheType: ExpressibleByArgument {}
extension ModelOptions.Activations: ExpressibleByArgument {}

struct ModelArguments: ParsableArguments {
    @Option(name: [.short, .long], help: ArgumentHelp("A GGUF file, or the name of a pulled model.", valueName: "file-or-name"))
    var model: String

    @Option(help: "Threads that compute (default: what `swiftlet doctor --tune` found, otherwise one a physical core).")
    var threads: Int?

    @Option(help: "Highest instruction set to use (default: the best this machine has, or $SWIFTLET_ISA).")
    var isa: InstructionSet?

    @Option(help: "How keys and values are cached.")
    var kvType: ModelOptions.CacheType = .f16

    @Option(help: "How activations of quantised layers are rounded: int8 is faster on prompts, int15 exact to the eye.")
    var activations: ModelOptions.Activations = ModelOptions().activations

    @Flag(name: .customLong("no-cache"), help: "Pack the weights anew, and keep nothing on disk.")
    var skipsCache = false

    @Option(help: ArgumentHelp("Where packed weights are kept (default: packed in ~/.cache/swiftlet, or in $SWIFTLET_CACHE).", valueName: "folder"))
    var weightCache: String?

    func validate() throws {
        if skipsCache, weightCache != nil { throw ValidationError("Give --no-cache or --weight-cache, not both.") }
        if let threads, !(1...512).contains(threads) { throw ValidationError("--threads must be between 1 and 512.") }
    }

    /// Loads the model for sessions of at most `context` tokens (nil: the model's own).
    func load(context: Int? = nil) async throws -> LanguageModel {
        let options = ModelOptions(
            threads: threads, instructionSet: try InstructionSet.resolve(isa?.rawValue), cacheType: kvType, context: context,
            activations: activations, usesWeightCache: !skipsCache, weightCacheFolder: weightCache)
        let model = try await LanguageModel.load(try ModelCache().resolve(model), options: options)
        switch model.weightCache {
        case .unused, .mapped, .written(_, _, damage: nil): break
        case .written(let path, _, .some(let damage)): Console.report("note: \(path): \(damage). The weights were packed and written again.")
        case .failed(_, let reason): Console.report("note: packed weights are not kept: \(reason) Or use --no-cache.")
        }
        // It only makes things faster.
        if case .failure(let error) = model.tuning { Console.report("note: \(error)") }
        return model
    }
}
