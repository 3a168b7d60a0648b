// The weights of a whole vocabulary under a temperature, in a row of their own: for sampling without top-k, where most tokens stay in play.
//
// A block of the row (those of LogitBlocks) costs a subtraction, the vector kernel's exponentials and a sum; a block without a token in play costs nothing.
// The sums of the blocks stay, so a draw looks at them first and then at the tokens of one block.
import SwiftletRuntime

/// exp((logit − largest) / temperature) by token, 0 for a token that is out. Reusable; keeps its memory.
struct TokenWeights {
    private let reductions: RowReductions
    private var weights: [Float]
    private var blockSums: [Float]
    /// The sum of all weights.
    private(set) var total = 0.0

    /// Throws `SwiftletError.unsupported` for an incomplete build.
    init(vocabularyCount: Int) throws {
        reductions = try RowReductions()
        weights = Array(repeating: 0, count: max(vocabularyCount, 0))
        blockSums = Array(repeating: 0, count: LogitBlocks.blockCount(weights.count))
    }

    subscript(token: Int32) -> Float { weights.indices.contains(Int(token)) ? weights[Int(token)] : 0 }

    var count: Int { weights.count }

    /// Weighs the tokens of `row` that `edge` leaves in, relative to `largest`, the largest logit among them. `blocks` has read the row.
    mutating func weigh(_ row: UnsafeBufferPointer<Float>, largest: Float, temperature: Float, from edge: TokenEdge, _ blocks: LogitBlocks) {
        // Finite, so that the best token's 0 stays 0 under any temperature.
        let factor = min(1 / temperature, Float.greatestFiniteMagnitude)
        let (lowest, count, reductions) = (edge.logit, row.count, reductions)
        var total = 0.0
        weights.withUnsafeMutableBufferPointer { weights in
            blockSums.withUnsafeMutableBufferPointer { sums in
                for block in sums.indices {
                    let tokens = LogitBlocks.range(block, count)
                    let out = UnsafeMutableBufferPointer(rebasing: weights[tokens])
                    guard blocks.largest(of: block) >= lowest else {
                        // Untouched since it was last out.
                        if sums[block] != 0 { out.update(repeating: 0) }
                        sums[block] = 0
                        continue
                    }
                    for (index, token) in tokens.enumerated() {
                        let logit = row[token]
                        out[index] = logit >= lowest ? (logit - largest) * factor : -.infinity
                    }
                    if edge.token < tokens.upperBound - 1 {
                        // Of the tokens that equal the edge those with higher ids are out.
                        for token in max(tokens.lowerBound, edge.token + 1)..<tokens.upperBound where row[token] == lowest {
                            out[token - tokens.lowerBound] = -.infinity
                        }
                    }
                    reductions.exp(out)
                    let sum = reductions.sum(UnsafeBufferPointer(out))
                    sums[block] = sum
                    total += Double(sum)
                }
            }
        }
        self.total = total
    }

    /// Lowers the weight of each token of `distribution` by its probability times the total, to 0 at least, and sums up again.
    mutating func subtract(_ distribution: TokenDistribution) {
        for entry in distribution.entries where weights.indices.contains(Int(entry.token)) {
            weights[Int(entry.token)] = Float(max(0, Double(weights[Int(entry.token)]) - entry.probability * total))
        }
        total = 0
        weights.withUnsafeBufferPointer { weights in
            for block in blockSums.indices where blockSums[block] != 0 {
                blockSums[block] = reductions.sum(UnsafeBufferPointer(rebasing: weights[LogitBlocks.range(block, weights.count)]))
                total += Double(blockSums[block])
            }
        }
    }

    /// The token at which the running sum of the weights exceeds `unit` of the total; `unit` is of [0, 1), and a weight must not be 0.
    func draw(_ unit: Double) -> Int32 {
        var rest = unit * total
        // Rounding can leave something over at the end; then it is the last token in play.
        var chosen = 0
        for block in blockSums.indices where blockSums[block] > 0 {
            chosen = block
            guard rest >= Double(blockSums[block]) else { break }
            rest -= Double(blockSums[block])
        }
        var token = 0
        for candidate in LogitBlocks.range(chosen, weights.count) where weights[candidate] > 0 {
            token = candidate
            rest -= Double(weights[candidate])
            if rest < 0 { break }
        }
        return Int32(truncatingIfNeeded: token)
    }

    /// Calls `body` with each token in play and its probability, in order.
    func forEach(_ body: (Int32, Double) -> Void) {
        for block in blockSums.indices where blockSums[block] > 0 {
            for token in LogitBlocks.range(block, weights.count) where weights[token] > 0 {
                body(Int32(truncatingIfNeeded: token), Double(weights[token]) / total)
            }
        }
    }
}

/// The last token that is in, when tokens are ordered by logit and equals by id.
struct TokenEdge {
    var logit: Float
    /// Tokens as good as the edge are in up to this one.
    var token: Int

    /// All tokens whose logit is at least `logit`.
    static func logit(_ logit: Float) -> TokenEdge { TokenEdge(logit: logit, token: .max) }
}
