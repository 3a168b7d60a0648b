// One pass over a row of logits that spares sampling the others: the largest logit of each block of 128.
//
// The vector kernels make this pass about as fast as the row can be read. Afterwards the best token is in the block with the largest maximum, and the
// k best are in blocks whose maximum is among the k largest (those k maxima alone are k logits as large), so what follows looks at few blocks.
import SwiftletRuntime

/// The maxima of a row's blocks. Reusable; keeps its memory.
struct LogitBlocks {
    static let blockLength = 128

    private let reductions: RowReductions
    private var maxima: [Float]
    private var heap: [Float] = []

    /// Throws `SwiftletError.unsupported` for an incomplete build.
    init(vocabularyCount: Int) throws {
        reductions = try RowReductions()
        maxima = Array(repeating: 0, count: Self.blockCount(vocabularyCount))
    }

    /// Blocks of a vocabulary.
    static func blockCount(_ vocabularyCount: Int) -> Int { (max(vocabularyCount, 0) + blockLength - 1) / blockLength }

    /// The tokens of a block of a vocabulary of `count` tokens.
    @inline(__always)
    static func range(_ block: Int, _ count: Int) -> Range<Int> { block * blockLength..<min((block + 1) * blockLength, count) }

    /// The largest logit of a block of the row read last.
    @inline(__always)
    func largest(of block: Int) -> Float { maxima[block] }

    /// Replaces `candidates` by the largest logits of the blocks, where they are at least `threshold`; the tokens are the numbers of the blocks.
    func candidates(into candidates: inout CandidateHeap, atLeast threshold: Float) {
        candidates.removeAll()
        for block in maxima.indices where maxima[block] >= threshold {
            candidates.append(Candidate(rank: maxima[block], logit: maxima[block], token: Int32(truncatingIfNeeded: block)))
        }
    }

    /// Reads a row as long as the vocabulary. Returns the token with the largest logit, the first of equals; nil when a logit is NaN, when the largest is
    /// infinite, or when there is none.
    mutating func read(_ row: UnsafeBufferPointer<Float>) -> Int? {
        guard !row.isEmpty else { return nil }
        var (best, bestBlock, isNumber) = (-Float.infinity, 0, true)
        for block in maxima.indices {
            let part = UnsafeBufferPointer(rebasing: row[Self.range(block, row.count)])
            let largest = reductions.max(part)
            // A sum is NaN exactly when a number is, or when infinities of both signs meet, which is an error all the same.
            if reductions.sum(part).isNaN { isNumber = false }
            maxima[block] = largest
            if largest > best { (best, bestBlock) = (largest, block) }
        }
        guard isNumber, best.isFinite else { return nil }
        return Self.range(bestBlock, row.count).first { row[$0] == best }
    }

    /// A number that at least `k` logits of the row read last reach (when it has so many above −∞), as large as the maxima can show.
    mutating func threshold(forBest k: Int) -> Float {
        guard k > 0, k < maxima.count else { return -.infinity }
        if heap.count < k { heap = Array(repeating: 0, count: k) }
        return maxima.withUnsafeBufferPointer { maxima in
            heap.withUnsafeMutableBufferPointer { heap in
                guard let numbers = maxima.baseAddress, let room = heap.baseAddress else { return -.infinity }
                return LargestNumbers.kth(k, of: numbers, count: maxima.count, heap: room)
            }
        }
    }

    /// Calls `body` for each token whose logit is at least `threshold` and above −∞, in order.
    @inline(__always)
    func forEach(_ row: UnsafeBufferPointer<Float>, atLeast threshold: Float, _ body: (Int32, Float) -> Void) {
        for block in maxima.indices where maxima[block] >= threshold && maxima[block] > -.infinity {
            for token in Self.range(block, row.count) where row[token] >= threshold && row[token] > -.infinity {
                body(Int32(truncatingIfNeeded: token), row[token])
            }
        }
    }
}
