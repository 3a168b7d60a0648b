// The options that say whether tokens to come are guessed and checked several at once.
import ArgumentParser
import SwiftletLanguage
import SwiftletModels

struct SpeculationArguments: ParsableArguments {
    enum Source: String, ExpressibleByArgument, CaseIterable {
        case none, lookup
    }

    @Option(help: "Guess tokens from text that repeats itself (lookup), or not at all. Guesses change the speed, not what is generated.")
    var speculate: Source = .lookup

    @Option(help: ArgumentHelp("Let a smaller model with the same vocabulary guess: a GGUF file, or the name of a pulled model.", valueName: "file-or-name"))
    var draftModel: String?

    /// Loads the draft model when there is one, with the options of the model it guesses for.
    func load(_ model: ModelArguments, context: Int?) async throws -> Speculation {
        guard let draftModel else { return speculate == .lookup ? .promptLookup() : .none }
        var draft = model
        draft.model = draftModel
        return .draft(try await draft.load(context: context))
    }
}
