// Where the nucleus of a whole vocabulary ends, without sorting it.
//
// The tokens are counted into bins by logit, a bin holding its tokens' mass; the bin in which the mass wanted is reached is split again until a few tokens are
// left, which a heap orders. A flat row of n tokens costs one pass of counting; a peaked one hardly anything, because a bound from the largest logits of
// the blocks leaves only the blocks that matter.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Finds nuclei (top-p). Reusable; keeps its memory.
struct Nucleus {
    private static let binCount = 512
    /// So few tokens are ordered instead of counted, and so many blocks asked for their best.
    private static let fewTokens = 32, fewBlocks = 64

    /// Two sets of bins, used by turns, so that neighbours of one bin do not wait for each other's addition.
    private var bins = Array(repeating: 0.0, count: 2 * binCount)
    private var maxima = CandidateHeap()
    private var candidates = CandidateHeap()

    /// The least probable token of the smallest set whose mass reaches `share` of the total: tokens by falling logit, equals by id.
    ///
    /// - Parameters:
    ///   - row: logits [vocabulary], read by `blocks`.
    ///   - weights: of the same row at temperature 1, all tokens in play.
    ///   - largest: the largest logit.
    mutating func edge(_ row: UnsafeBufferPointer<Float>, _ weights: TokenWeights, share: Double, largest: Float, _ blocks: LogitBlocks) -> TokenEdge {
        let target = share * weights.total
        let bound = bound(weights, share: share, target: target, largest: largest, blocks)
        // First the row itself, a bin of it then by candidates.
        let scale = Self.scale(largest - bound)
        clearBins()
        bins.withUnsafeMutableBufferPointer { bins in
            blocks.forEach(row, atLeast: bound) { token, logit in
                bins[Self.bin(largest - logit, scale) * 2 + Int(token & 1)] += Double(weights[token])
            }
        }
        var (bin, mass) = crossing(0, target)
        candidates.removeAll()
        blocks.forEach(row, atLeast: bound) { token, logit in
            if Self.bin(largest - logit, scale) == bin { candidates.append(Candidate(rank: weights[token], logit: logit, token: token)) }
        }
        while candidates.count > Self.fewTokens {
            var (low, high) = (Float.infinity, -Float.infinity)
            for candidate in candidates.items { (low, high) = (min(low, candidate.logit), max(high, candidate.logit)) }
            // Equals: as many as it takes, in order of token, as they are.
            guard low < high else { break }
            let scale = Self.scale(high - low)
            clearBins()
            for candidate in candidates.items { bins[Self.bin(high - candidate.logit, scale) * 2] += Double(candidate.rank) }
            (bin, mass) = crossing(mass, target)
            let before = candidates.count
            candidates.keep { Self.bin(high - $0.logit, scale) == bin }
            if candidates.count == before { break }
        }
        if let first = candidates.items.first, candidates.items.allSatisfy({ $0.logit == first.logit }) {
            for candidate in candidates.items {
                mass += Double(candidate.rank)
                if mass >= target { return TokenEdge(logit: candidate.logit, token: Int(candidate.token)) }
            }
            return .logit(first.logit)
        }
        candidates.rank { $0 }
        candidates.heapify()
        var last = TokenEdge.logit(bound)
        while let candidate = candidates.popBest() {
            last = TokenEdge(logit: candidate.logit, token: Int(candidate.token))
            mass += Double(weights[candidate.token])
            if mass >= target { break }
        }
        return last
    }

    /// A logit that none of the nucleus is below.
    private mutating func bound(_ weights: TokenWeights, share: Double, target: Double, largest: Float, _ blocks: LogitBlocks) -> Float {
        // Tokens less probable than (1 − p)/count hold less than 1 − p together, so the nucleus is among the others. Half of that leaves room for rounding.
        let byCount = largest + Float(log(weights.total * (1 - share) / Double(2 * weights.count)))
        // When the best tokens of some blocks hold the mass alone, nothing below them is needed.
        blocks.candidates(into: &maxima, atLeast: byCount)
        maxima.heapify()
        var mass = 0.0
        for _ in 0..<Self.fewBlocks {
            guard let best = maxima.popBest() else { break }
            mass += Double(expf(best.logit - largest))
            if mass >= target * (1 + 1e-5) { return max(byCount, best.logit) }
        }
        return byCount
    }

    private mutating func clearBins() {
        for index in bins.indices { bins[index] = 0 }
    }

    /// The bin in which the mass, `before` at the first one, reaches `target`, and the mass before that bin; the last bin with any when none does.
    private func crossing(_ before: Double, _ target: Double) -> (bin: Int, before: Double) {
        var mass = before
        var last = (bin: 0, before: before)
        for bin in 0..<Self.binCount where bins[2 * bin] + bins[2 * bin + 1] > 0 {
            last = (bin, mass)
            mass += bins[2 * bin] + bins[2 * bin + 1]
            if mass >= target { break }
        }
        return last
    }

    private static func scale(_ width: Float) -> Float { width > 0 ? min(Float(binCount) / width, Float.greatestFiniteMagnitude) : 0 }

    /// Larger distances from the top never have smaller bins.
    @inline(__always)
    private static func bin(_ distance: Float, _ scale: Float) -> Int { Int(min(distance * scale, Float(binCount - 1))) }
}
