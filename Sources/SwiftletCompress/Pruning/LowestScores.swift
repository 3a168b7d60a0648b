// The k lowest of any number of scores, without sorting or keeping them: selection by radix on the bits of the floats, which order as the
// numbers do where none is negative. Three passes of 11, 11 and 10 bits.

/// Decides score by score whether one is among the lowest, in the order in which they were counted.
package struct LowestScores {
    /// Lower ones are taken, and the first `ties` of those equal to it.
    private let threshold: UInt32
    private var ties: Int

    /// The `count` lowest of the scores that `scores` hands out in blocks, the same ones each of three times. Scores are not negative.
    package init(count: Int, _ scores: ((UnsafeBufferPointer<Float>) -> Void) throws -> Void) rethrows {
        guard count > 0 else {
            (threshold, ties) = (0, 0)
            return
        }
        var prefix: UInt32 = 0
        var left = count
        for (shift, bits) in [(21, 11), (10, 11), (0, 10)] as [(UInt32, UInt32)] {
            var bins = [Int](repeating: 0, count: 1 << Int(bits))
            let mask = UInt32(1) << bits - 1
            try bins.withUnsafeMutableBufferPointer { bins in
                try scores { block in
                    for score in block {
                        let pattern = score.bitPattern
                        // In the last two passes only those that agree in the bits already known count.
                        if shift == 21 || pattern >> (shift + bits) == prefix >> (shift + bits) { bins[Int(pattern >> shift & mask)] += 1 }
                    }
                }
            }
            var bin = 0
            while bin < bins.count - 1, bins[bin] < left {
                left -= bins[bin]
                bin += 1
            }
            prefix |= UInt32(bin) << shift
        }
        (threshold, ties) = (prefix, left)
    }

    /// Whether this score, the next in order, is among the lowest.
    package mutating func takes(_ score: Float) -> Bool {
        let pattern = score.bitPattern
        if pattern < threshold { return true }
        guard pattern == threshold, ties > 0 else { return false }
        ties -= 1
        return true
    }
}
