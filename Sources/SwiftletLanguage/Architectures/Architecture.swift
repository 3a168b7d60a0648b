// The architectures: each is one file that builds its graph from shared parts. Add one there and list it here.
import SwiftletFormats
import SwiftletRuntime

/// A family of models with one graph.
protocol Architecture: SendableMetatype {
    /// The values of `general.architecture` it serves.
    static var names: [String] { get }

    /// Builds the graph on `parts`, from embedding to logits.
    static func build(_ parts: inout DecoderParts) throws
}

enum Architectures {
    static let all: [any Architecture.Type] = [Llama.self, Qwen2.self, Qwen3.self, Gemma2.self, Gemma3.self, Phi3.self]

    /// The graph of the model in `file`; `cache` is how keys and values are stored.
    static func graph(of file: GGUFFile, hyperparameters: Hyperparameters, cache: WeightFormat) throws -> Graph {
        guard let architecture = all.first(where: { $0.names.contains(hyperparameters.architecture) }) else {
            throw SwiftletError.unsupported(
                file: file.path, place: "general.architecture", reason: "'\(hyperparameters.architecture)' is not supported",
                remedy: "Supported: \(all.flatMap { $0.names }.joined(separator: ", ")).")
        }
        var parts = try DecoderParts(file, hyperparameters, cache: cache)
        try architecture.build(&parts)
        return parts.builder.graph
    }
}

/// Names of the inputs, outputs and sizes every language graph has.
package enum LanguageGraph {
    /// Tokens evaluated at once.
    package static let tokens: Symbol = "tokens"
    /// Rows whose hidden state and logits are asked for.
    package static let outputs: Symbol = "outputs"
    /// Sequences in the cache, and positions of each.
    package static let slots: Symbol = "slots"
    package static let context: Symbol = "context"

    package static let tokenInput = "tokens"
    package static let positionInput = "positions"
    package static let slotInput = "slots"
    package static let outputInput = "outputs"
    /// How many of the largest logits of each row are wanted; 0 for all.
    package static let bestInput = "best"
}
