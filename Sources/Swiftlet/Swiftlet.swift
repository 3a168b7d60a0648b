// The façade an app imports: language models, and names for models that are fetched once and kept.
@_exported import SwiftletLanguage
import SwiftletModels
@_exported import SwiftletNetwork
import SwiftletRuntime

extension LanguageModel {
    /// Loads the model that a path or a pulled name such as `smollm2-135m` stands for.
    ///
    /// Loading maps the file and packs its weights, away from the caller's executor.
    /// Throws `SwiftletError` when nothing has that name (the message lists what has), or the file is not a model this version runs.
    public static func named(_ nameOrPath: String, options: ModelOptions = ModelOptions()) async throws -> LanguageModel {
        try await load(ModelCache().resolve(nameOrPath), options: options)
    }

    /// Starts an empty session. `context` is its length in tokens; nil for the model's own, at most 4,096.
    public func session(context: Int? = nil) throws -> Session { try Session(self, context: context) }
}
