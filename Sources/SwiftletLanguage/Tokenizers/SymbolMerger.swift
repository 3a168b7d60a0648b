// Joins neighbouring symbols, best pair first and leftmost among equals, until no pair can be joined. Byte-level BPE and SentencePiece
// differ in what a pair is worth only.
//
// Short pieces: ranks in an array, scanned for the smallest after each merge. Long ones: a binary heap over a linked list, n log n even
// for a megabyte without a space. Both give the same tokens.

/// What a merging tokenizer knows about symbols. A symbol is a run of bytes of the text with a token id (or `TokenTable.missing`).
protocol MergeModel {
    /// Writes the symbols that the bytes `start..<end` of `base` begin as: ids, and where each one starts. Returns how many there are,
    /// at most one a byte.
    func begin(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, ids: UnsafeMutablePointer<Int32>, starts: UnsafeMutablePointer<UInt32>
    ) -> Int
    /// The rank of the join of two neighbours, which together are `start..<end`: smaller first, `MergeTable.noRank` for never.
    func rank(_ left: Int32, _ right: Int32, _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> UInt32
    /// The token that a join of rank `rank` makes.
    func joined(_ rank: UInt32, _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int32
    /// The one token that a whole piece is without any merging, or `TokenTable.missing`.
    func whole(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int32
    /// Appends what stands for a symbol that is no token.
    func appendUnknown(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, to output: inout [Int32])
}

/// Memory of one encoding: symbols, and for long pieces the linked list and the heap.
final class MergeScratch {
    /// Up to so many symbols the plain scan is faster than the heap.
    static let scanLimit = 48

    private(set) var capacity = 0
    private(set) var ids: UnsafeMutablePointer<Int32>
    /// Start of each symbol in bytes from the start of the text, and the end of the last one.
    private(set) var starts: UnsafeMutablePointer<UInt32>
    private(set) var ranks: UnsafeMutablePointer<UInt32>
    private var previous: [Int32] = []
    private var next: [Int32] = []
    private var heap: [UInt64] = []

    init() {
        capacity = 256
        ids = .allocate(capacity: capacity)
        starts = .allocate(capacity: capacity + 1)
        ranks = .allocate(capacity: capacity)
    }

    deinit { free() }

    private func free() {
        ids.deallocate()
        starts.deallocate()
        ranks.deallocate()
    }

    /// Makes room for `count` symbols; what was there is lost.
    @inline(__always)
    func reserve(_ count: Int) {
        guard count > capacity else { return }
        free()
        capacity = count
        ids = .allocate(capacity: capacity)
        starts = .allocate(capacity: capacity + 1)
        ranks = .allocate(capacity: capacity)
    }

    /// Joins the `count` symbols in place and returns how many are left.
    @inline(__always)
    func merge<Model: MergeModel>(_ model: Model, _ base: UnsafePointer<UInt8>, count: Int) -> Int {
        count <= Self.scanLimit ? scan(model, base, count: count) : mergeByHeap(model, base, count: count)
    }

    @inline(__always)
    private func scan<Model: MergeModel>(_ model: Model, _ base: UnsafePointer<UInt8>, count: Int) -> Int {
        let ids = ids
        let starts = starts
        let ranks = ranks
        var count = count
        guard count > 1 else { return count }
        for index in 0..<count - 1 {
            ranks[index] = model.rank(ids[index], ids[index + 1], base, Int(starts[index]), Int(starts[index + 2]))
        }
        while count > 1 {
            var best = 0
            for index in 1..<max(1, count - 1) where ranks[index] < ranks[best] { best = index }
            guard ranks[best] != MergeTable.noRank else { break }
            ids[best] = model.joined(ranks[best], base, Int(starts[best]), Int(starts[best + 2]))
            count -= 1
            var index = best + 1
            while index < count {
                ids[index] = ids[index + 1]
                starts[index] = starts[index + 1]
                ranks[index - 1] = ranks[index]
                index += 1
            }
            starts[count] = starts[count + 1]
            if best > 0 {
                ranks[best - 1] = model.rank(ids[best - 1], ids[best], base, Int(starts[best - 1]), Int(starts[best + 1]))
            }
            if best + 1 < count {
                ranks[best] = model.rank(ids[best], ids[best + 1], base, Int(starts[best]), Int(starts[best + 2]))
            }
        }
        return count
    }

    private func mergeByHeap<Model: MergeModel>(_ model: Model, _ base: UnsafePointer<UInt8>, count: Int) -> Int {
        let ids = ids
        let starts = starts
        let ranks = ranks
        let end = Int(starts[count])
        previous.removeAll(keepingCapacity: true)
        next.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
        for index in 0..<count {
            previous.append(Int32(index - 1))
            next.append(index + 1 < count ? Int32(index + 1) : -1)
        }
        // The end of symbol `index`: where the next one that is left starts.
        func stop(_ index: Int) -> Int { next[index] < 0 ? end : Int(starts[Int(next[index])]) }
        // Ranks the pair whose left symbol is `index`; an entry of the heap counts only while the rank kept here is still its own.
        func consider(_ index: Int) {
            guard next[index] >= 0 else {
                ranks[index] = MergeTable.noRank
                return
            }
            let right = Int(next[index])
            ranks[index] = model.rank(ids[index], ids[right], base, Int(starts[index]), stop(right))
            if ranks[index] != MergeTable.noRank { push(UInt64(ranks[index]) << 32 | UInt64(index)) }
        }
        for index in 0..<count { consider(index) }
        while let entry = pop() {
            let left = Int(truncatingIfNeeded: entry & 0xFFFF_FFFF)
            let rank = UInt32(truncatingIfNeeded: entry >> 32)
            guard ranks[left] == rank, next[left] >= 0 else { continue }
            let right = Int(next[left])
            ids[left] = model.joined(rank, base, Int(starts[left]), stop(right))
            next[left] = next[right]
            ranks[right] = MergeTable.noRank
            if next[left] >= 0 { previous[Int(next[left])] = Int32(left) }
            if previous[left] >= 0 { consider(Int(previous[left])) }
            consider(left)
        }
        var kept = 0
        var index = 0
        while index >= 0 {
            ids[kept] = ids[index]
            starts[kept] = starts[index]
            kept += 1
            index = Int(next[index])
        }
        starts[kept] = UInt32(end)
        return kept
    }

    // MARK: - Binary heap, smallest first

    private func push(_ entry: UInt64) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child] < heap[parent] else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private func pop() -> UInt64? {
        guard let top = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return top }
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < last else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return top
    }
}
