// Attention: queries answered from the cache. A task is the query heads that share one key/value head, so that the cache is read once for all of them.
//
// Prompts are cut into blocks of tokens. A few tokens (decoding, several sequences at once, a speculated batch) would make too few tasks for the
// threads, or tasks as unequal as the sequences are long: there the cache positions a sequence sees are cut into parts as well. Each part leaves an
// unnormalised result, and whoever finishes the last part of a sequence merges them (Dao et al. 2023, "Flash-Decoding"). How many tasks there are is
// fixed when sizes are bound; how many of them have work is known only by the positions of a run, and those without return at once.
import CKernels
import Synchronization

/// The layout of a cache state `[slots, heads, context, headDim]`.
struct CacheLayout {
    let heads: Int
    let context: Int
    let headDimension: Int
    let rowBytes: Int
    let format: ck_kv_format

    /// Offset in bytes of position 0 of a head.
    @inline(__always)
    func offset(slot: Int, head: Int) -> Int { (slot * heads + head) * context * rowBytes }
}

/// How the work of one attention step is cut into tasks.
struct AttentionTasks {
    let rows: Int
    let keyValueHeads: Int
    let threads: Int
    /// Tokens of one task. When `parts` is not 0: most tokens of one task.
    let rowsPerTask: Int
    /// Parts a sequence's positions are cut into at most; 0 for a prompt, which is cut by tokens only.
    let parts: Int

    /// Tokens a task of a prompt answers at once: each cache block is converted once for all of them.
    static let rowBlock = 64
    /// Tokens up to which positions are cut too.
    private static let fewRows = 16
    /// Fewer keys and values than this, in elements of one head, cost less to read than to merge.
    static let elementsPerPart = 3072
    /// Parts of about equal work, a thread, that even out the threads: where sequences are that many, none is cut.
    static let partsPerThread = 8

    init(rows: Int, keyValueHeads: Int, threads: Int) {
        self.rows = rows
        self.keyValueHeads = keyValueHeads
        self.threads = threads
        if Self.isFew(rows) {
            rowsPerTask = max(1, rows)
            // As many parts as threads share evenly whatever the number of heads; with many sequences heads are enough to even out.
            parts = min(threads, max(1, 32 * threads / max(1, rows * keyValueHeads)))
        } else {
            // Four tasks a thread, or as many as blocks of eight tokens allow.
            rowsPerTask = max(8, min(Self.rowBlock, rows * keyValueHeads / (4 * threads)))
            parts = 0
        }
    }

    /// Whether tokens are so few that a task takes all of them, or all of a sequence.
    static func isFew(_ rows: Int) -> Bool { rows <= fewRows }

    var count: Int { parts > 0 ? rows * keyValueHeads * parts : keyValueHeads * ((rows + rowsPerTask - 1) / rowsPerTask) }

    /// The (token, head, part) results that wait for merging.
    func partialResults(heads: Int) -> Int { parts > 1 ? rows * heads * parts : 0 }
}

/// Attention of every token of a batch.
struct AttentionStep {
    enum Output {
        /// `[tokens, heads, headDimension]`
        case floats(UnsafeMutablePointer<Float>)
        /// The same as rows of `heads · headDimension`; a head is whole blocks.
        case rounded(RoundedRows)
    }

    let kernel: @convention(c) (UnsafePointer<ck_attention_args>?) -> Void
    let merge: @convention(c) (UnsafePointer<ck_attention_merge_args>?) -> Void
    let layout: CacheLayout
    let keys: UnsafeRawPointer
    let values: UnsafeRawPointer
    let queries: UnsafePointer<Float>
    let output: Output
    let positions: UnsafePointer<Int32>
    let slots: UnsafePointer<Int32>
    let heads: Int
    let tasks: AttentionTasks
    /// `tasks.partialResults` accumulators `[headDimension]`, then as many maxima, then as many sums.
    let partials: UnsafeMutablePointer<Float>
    /// One a (token, key/value head): finished parts of the run of tokens that starts there. Zero between runs.
    let finished: UnsafeMutablePointer<Atomic<Int>>
    let scale: Float
    let softcap: Float
    /// Positions a token sees, itself included.
    let window: Int
    /// What is left to do for the tokens before they attend, when they are few.
    let prologue: UnsafePointer<AttentionPrologue>?

