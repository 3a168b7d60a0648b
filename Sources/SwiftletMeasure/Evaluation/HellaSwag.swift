// HellaSwag: which of four endings continues a context? By the procedure of llama.cpp's perplexity tool (acc_norm).
//
// Zellers and others, "HellaSwag: Can a Machine Really Finish Your Sentence?", 2019. The file has six lines a task: the context, the
// index of the right ending, four endings. "context ending" is tokenised as one text, four times. What all four have in common is
// evaluated once; an ending's score is the mean of ln p over its other tokens, and the ending with the largest score is the answer.
import Foundation
import SwiftletLanguage
import SwiftletRuntime
import SwiftletTensor

/// Measures how often a model finds the right ending.
public struct HellaSwag: Sendable {
    /// One question.
    public struct Task: Sendable, Equatable {
        public var context: String
        public var endings: [String]
        /// The index of the right ending.
        public var right: Int

        public init(context: String, endings: [String], right: Int) {
            self.context = context
            self.endings = endings
            self.right = right
        }
    }

    public let tasks: [Task]

    /// What was measured.
    public struct Result: Sendable, Codable, Equatable {
        public var tasks: Int
        public var correct: Int
        /// acc_norm: the share of tasks answered right, in percent.
        public var accuracyPercent: Double
        /// The 95 % confidence interval of the accuracy (Wilson's score interval), in percent.
        public var intervalLowPercent: Double
        public var intervalHighPercent: Double
        public var seconds: Double
    }

    /// The state after one more task.
    public struct Progress: Sendable {
        public let task: Int
        public let tasks: Int
        public let correct: Int
    }

    static let endingCount = 4
    private static let linesPerTask = 2 + endingCount

    public init(tasks: [Task]) { self.tasks = tasks }

    /// Reads the six-line form and keeps the first `limit` tasks (nil: all). `name` is what errors call the text.
    ///
    /// Throws `SwiftletError.syntax` with the line when the number of lines is no multiple of six or an index is not 0 to 3.
    public init(_ text: String, name: String, limit: Int? = nil) throws {
        // "\r\n" is one character of Swift.
        var lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        while let last = lines.last, last.isEmpty { lines.removeLast() }
        guard !lines.isEmpty, lines.count % Self.linesPerTask == 0 else {
            throw SwiftletError.syntax(
                source: name, line: lines.count + 1, column: 1, reason: "\(lines.count) lines are no whole number of tasks",
                remedy: "Each task has six lines: context, index of the right ending, four endings.")
        }
        let count = min(lines.count / Self.linesPerTask, max(limit ?? .max, 0))
        tasks = try (0..<count).map { task in
            let first = task * Self.linesPerTask
            guard let right = Int(lines[first + 1].trimmingCharacters(in: .whitespaces)), (0..<Self.endingCount).contains(right) else {
                throw SwiftletError.syntax(
                    source: name, line: first + 2, column: 1, reason: "'\(lines[first + 1])' is not the index of an ending",
                    remedy: "Write 0, 1, 2 or 3.")
            }
            return Task(context: String(lines[first]), endings: lines[first + 2..<first + Self.linesPerTask].map(String.init), right: right)
        }
    }

    /// Asks the model every task. `progress` is called after each; what it throws ends the measurement.
    ///
    /// Throws `SwiftletError.invalidArgument` when there is no task or a task's endings have no first token in common, and what evaluation throws.
    public func measure(model: LanguageModel, progress: (Progress) throws -> Void = { _ in }) throws -> Result {
        guard !tasks.isEmpty else {
            throw SwiftletError.invalidArgument(name: "tasks", reason: "there are none", remedy: "Give at least one task.")
        }
        let questions = try tasks.enumerated().map { index, task in try Question(task, tokenizer: model.tokenizer, number: index + 1) }
        let longest = questions.reduce(1) { max($0, $1.length) }
        let scorer = try TokenScorer(try Decoder(model: model, context: longest))
        let clock = ContinuousClock()
        let start = clock.now
        var correct = 0
        for (index, question) in questions.enumerated() {
            if try question.answer(scorer) == tasks[index].right { correct += 1 }
            try progress(Progress(task: index + 1, tasks: tasks.count, correct: correct))
        }
        let interval = Self.wilsonInterval(correct: correct, of: tasks.count)
        return Result(
            tasks: tasks.count, correct: correct, accuracyPercent: 100 * Double(correct) / Double(tasks.count),
            intervalLowPercent: 100 * interval.lowerBound, intervalHighPercent: 100 * interval.upperBound,
            seconds: (clock.now - start) / .seconds(1))
    }

    /// The interval that holds the true share with 95 % confidence. Wilson, "Probable Inference", 1927.
    package static func wilsonInterval(correct: Int, of count: Int) -> ClosedRange<Double> {
        let (n, share, z) = (Double(count), Double(correct) / Double(count), 1.959963984540054)
        let middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        let half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
        return max(0, middle - half)...min(1, middle + half)
    }
}

/// A task as tokens.
private struct Question {
    /// What the four texts have in common.
    let prefix: [Int32]
    /// What they do not: at least one token each.
    let endings: [[Int32]]

    var length: Int { prefix.count + (endings.map(\.count).max() ?? 0) }

    init(_ task: HellaSwag.Task, tokenizer: Tokenizer, number: Int) throws {
        let texts = task.endings.map { tokenizer.encode(task.context + " " + $0) }
        let shortest = texts.map(\.count).min() ?? 0
        // An ending that is the start of another one keeps its last token to be scored.
        var common = 0
        while common + 1 < shortest, let first = texts.first, texts.allSatisfy({ $0[common] == first[common] }) { common += 1 }
        guard let first = texts.first, common > 0 else {
            throw SwiftletError.invalidArgument(
                name: "tasks", reason: "the texts of task \(number) have no first token in common", remedy: "Give each task a context.")
        }
        prefix = Array(first[..<common])
        endings = texts.map { Array($0[common...]) }
    }

    /// The index of the ending with the largest mean ln p, the first of equals.
    func answer(_ scorer: TokenScorer) throws -> Int {
        let sums = try scorer.sums(of: endings, after: prefix)
        var (best, bestScore) = (0, -Double.infinity)
        for (index, ending) in endings.enumerated() {
            let score = sums[index] / Double(ending.count)
            if score > bestScore { (best, bestScore) = (index, score) }
        }
        return best
    }
}
