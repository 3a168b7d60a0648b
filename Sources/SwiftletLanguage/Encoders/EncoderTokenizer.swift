// Texts as the tokens an encoder takes, without its weights: what loading an encoder and calibrating one both need.
import Foundation
import SwiftletRuntime

/// The tokenizer of an encoder, with the tokens that frame a text and the length a text may have.
package struct EncoderTokenizer: Sendable {
    package let tokenizer: Tokenizer
    /// The most tokens of a text, the two that frame it included.
    package let maximumTokens: Int
    private let frame: (first: Int32, last: Int32)

    /// Reads the files of a folder. `maximumTokens` goes before what they say.
    ///
    /// Throws as `TokenizerJSON.init(path:)`, `SwiftletError.malformed` where config.json has a smaller vocabulary, and `.invalidArgument` when no room is
    /// left for text.
    package init(folder: String, configuration: EncoderConfiguration, maximumTokens: Int? = nil) throws {
        let json = try TokenizerJSON(path: folder + "/tokenizer.json")
        guard let first = json.tokenizer.bos, let last = json.tokenizer.special.separator, json.tokenizer.count <= configuration.vocabulary else {
            throw SwiftletError.malformed(
                file: folder + "/tokenizer.json", offset: 0,
                reason: "\(json.tokenizer.count) tokens, but config.json has a vocabulary of \(configuration.vocabulary)",
                remedy: "Take both files from one model.")
        }
        let most = min(configuration.positions, maximumTokens ?? configuration.maximumTokens ?? json.maximumTokens ?? configuration.positions)
        guard most >= 3 else {
            throw SwiftletError.invalidArgument(name: "maximumTokens", reason: "\(most) leaves no room for text", remedy: "Choose 3 or more.")
        }
        tokenizer = json.tokenizer
        self.maximumTokens = most
        frame = (first, last)
    }

    /// As `TextEncoder.tokens(of:)`.
    package func tokens(of text: String) -> [Int32] {
        let inner = tokenizer.encode(text, addSpecial: false, parseSpecial: true)
        return [frame.first] + inner.prefix(maximumTokens - 2) + [frame.last]
    }
}
