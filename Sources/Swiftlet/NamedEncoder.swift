// Text encoders by name.
import SwiftletLanguage
import SwiftletModels

extension TextEncoder {
    /// Loads the encoder that a folder, a path or a pulled name such as `minilm` stands for.
    ///
    /// Throws `SwiftletError` when nothing has that name (the message lists what has), or the files are not a model this version runs.
    public static func named(_ nameOrPath: String, options: EncoderOptions = EncoderOptions()) async throws -> TextEncoder {
        try await load(ModelCache().resolveFolder(nameOrPath), options: options)
    }
}
