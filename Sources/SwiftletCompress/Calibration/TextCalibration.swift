// Text for calibration, split into tokens the way the model itself does.
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime

extension TokenWindows {
    /// Windows of UTF-8 text for `model`, as many and as long as `calibration` says; where the model begins sequences with a token of its own,
    /// each window does.
    ///
    /// Throws `SwiftletError.invalidArgument` when the text is shorter than a window, and what reading the tokenizer throws.
    public init(text: [UInt8], model: GGUFModel, calibration: Recipe.Calibration) throws {
        let tokenizer = try Tokenizer.load(from: model.file)
        let tokens = text.withUnsafeBufferPointer { tokenizer.encode($0, addSpecial: false) }
        try self.init(tokens: tokens, length: calibration.length, count: calibration.windows, first: tokenizer.addsBos ? tokenizer.bos : nil)
    }
}
