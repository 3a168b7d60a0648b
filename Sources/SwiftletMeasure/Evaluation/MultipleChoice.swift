// Questions with given answers, in JSON lines: which answer does the model hold for the most probable?
//
//     {"question": "The capital of France is", "choices": ["Paris", "Rome", "Berlin"], "answer": 0}
//
// `context` may stand for `question`; `answer` is the index from 0, the letter, or the text of the right choice. Other keys are left aside.
// The procedure is that of EleutherAI's lm-evaluation-harness (Gao and others, 2021): question and " choice" are tokenised together, the
// question's tokens are evaluated once, and ln p of the rest is summed up. acc takes the choice with the largest sum, acc_norm the one with
// the largest sum a character.
import Foundation
import SwiftletLanguage
import SwiftletTensor

/// Measures how often a model picks the right answer.
public struct MultipleChoice: Sendable {
    /// One question.
    public struct Task: Sendable, Equatable {
        public var question: String
        public var choices: [String]
        /// The index of the right choice.
        public var right: Int

        public init(question: String, choices: [String], right: Int) {
            self.question = question
            self.choices = choices
            self.right = right
        }
    }

    public let tasks: [Task]

    /// What was measured.
    public struct Result: Sendable, Codable, Equatable {
        public var tasks: Int
        public var correct: Int
        public var correctNormalised: Int
        /// acc and acc_norm, in percent.
        public var accuracyPercent: Double
        public var normalisedAccuracyPercent: Double
        /// The 95 % confidence interval of acc_norm (Wilson's score interval), in percent.
        public var intervalLowPercent: Double
        public var intervalHighPercent: Double
        public var seconds: Double
    }

    /// The state after one more task.
    public struct Progress: Sendable {
        public let task: Int
        public let tasks: Int
        public let correctNormalised: Int
    }

    public init(tasks: [Task]) { self.tasks = tasks }

    /// Reads JSON lines and keeps the first `limit` tasks (nil: all). `name` is what errors call the text.
    ///
    /// Throws `SwiftletError.syntax` with the line of what is no task.
    public init(_ text: String, name: String, limit: Int? = nil) throws {
        var tasks: [Task] = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if tasks.count >= limit ?? .max { break }
            if line.allSatisfy(\.isWhitespace) { continue }
            tasks.append(try Task(line: String(line), name: name, number: index + 1))
        }
        self.tasks = tasks
    }

    /// Asks the model every task. `progress` is called after each; what it throws ends the measurement.
    ///
    /// Throws `SwiftletError.invalidArgument` when there is no task or one has nothing to score, and what evaluation throws.
    public func measure(model: LanguageModel, progress: (Progress) throws -> Void = { _ in }) throws -> Result {
        guard !tasks.isEmpty else {
            throw SwiftletError.invalidArgument(name: "tasks", reason: "there are none", remedy: "Give at least one task.")
        }
        let questions = try tasks.enumerated().map { try ChoiceTokens($1, tokenizer: model.tokenizer, number: $0 + 1) }
        let scorer = try TokenScorer(try Decoder(model: model, context: questions.reduce(2) { max($0, $1.length) }))
        let clock = ContinuousClock()
        let start = clock.now
        var (correct, normalised) = (0, 0)
        for (index, question) in questions.enumerated() {
            let task = tasks[index], scores = try scorer.sums(of: question.choices, after: question.question)
            if Self.best(scores) == task.right { correct += 1 }
            // Characters as the harness counts them: Unicode scalars of the choice, without the blank before it.
            let lengths = task.choices.map { max(1, $0.unicodeScalars.count) }
            if Self.best(zip(scores, lengths).map { $0 / Double($1) }) == task.right { normalised += 1 }
            try progress(Progress(task: index + 1, tasks: tasks.count, correctNormalised: normalised))
        }
        let interval = HellaSwag.wilsonInterval(correct: normalised, of: tasks.count)
        return Result(
            tasks: tasks.count, correct: correct, correctNormalised: normalised, accuracyPercent: 100 * Double(correct) / Double(tasks.count),
            normalisedAccuracyPercent: 100 * Double(normalised) / Double(tasks.count), intervalLowPercent: 100 * interval.lowerBound,
            intervalHighPercent: 100 * interval.upperBound, seconds: (clock.now - start) / .seconds(1))
    }

    /// The index of the largest score, the first of equals.
    private static func best(_ scores: [Double]) -> Int { scores.indices.max { (scores[$0], $1) < (scores[$1], $0) } ?? 0 }
}

extension MultipleChoice.Task {
    /// An object on one line.
    fileprivate init(line: String, name: String, number: Int) throws {
        func failure(_ reason: String, _ remedy: String) -> SwiftletError {
            .syntax(source: name, line: number, column: 1, reason: reason, remedy: remedy)
        }
        let example = "Write {\"question\": \"…\", \"choices\": [\"…\", \"…\"], \"answer\": 0} on a line."
        guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else { throw failure("the line is no JSON object", example) }
        guard let question = object["question"] as? String ?? object["context"] as? String else { throw failure("the task has no question", example) }
        guard let choices = object["choices"] as? [String], choices.count >= 2, choices.count <= 26, !choices.contains("") else {
            throw failure("'choices' are not 2 to 26 texts", example)
        }
        let right: Int?
        if let text = object["answer"] as? String {
            let letter = text.utf8.count == 1 ? text.uppercased().utf8.first.map { Int($0) - 65 } : nil
            right = choices.firstIndex(of: text) ?? letter
        } else {
            right = object["answer"] as? Int
        }
        guard let right, choices.indices.contains(right) else {
            throw failure("'answer' names none of the \(choices.count) choices", "Give the index from 0, the letter from A, or the text of the right choice.")
        }
        self.init(question: question, choices: choices, right: right)
    }
}

/// A question as tokens, and what each choice adds.
private struct ChoiceTokens {
    let question: [Int32]
    let choices: [[Int32]]

    var length: Int { question.count + (choices.map(\.count).max() ?? 0) }

    init(_ task: MultipleChoice.Task, tokenizer: Tokenizer, number: Int) throws {
        // Blanks at the end belong to what follows: tokens begin with them.
        let text = task.question.replacing(/\s+$/, with: "")
        let blanks = task.question.dropFirst(text.count)
        let question = tokenizer.encode(text)
        self.question = question
        choices = try task.choices.map { choice in
            let tokens = tokenizer.encode(text + (blanks.isEmpty ? " " : blanks) + choice).dropFirst(question.count)
            guard !tokens.isEmpty, !question.isEmpty else {
                throw SwiftletError.invalidArgument(
                    name: "tasks", reason: "task \(number) has a choice without tokens of its own", remedy: "Give a question and choices that are texts.")
            }
            return Array(tokens)
        }
    }
}
