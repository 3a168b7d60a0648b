// Text for a language model, as windows of tokens that the graph evaluates each from position 0.
import SwiftletLanguage
import SwiftletRuntime

/// Windows of a tokenised text.
public struct TokenWindows: CalibrationData {
    /// `windows[i]` are the tokens of a batch, all windows of one length.
    public let windows: [[Int32]]
    /// Whether logits are asked for at every position, or at none: they are as wide as the vocabulary.
    public let asksForLogits: Bool

    /// Cuts `tokens` into windows of `length`, of which `count` are taken, evenly spread over the text. `first` (a model's token that begins a
    /// sequence) stands in place of each window's first one.
    ///
    /// Throws `SwiftletError.invalidArgument` when the text is shorter than one window or a number is not positive.
    public init(tokens: [Int32], length: Int, count: Int, first: Int32? = nil, asksForLogits: Bool = false) throws {
        guard length > 1, count > 0 else {
            throw SwiftletError.invalidArgument(name: "windows", reason: "\(count) windows of \(length) tokens are none", remedy: "Ask for windows of 2 tokens or more.")
        }
        let available = tokens.count / length
        guard available > 0 else {
            throw SwiftletError.invalidArgument(
                name: "calibration", reason: "\(tokens.count) tokens are less than a window of \(length)", remedy: "Give a longer text or shorter windows.")
        }
        let taken = min(count, available)
        windows = (0..<taken).map { index in
            let start = index * available / taken * length
            var window = Array(tokens[start..<start + length])
            if let first { window[0] = first }
            return window
        }
        self.asksForLogits = asksForLogits
    }

    private init(windows: [[Int32]], asksForLogits: Bool) {
        self.windows = windows
        self.asksForLogits = asksForLogits
    }

    /// The same windows with or without logits.
    public func askingForLogits(_ asks: Bool) -> TokenWindows { TokenWindows(windows: windows, asksForLogits: asks) }

    public func forComparison(limit: Int) -> any CalibrationData {
        TokenWindows(windows: Array(windows.prefix(limit)), asksForLogits: true)
    }

    public var batchCount: Int { windows.count }
    public var stateBinding: Binding { [LanguageGraph.slots: 1, LanguageGraph.context: windows[0].count] }

    public func batch(_ index: Int) throws -> CalibrationBatch {
        let window = windows[index]
        let count = Int32(window.count)
        let rows = asksForLogits ? Array(0..<count) : []
        return CalibrationBatch(
            binding: [LanguageGraph.tokens: window.count, LanguageGraph.outputs: rows.count],
            inputs: [
                LanguageGraph.tokenInput: try Tensor(window, shape: [window.count]),
                LanguageGraph.positionInput: try Tensor(Array(0..<count), shape: [window.count]),
                LanguageGraph.slotInput: try Tensor(zeros: .i32, shape: [window.count]),
                LanguageGraph.outputInput: try Tensor(rows, shape: [rows.count]),
                LanguageGraph.bestInput: try Tensor([Int32(0)], shape: [1]),
            ])
    }
}
