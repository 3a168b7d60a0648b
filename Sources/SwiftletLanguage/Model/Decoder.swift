// The synchronous core of a session: evaluates tokens against a cache of its own and hands out rows of logits.
import SwiftletRuntime

/// Evaluates tokens of one or several sequences. Not thread-safe: it belongs to one session, benchmark or evaluation.
package final class Decoder {
    package let model: LanguageModel
    /// Positions each sequence has room for.
    package let context: Int
    /// Sequences side by side in the cache.
    package let slots: Int
    private let execution: ExecutionContext
    /// Steps planned so far, the latest used first, with the addresses of their inputs and outputs.
    private var steps: [PlannedStep] = []
    /// Of the arena the steps lie in.
    private var arenaGeneration = 0

    /// Steps remembered at once: decoding alternates between a few widths; prompts of many lengths push each other out.
    private static let rememberedSteps = 16

    /// Tokens evaluated at once: enough rows to use a packed panel many times, few enough that activations stay in cache.
    package static let batch = 512

    /// Allocates the cache. Throws when `context` exceeds what the model was loaded for, or memory does not suffice.
    package init(model: LanguageModel, context: Int, slots: Int = 1) throws {
        guard context > 0, context <= model.context else {
            throw SwiftletError.invalidArgument(
                name: "context", reason: "\(context) tokens; the model has room for 1 to \(model.context)",
                remedy: "Choose a context in that range.")
        }
        guard slots > 0 else {
            throw SwiftletError.invalidArgument(name: "slots", reason: "\(slots) is not positive", remedy: "Give at least one.")
        }
        self.model = model
        self.context = context
        self.slots = slots
        execution = try ExecutionContext(model.compiled, stateBinding: [LanguageGraph.slots: slots, LanguageGraph.context: context])
    }

    /// Bytes of the cache and of working memory.
    package var cacheBytes: Int { execution.stateBytes }
    package var workspaceBytes: Int { execution.arenaBytes }

    /// Which of the given tokens the caller wants logits for.
    package enum LogitRows {
        case none
        case last
        /// Indices into the tokens given.
        case range(Range<Int>)
    }

    /// Rows of logits and of the last hidden state, valid until the next call. They keep the decoder's memory, so they outlive the decoder,
    /// but a pointer taken from them does not outlive both.
    package struct Rows {
        private let owner: Decoder
        package let count: Int
        package let vocabularyCount: Int
        fileprivate let logits: UnsafeMutableBufferPointer<Float>
        fileprivate let hidden: UnsafeMutableBufferPointer<Float>

        fileprivate init(
            _ owner: Decoder, count: Int, logits: UnsafeMutableBufferPointer<Float>, hidden: UnsafeMutableBufferPointer<Float>
        ) {
            self.owner = owner
            self.count = count
            vocabularyCount = owner.model.vocabularyCount
            self.logits = logits
            self.hidden = hidden
        }

        package subscript(row: Int) -> UnsafeMutableBufferPointer<Float> {
            UnsafeMutableBufferPointer(rebasing: logits[row * vocabularyCount..<(row + 1) * vocabularyCount])
        }

        /// The hidden state after the last norm, `[width]`.
        package func hidden(row: Int) -> UnsafeBufferPointer<Float> {
            let width = count == 0 ? 0 : hidden.count / count
            return UnsafeBufferPointer(rebasing: hidden[row * width..<(row + 1) * width])
        }
    }

    /// Evaluates `tokens` at consecutive positions from `position` on, in the sequence `slot`.
    ///
    /// `best`, here and below: how many of the largest logits of each row are wanted, 0 for all. The others may be any numbers below these, and cost less.
    ///
    /// Long inputs go in batches; rows asked for must then lie in the last batch or `evaluate` is to be called per range: a range that
    /// spans batches throws. Throws `SwiftletError.contextOverflow` when the tokens do not fit, and `CancellationError` between batches when
    /// the current task was cancelled.
    @discardableResult
    package func evaluate(_ tokens: [Int32], at position: Int, slot: Int = 0, logits: LogitRows = .last, best: Int = 0) throws -> Rows {
        guard position + tokens.count <= context else {
            throw SwiftletError.contextOverflow(
                needed: position + tokens.count, available: context, excess: position + tokens.count - context)
        }
        let wanted: Range<Int> =
            switch logits {
            case .none: tokens.count..<tokens.count
            case .last: max(0, tokens.count - 1)..<tokens.count
            case .range(let range): range
            }
        var start = 0
        while tokens.count - start > Self.batch, start + Self.batch <= wanted.lowerBound {
            try Task.checkCancellation()
            try step(count: Self.batch, outputs: 0, best: 0) { index in
                (tokens[start + index], position + start + index, slot)
            } outputRow: { _ in
                0
            }
            start += Self.batch
        }
        guard wanted.lowerBound >= start, wanted.upperBound <= tokens.count, tokens.count - start <= 2 * Self.batch else {
            throw SwiftletError.invalidArgument(
                name: "logits", reason: "rows \(wanted) of \(tokens.count) tokens span several batches",
                remedy: "Ask for rows of one batch at a time.")
        }
        let (first, offset) = (start, wanted.lowerBound - start)
        return try step(count: tokens.count - start, outputs: wanted.count, best: best) { index in
            (tokens[first + index], position + first + index, slot)
        } outputRow: {
            offset + $0
        }
    }

    /// One token for each of several sequences: `(token, position, slot)`; a row of logits for each.
    package func evaluate(_ batch: [(token: Int32, position: Int, slot: Int)], best: Int = 0) throws -> Rows {
        let step = try planned(count: batch.count, outputs: batch.count)
        for (index, next) in batch.enumerated() { step.set(index, next.token, next.position, next.slot) }
        for index in batch.indices { step.outputRows[index] = Int32(truncatingIfNeeded: index) }
        return try run(step, best: best)
    }

    /// One token of the sequence `slot`, and its logits: the step of the plain loop, which allocates nothing once it is planned.
    package func evaluate(token: Int32, at position: Int, slot: Int = 0, best: Int = 0) throws -> Rows {
        let step = try planned(count: 1, outputs: 1)
        step.set(0, token, position, slot)
        step.outputRows[0] = 0
        return try run(step, best: best)
    }

    /// `token` and the tokens of `draft` after it at consecutive positions, with a row of logits for each. Like `evaluate(token:at:)` it allocates nothing.
    package func evaluate(token: Int32, draft: UnsafeBufferPointer<Int32>, at position: Int, slot: Int = 0, best: Int = 0) throws -> Rows {
        let step = try planned(count: 1 + draft.count, outputs: 1 + draft.count)
        step.set(0, token, position, slot)
        for index in draft.indices { step.set(1 + index, draft[index], position + 1 + index, slot) }
        for index in 0...draft.count { step.outputRows[index] = Int32(truncatingIfNeeded: index) }
        return try run(step, best: best)
    }

    @discardableResult
    private func step(
        count: Int, outputs: Int, best: Int, _ token: (Int) -> (token: Int32, position: Int, slot: Int), outputRow: (Int) -> Int
    ) throws -> Rows {
        let step = try planned(count: count, outputs: outputs)
        for index in 0..<count {
            let next = token(index)
            step.set(index, next.token, next.position, next.slot)
        }
        for index in 0..<outputs { step.outputRows[index] = Int32(truncatingIfNeeded: outputRow(index)) }
        return try run(step, best: best)
    }

    private func run(_ step: PlannedStep, best: Int) throws -> Rows {
        step.best.pointee = Int32(clamping: max(0, best))
        try step.plan.run()
        return Rows(self, count: step.outputs, logits: step.logits, hidden: step.hidden)
    }

    // MARK: Planned steps

    /// A step of `count` tokens with `outputs` rows of logits, every address known.
    private struct PlannedStep {
        let count: Int
        let outputs: Int
        let plan: BoundGraph
        let tokens, positions, slots, outputRows, best: UnsafeMutablePointer<Int32>
        let logits, hidden: UnsafeMutableBufferPointer<Float>

        @inline(__always)
        func set(_ index: Int, _ token: Int32, _ position: Int, _ slot: Int) {
            tokens[index] = token
            positions[index] = Int32(truncatingIfNeeded: position)
            slots[index] = Int32(truncatingIfNeeded: slot)
        }
    }

    private func planned(count: Int, outputs: Int) throws -> PlannedStep {
        if let index = steps.firstIndex(where: { $0.count == count && $0.outputs == outputs }) {
            if index != 0 { steps.swapAt(0, index) }
            return steps[0]
        }
        let plan = try execution.plan([LanguageGraph.tokens: count, LanguageGraph.outputs: outputs])
        if arenaGeneration != execution.arenaGeneration {
            // The arena has grown: what was planned in the old one would keep it.
            steps.removeAll()
            arenaGeneration = execution.arenaGeneration
        }
        func indices(_ value: ValueID) throws -> UnsafeMutablePointer<Int32> {
            let elements = try plan.elements(of: value, as: Int32.self)
            guard let base = elements.baseAddress else {
                throw SwiftletError.invalidGraph(node: "\(value)", reason: "an input has no memory", remedy: "Report this with the model's name.")
            }
            return base
        }
        let io = model.io
        steps.insert(
            PlannedStep(
                count: count, outputs: outputs, plan: plan, tokens: try indices(io.tokens), positions: try indices(io.positions),
                slots: try indices(io.slots), outputRows: try indices(io.outputs), best: try indices(io.best), logits: try plan.elements(of: io.logits, as: Float.self),
                hidden: try plan.elements(of: io.hidden, as: Float.self)), at: 0)
        if steps.count > Self.rememberedSteps { steps.removeLast() }
        return steps[0]
    }
}