    var taskCount: Int { tasks.count }

    private static let rangeBytes = (2 * AttentionTasks.rowBlock * MemoryLayout<Int32>.stride + 63) / 64 * 64

    /// Scratch of a thread for tasks of up to `rows` tokens by `heads` heads: the ranges they see, what the prologue makes, what the kernel needs.
    static func scratchBytes(rows: Int, heads: Int, headDimension: Int) -> Int {
        rangeBytes + outputBytes(rows: rows, heads: heads, headDimension: headDimension) + prologueBytes(rows: rows, heads: heads, headDimension: headDimension)
            + ck_attention_scratch_bytes(Int64(rows), Int64(heads), Int64(headDimension), Int64(headDimension))
    }

    /// The results of a task, where they leave rounded.
    private static func outputBytes(rows: Int, heads: Int, headDimension: Int) -> Int {
        (rows * heads * headDimension * MemoryLayout<Float>.stride + 63) / 64 * 64
    }

    private static func prologueBytes(rows: Int, heads: Int, headDimension: Int) -> Int {
        AttentionTasks.isFew(rows) ? AttentionPrologue.scratchBytes(rows: rows, heads: heads, headDimension: headDimension) : 0
    }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        if tasks.parts > 0 { executePart(task, scratch) } else { executeBlock(task, scratch) }
    }

    /// A block of tokens of a prompt.
    private func executeBlock(_ task: Int, _ scratch: UnsafeMutableRawPointer) {
        // Late tokens see most and cost most: handed out first, so that the short tasks even out the end.
        let blocks = (tasks.rows + tasks.rowsPerTask - 1) / tasks.rowsPerTask
        let head = task % layout.heads
        var row = (blocks - 1 - task / layout.heads) * tasks.rowsPerTask
        let last = min(tasks.rows, row + tasks.rowsPerTask)
        while row < last {
            let count = runLength(from: row, to: last)
            ranges(row, count, scratch)
            var arguments = arguments(row, count, head, scratch)
            kernel(&arguments)
            leave(row, count, head, scratch)
            row += count
        }
    }

    /// A part of the positions that a run of tokens of one sequence sees.
    private func executePart(_ task: Int, _ scratch: UnsafeMutableRawPointer) {
        let (item, part) = (task / tasks.parts, task % tasks.parts)
        let (row, head) = (item / layout.heads, item % layout.heads)
        if row > 0 && slots[row - 1] == slots[row] { return }  // belongs to the run before
        let count = runLength(from: row, to: tasks.rows)
        let seen = ranges(row, count, scratch)
        let used = parts(of: seen.count)
        if part >= used { return }
        var arguments = arguments(row, count, head, scratch)
        let span = used == 1 ? seen.count : ((seen.count + used - 1) / used + 15) / 16 * 16
        if let prologue {
            let group = heads / layout.heads
            let made = (scratch + Self.rangeBytes + Self.outputBytes(rows: tasks.rowsPerTask, heads: group, headDimension: layout.headDimension))
                .assumingMemoryBound(to: Float.self)
            let key = made + count * group * layout.headDimension
            store(prologue, slot: slots[row], head: head, of: seen.lowerBound + part * span..<seen.lowerBound + (part + 1) * span, scratch: key)
            if let queries = prologue.pointee.queries {
                for index in 0..<count { queries.finish(row + index, heads: head * group, count: group, into: made + index * group * layout.headDimension) }
                arguments.queries = UnsafePointer(made)
                arguments.query_row_stride = Int64(group * layout.headDimension)
            }
        }
        if part + 1 < used {
            arguments.next_keys = key(seen.lowerBound + (part + 1) * span, row, head)
        } else if head + 1 < layout.heads {
            arguments.next_keys = key(seen.lowerBound, row, head + 1)
        } else if row + count < tasks.rows {
            arguments.next_keys = key(visible(to: row + count).lowerBound, row + count, 0)
        }
        if used == 1 {
            kernel(&arguments)
            leave(row, count, head, scratch)
            return
        }
        clamp(count, to: seen.lowerBound + part * span..<seen.lowerBound + (part + 1) * span, scratch)
        // The results of a run of tokens lie together, part after part.
        let group = heads / layout.heads
        let (first, pairs) = ((row * layout.heads + head * count) * group * tasks.parts, count * group)
        let maxima = partials + tasks.partialResults(heads: heads) * layout.headDimension + first
        let sums = maxima + tasks.partialResults(heads: heads)
        let accumulators = partials + first * layout.headDimension
        arguments.output = accumulators + part * pairs * layout.headDimension
        arguments.output_row_stride = Int64(group * layout.headDimension)
        arguments.output_head_stride = Int64(layout.headDimension)
        arguments.partial_maximum = maxima + part * pairs
        arguments.partial_sum = sums + part * pairs
        kernel(&arguments)
        guard finished[item].add(1, ordering: .acquiringAndReleasing).newValue == used else { return }
        finished[item].store(0, ordering: .relaxed)
        var results = ck_attention_merge_args()
        results.parts = Int64(used)
        results.rows = Int64(count)
        results.heads = Int64(group)
        results.value_dim = Int64(layout.headDimension)
        results.accumulators = UnsafePointer(accumulators)
        results.maximum = UnsafePointer(maxima)
        results.sum = UnsafePointer(sums)
        let place = place(row, head, scratch)
        results.output = place.start
        results.output_row_stride = Int64(place.stride)
        results.output_head_stride = Int64(layout.headDimension)
        merge(&results)
        leave(row, count, head, scratch)
    }

    /// Where the results of the heads that share a key/value head go, and from one token's to the next.
    @inline(__always)
    private func place(_ row: Int, _ head: Int, _ scratch: UnsafeMutableRawPointer) -> (start: UnsafeMutablePointer<Float>, stride: Int) {
        let group = heads / layout.heads
        switch output {
        case .floats(let out): return (out + (row * heads + head * group) * layout.headDimension, heads * layout.headDimension)
        case .rounded: return ((scratch + Self.rangeBytes).assumingMemoryBound(to: Float.self), group * layout.headDimension)
        }
    }

    /// Rounds the results of `count` tokens if they leave rounded.
    @inline(__always)
    private func leave(_ row: Int, _ count: Int, _ head: Int, _ scratch: UnsafeMutableRawPointer) {
        guard case .rounded(let rounded) = output else { return }
        let place = place(row, head, scratch)
        rounded.store(place.start, stride: place.stride, rows: row..<row + count, columns: head * place.stride..<(head + 1) * place.stride)
    }

    /// Stores the new keys and values of a sequence that lie in a part of its positions: nobody else reads them before the step is over. Tokens of one
    /// sequence may be apart in a batch; then each of their tasks stores what it reads, the same bytes.
    private func store(_ prologue: UnsafePointer<AttentionPrologue>, slot: Int32, head: Int, of part: Range<Int>, scratch: UnsafeMutablePointer<Float>) {
        for row in 0..<tasks.rows where slots[row] == slot && part.contains(Int(positions[row])) {
            let offset = layout.offset(slot: Int(slot), head: head) + Int(positions[row]) * layout.rowBytes
            prologue.pointee.keys?.store(row, head: head, at: offset, scratch: scratch)
            prologue.pointee.values?.store(row, head: head, at: offset, scratch: scratch)
        }
    }

    /// Parts that `seen` positions are cut into: none so small that merging costs more than it evens out.
    private func parts(of seen: Int) -> Int {
        let even = allSeen * layout.heads / (AttentionTasks.partsPerThread * tasks.threads)
        return min(tasks.parts, max(1, seen / max(1, even, AttentionTasks.elementsPerPart / layout.headDimension)))
    }

    /// Positions that the sequences see, all together.
    private var allSeen: Int {
        var (row, sum) = (0, 0)
        while row < tasks.rows {
            let count = runLength(from: row, to: tasks.rows)
            sum += visible(to: row + count - 1).count
            row += count
        }
        return sum
    }

    /// Positions that one token sees.
    private func visible(to row: Int) -> Range<Int> {
        let end = Int(positions[row]) + 1
        return max(0, end - window)..<end
    }

    /// The key of a position in the cache that a token reads.
    private func key(_ position: Int, _ row: Int, _ head: Int) -> UnsafeRawPointer {
        keys + layout.offset(slot: Int(slots[row]), head: head) + position * layout.rowBytes
    }

    /// Tokens of one sequence share its cache; a batch of sequences changes slot from row to row.
    private func runLength(from row: Int, to last: Int) -> Int {
        var end = row + 1
        while end < last && slots[end] == slots[row] { end += 1 }
        return end - row
    }

    /// Writes what each of `count` tokens sees to the scratch and returns what any of them sees.
    @discardableResult
    private func ranges(_ row: Int, _ count: Int, _ scratch: UnsafeMutableRawPointer) -> Range<Int> {
        let begins = scratch.assumingMemoryBound(to: Int32.self), ends = begins + AttentionTasks.rowBlock
        var (low, high) = (Int32.max, Int32(0))
        for index in 0..<count {
            let seen = visible(to: row + index)
            begins[index] = Int32(truncatingIfNeeded: seen.lowerBound)
            ends[index] = Int32(truncatingIfNeeded: seen.upperBound)
            low = min(low, begins[index])
            high = max(high, ends[index])
        }
        return Int(low)..<Int(high)
    }

    /// Narrows the ranges in the scratch to a part.
    private func clamp(_ count: Int, to part: Range<Int>, _ scratch: UnsafeMutableRawPointer) {
        let begins = scratch.assumingMemoryBound(to: Int32.self), ends = begins + AttentionTasks.rowBlock
        for index in 0..<count {
            begins[index] = max(begins[index], Int32(part.lowerBound))
            ends[index] = min(ends[index], Int32(part.upperBound))
        }
    }

    /// Whole attention of `count` tokens from `row` on for one key/value head, ranges in the scratch.
    private func arguments(_ row: Int, _ count: Int, _ head: Int, _ scratch: UnsafeMutableRawPointer) -> ck_attention_args {
        let group = heads / layout.heads
        let element = (row * heads + head * group) * layout.headDimension
        let offset = layout.offset(slot: Int(slots[row]), head: head)
        let begins = UnsafePointer(scratch.assumingMemoryBound(to: Int32.self))
        var arguments = ck_attention_args()
        arguments.queries = queries + element
        arguments.query_row_stride = Int64(heads * layout.headDimension)
        arguments.query_head_stride = Int64(layout.headDimension)
        arguments.rows = Int64(count)
        arguments.heads = Int64(group)
        arguments.head_dim = Int64(layout.headDimension)
        arguments.value_dim = Int64(layout.headDimension)
        arguments.keys = keys + offset
        arguments.key_stride_bytes = layout.rowBytes
        arguments.values = values + offset
        arguments.value_stride_bytes = layout.rowBytes
        arguments.kv_format = layout.format
        arguments.kv_begin = begins
        arguments.kv_end = begins + AttentionTasks.rowBlock
        arguments.scale = scale
        arguments.softcap = softcap
        let place = place(row, head, scratch)
        arguments.output = place.start
        arguments.output_row_stride = Int64(place.stride)
        arguments.output_head_stride = Int64(layout.headDimension)
        arguments.scratch = scratch + Self.rangeBytes
            + Self.outputBytes(rows: tasks.rowsPerTask, heads: group, headDimension: layout.headDimension)
            + Self.prologueBytes(rows: tasks.rowsPerTask, heads: group, headDimension: layout.headDimension)
        return arguments
    }
}
