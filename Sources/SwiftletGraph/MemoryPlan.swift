// Where every intermediate buffer lives: one arena for a whole run, decided before it starts.
//
// A buffer occupies a rectangle: its bytes along one axis, the steps it is alive along the other. Placing the rectangles without overlap in
// the smallest height is dynamic storage allocation (NP-hard); the greedy order "largest first, tightest gap that fits" is within a few
// percent of the optimum on networks (Pisarchyk and Lee, 2020, "Efficient memory management for deep neural net inference").
//
// In-place operations: a buffer that takes over another one's place shares its offset. The two form a group that is placed at once, each
// member with its own size and lifetime, so a small heir does not keep the whole of a large ancestor alive.

/// The need of one buffer: how much, and during which steps of the run.
package struct BufferUse: Sendable, Hashable {
    package let bytes: Int
    /// The step that writes the buffer.
    package let first: Int
    /// The last step that reads it, inclusive; equal to `first` when nobody does.
    package let last: Int
    /// The index of a use that dies at the step `first` and whose place this one may take: an operand the step overwrites with its result. It may be
    /// born at that step too, when the step is several operations in one; its index is then the lower one.
    package var reuses: Int?

    package init(bytes: Int, first: Int, last: Int, reuses: Int? = nil) {
        self.bytes = bytes
        self.first = first
        self.last = last
        self.reuses = reuses
    }

    /// Whether some step needs both.
    fileprivate func isAlive(with other: BufferUse) -> Bool { first <= other.last && other.first <= last }
}

/// Offsets into one arena such that buffers alive at the same step never overlap, except where one takes over another's place.
package struct MemoryPlan: Sendable, Hashable {
    /// Every offset is a multiple of this, and every size is rounded up to it: a cache line, and the widest vector.
    package static let alignment = 64

    /// Bytes from the start of the arena, one for each use, in the order of the uses.
    package let offsets: [Int]
    /// The size of the arena.
    package let peakBytes: Int
    /// What the buffers would take if each had memory of its own.
    package let naiveBytes: Int

    /// Plans `uses`. A take-over is honoured when the buffer is no larger than the one it replaces; of two that want the same place, the
    /// first gets it. Takes O(n²) time in the number of uses.
    ///
    /// Throws `SwiftletError.invalidArgument` when a size or a lifetime is negative or a take-over names a buffer that does not die there,
    /// and `SwiftletError.outOfMemory` when the sizes overflow.
    package init(uses: [BufferUse]) throws {
        let sizes = try Self.alignedSizes(uses)
        naiveBytes = sizes.reduce(0, +)  // cannot overflow: `alignedSizes` has added them up

        var offsets = [Int](repeating: 0, count: uses.count)
        var placed: [Int] = []  // uses that have their place, by offset
        placed.reserveCapacity(uses.count)
        for group in Self.groups(uses, sizes) where sizes[group[0]] > 0 {
            let offset = Self.tightestOffset(for: group, among: placed, uses, sizes, offsets)
            let position = placed.partitionPoint { offsets[$0] >= offset }
            for member in group { offsets[member] = offset }
            placed.insert(contentsOf: group, at: position)
        }
        self.offsets = offsets
        peakBytes = placed.reduce(0) { max($0, offsets[$1] + sizes[$1]) }
    }

    /// Sizes rounded up to the alignment, after every check the rest relies on: their sum fits an `Int`, so every offset does.
    private static func alignedSizes(_ uses: [BufferUse]) throws -> [Int] {
        var total = 0
        return try uses.enumerated().map { index, use in
            guard use.bytes >= 0, use.first >= 0, use.first <= use.last else {
                throw invalid(index, "\(use.bytes) bytes from step \(use.first) to step \(use.last) is no buffer")
            }
            if let ancestor = use.reuses {
                let isOlder = uses.indices.contains(ancestor) && (uses[ancestor].first, ancestor) < (use.first, index)
                guard isOlder, uses[ancestor].last == use.first else {
                    throw invalid(index, "takes over buffer \(ancestor), which does not die at step \(use.first)")
                }
            }
            let (padded, paddingOverflow) = use.bytes.addingReportingOverflow(alignment - 1)
            let size = padded / alignment * alignment
            let (sum, sumOverflow) = total.addingReportingOverflow(size)
            guard !paddingOverflow, !sumOverflow else { throw SwiftletError.outOfMemory(bytes: Int.max, purpose: "intermediate results") }
            total = sum
            return size
        }
    }

    private static func invalid(_ index: Int, _ reason: String) -> SwiftletError {
        .invalidArgument(name: "buffer \(index)", reason: reason, remedy: "Derive the uses from a verified graph.")
    }

    /// Chains of take-overs, oldest buffer first, the chain with the largest buffer first; a buffer that takes over nothing is a chain of one.
    private static func groups(_ uses: [BufferUse], _ sizes: [Int]) -> [[Int]] {
        var heirs = [Int?](repeating: nil, count: uses.count)
        var isHeir = [Bool](repeating: false, count: uses.count)
        for (index, use) in uses.enumerated() {
            guard let ancestor = use.reuses, heirs[ancestor] == nil, use.bytes <= uses[ancestor].bytes else { continue }
            heirs[ancestor] = index
            isHeir[index] = true
        }
        // An heir starts after its ancestor does, or with it and has the higher index (checked), so chains end.
        let chains = uses.indices.filter { !isHeir[$0] }.map { start in
            Array(sequence(first: start) { heirs[$0] })
        }
        // Sizes fall along a chain: the first is the largest. Ties go to the longer-lived, then to the earlier: the plan is deterministic.
        return chains.sorted { left, right in
            let (a, b) = (left[0], right[0])
            if sizes[a] != sizes[b] { return sizes[a] > sizes[b] }
            let (livesA, livesB) = (uses[left[left.count - 1]].last - uses[a].first, uses[right[right.count - 1]].last - uses[b].first)
            return livesA != livesB ? livesA > livesB : a < b
        }
    }

    /// The offset in the narrowest gap that takes every member of `group`, or the lowest one above everything that is in the way.
    private static func tightestOffset(
        for group: [Int], among placed: [Int], _ uses: [BufferUse], _ sizes: [Int], _ offsets: [Int]
    ) -> Int {
        // A buffer that is alive with a member forbids the offsets at which the two would overlap: `start < offset < end`.
        var forbidden: [(start: Int, end: Int)] = []
        for other in placed {
            var size = 0
            for member in group where sizes[member] > size && uses[member].isAlive(with: uses[other]) { size = sizes[member] }
            if size > 0 { forbidden.append((offsets[other] - size, offsets[other] + sizes[other])) }
        }
        forbidden.sort { $0.start < $1.start }  // nearly sorted already, because `placed` is: a linear pass

        var best: (offset: Int, slack: Int)?
        var end = 0  // everything below is forbidden or has been considered
        for range in forbidden {
            // The offsets `end...range.start` are free.
            if range.start >= end, range.start - end < best?.slack ?? Int.max { best = (end, range.start - end) }
            end = max(end, range.end)
        }
        return best?.offset ?? end
    }
}

extension Array {
    /// The first index whose element satisfies `predicate`, which must be false for a prefix and true for the rest.
    fileprivate func partitionPoint(_ predicate: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
