// The tokens a sampler still considers, in one array that is reused from token to token, with heap operations in place.
//
// Two heaps share the array. `keepBest` keeps the k best in a heap whose root is the worst of them, so most candidates cost one comparison. `heapify` and
// `popBest` hand out candidates best first, so top-p and typical sampling order only as many tokens as they keep instead of sorting the vocabulary.
// `popBest` moves what it hands out behind the heap:
//
//     0 ..< heapCount             candidates still in the heap, root first
//     heapCount ..< count         candidates popped, the latest first

/// A token under consideration.
struct Candidate {
    /// The value candidates are ordered by: the logit, or how typical the token is.
    var rank: Float
    var logit: Float
    var token: Int32

    /// Best first: by rank, then the lower token, so that equal logits have a fixed order.
    func precedes(_ other: Candidate) -> Bool {
        rank > other.rank || (rank == other.rank && token < other.token)
    }
}

/// A reusable array of candidates.
struct CandidateHeap {
    private(set) var items: [Candidate] = []
    private var heapCount = 0

    var count: Int { items.count }

    mutating func removeAll() { items.removeAll(keepingCapacity: true) }
    mutating func append(_ candidate: Candidate) { items.append(candidate) }

    /// Replaces the candidates by the tokens of `row` whose logit is at least `threshold` and above −∞, in order of token. `blocks` has read the row.
    mutating func keep(_ row: UnsafeBufferPointer<Float>, atLeast threshold: Float, _ blocks: LogitBlocks) {
        items.removeAll(keepingCapacity: true)
        blocks.forEach(row, atLeast: threshold) { token, logit in items.append(Candidate(rank: logit, logit: logit, token: token)) }
    }

    /// Keeps the `k` best candidates (fewer when there are fewer), best first. They must be in order of token, and all of finite rank.
    mutating func keepBest(_ k: Int) {
        let kept = min(k, items.count)
        guard kept > 0 else { return items.removeAll(keepingCapacity: true) }
        items.withUnsafeMutableBufferPointer { items in
            let heap = UnsafeMutableBufferPointer(rebasing: items[0..<kept])
            // The root is the worst candidate kept. Later tokens have higher ids, so an equal logit never replaces it.
            for index in stride(from: kept / 2 - 1, through: 0, by: -1) { Self.sink(heap, index, kept) { $1.precedes($0) } }
            for index in kept..<items.count where items[index].rank > heap[0].rank {
                heap[0] = items[index]
                Self.sink(heap, 0, kept) { $1.precedes($0) }
            }
            // Taking the worst to the end again and again leaves the best first.
            for end in stride(from: kept - 1, to: 0, by: -1) {
                heap.swapAt(0, end)
                Self.sink(heap, 0, end) { $1.precedes($0) }
            }
        }
        items.removeLast(items.count - kept)
    }

    /// Sets the rank of every candidate from its logit.
    mutating func rank(by rank: (Float) -> Float) {
        for index in items.indices { items[index].rank = rank(items[index].logit) }
    }

    /// Sets the rank of every candidate.
    mutating func weigh(by weight: (Candidate) -> Float) {
        for index in items.indices { items[index].rank = weight(items[index]) }
    }

    mutating func setRank(of index: Int, to rank: Float) { items[index].rank = rank }

    /// Makes all candidates a heap from which `popBest` takes.
    mutating func heapify() {
        heapCount = items.count
        items.withUnsafeMutableBufferPointer { items in
            for index in stride(from: items.count / 2 - 1, through: 0, by: -1) {
                Self.sink(items, index, items.count) { $0.precedes($1) }
            }
        }
    }

    /// The best candidate still in the heap.
    mutating func popBest() -> Candidate? {
        guard heapCount > 0 else { return nil }
        heapCount -= 1
        items.withUnsafeMutableBufferPointer { items in
            items.swapAt(0, heapCount)
            Self.sink(items, 0, heapCount) { $0.precedes($1) }
        }
        return items[heapCount]
    }

    /// Drops what was not popped; what was popped comes best first.
    mutating func keepPopped() {
        let popped = items.count - heapCount
        items.withUnsafeMutableBufferPointer { items in
            var low = heapCount, high = items.count - 1
            while low < high {
                items.swapAt(low, high)
                low += 1
                high -= 1
            }
            for index in 0..<popped { items[index] = items[heapCount + index] }
        }
        items.removeLast(heapCount)
        heapCount = 0
    }

    /// Drops the candidates whose logit is below `threshold`, keeping the order of the others.
    mutating func dropLogits(below threshold: Float) { keep { $0.logit >= threshold } }

    /// Keeps the candidates that `isKept` is true of, in their order.
    @inline(__always)
    mutating func keep(where isKept: (Candidate) -> Bool) {
        var kept = 0
        for index in items.indices where isKept(items[index]) {
            items[kept] = items[index]
            kept += 1
        }
        items.removeLast(items.count - kept)
    }

    /// Moves the item at `start` down until no child comes before it.
    @inline(__always)
    private static func sink(
        _ items: UnsafeMutableBufferPointer<Candidate>, _ start: Int, _ count: Int, _ before: (Candidate, Candidate) -> Bool
    ) {
        var hole = start
        while true {
            var child = 2 * hole + 1
            guard child < count else { return }
            if child + 1 < count, before(items[child + 1], items[child]) { child += 1 }
            guard before(items[child], items[hole]) else { return }
            items.swapAt(hole, child)
            hole = child
        }
    }
}
