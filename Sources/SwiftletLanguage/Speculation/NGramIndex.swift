// Where the last few tokens stood before: an index of all pairs of neighbouring tokens of a sequence, extended token by token.
//
// `heads[hash of (tokens[p − 1], tokens[p])]` is the latest such p, `previous[p]` the one before it in the same bucket: a chain of places, newest
// first, that holds every earlier place of the pair (and a few of other pairs, which the comparison drops).

/// A sequence of tokens in which earlier occurrences of its end can be found.
package struct NGramIndex {
    package private(set) var tokens: [Int32] = []
    private var previous: [Int32] = []
    private var heads: [Int32]
    private let shift: UInt32

    /// Matches are measured up to this length: a longer one predicts no better.
    package static let longestMatch = 16
    /// Places looked at for one match.
    private static let places = 12

    /// Room for `capacity` tokens without another allocation.
    package init(capacity: Int) {
        var bits = 8
        while 1 << bits < capacity && bits < 18 { bits += 1 }
        shift = UInt32(32 - bits)
        heads = Array(repeating: -1, count: 1 << bits)
        tokens.reserveCapacity(capacity)
        previous.reserveCapacity(capacity)
    }

    package mutating func append(_ token: Int32) {
        let position = tokens.count
        tokens.append(token)
        guard position > 0 else { return previous.append(-1) }
        let bucket = Int(hash(tokens[position - 1], token))
        previous.append(heads[bucket])
        heads[bucket] = Int32(truncatingIfNeeded: position)
    }

    private func hash(_ first: Int32, _ second: Int32) -> UInt32 {
        (((UInt32(bitPattern: first) &* 0x9E37_79B1) ^ UInt32(bitPattern: second)) &* 0x85EB_CA6B) >> shift
    }

    /// The earlier place where most of the last tokens stand (the latest of equals): where its continuation starts, and how many agree, 2 or more.
    package func match() -> (continuation: Int, length: Int)? {
        let end = tokens.count - 1
        guard end > 1 else { return nil }
        return tokens.withUnsafeBufferPointer { tokens in
            var best: (continuation: Int, length: Int)?
            var place = Int(previous[end])
            var left = Self.places
            while place > 0, left > 0 {
                left -= 1
                var length = 0
                let limit = min(Self.longestMatch, place + 1)
                while length < limit, tokens[place - length] == tokens[end - length] { length += 1 }
                if length >= 2, length > best?.length ?? 0 { best = (place + 1, length) }
                if length == Self.longestMatch { break }
                place = Int(previous[place])
            }
            return best
        }
    }

    /// Writes the tokens from `continuation` on to `draft`, as many as it holds. Where the sequence ends they go on with themselves: a text that
    /// repeats with a short period is continued in that period.
    package func copy(from continuation: Int, to draft: UnsafeMutableBufferPointer<Int32>) {
        for index in draft.indices {
            let place = continuation + index
            draft[index] = place < tokens.count ? tokens[place] : draft[place - tokens.count]
        }
    }
}
