// Positions and attention: angles computed once a run, heads rotated, keys and values stored in the cache, queries answered from it.
import CKernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// cos and sin of every position's angles, `[t, dimensions]`: cos in the first half of a row, sin in the second.
struct RotaryTableStep {
    /// Radians a position for each pair, `[dimensions/2]`.
    let frequencies: UnsafePointer<Double>
    let magnitude: Double
    let dimensions: Int
    let positions: UnsafePointer<Int32>
    let out: UnsafeMutablePointer<Float>
    let tasks: RowTasks

    var taskCount: Int { tasks.taskCount }

    func execute(_ task: Int) {
        let half = dimensions / 2
        for row in tasks.rows(of: task) {
            let target = out + row * dimensions
            let position = Double(positions[row])
            for pair in 0..<half {
                // In Double: at position 100,000 a float angle has lost the digits its cosine depends on.
                let angle = position * frequencies[pair]
                target[pair] = Float(cos(angle) * magnitude)
                target[pair + half] = Float(sin(angle) * magnitude)
            }
        }
    }
}

/// Rotates the heads of each token.
struct RotaryStep {
    let kernel: RopeKernel
    let x: UnsafePointer<Float>
    let table: UnsafePointer<Float>
    let heads: Int
    let headDimension: Int
    let dimensions: Int
    let out: UnsafeMutablePointer<Float>
    let tasks: RowTasks

    var taskCount: Int { tasks.taskCount }

    func execute(_ task: Int) {
        for row in tasks.rows(of: task) {
            let (angles, offset) = (table + row * dimensions, row * heads * headDimension)
            kernel(x + offset, angles, angles + dimensions / 2, Int64(heads), Int64(headDimension), Int64(dimensions), out + offset)
        }
    }
}

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

/// Stores the rows of new tokens in the cache.
struct CacheWriteStep {
    let store: ck_kv_store_function
    let layout: CacheLayout
    let state: UnsafeMutableRawPointer
    let x: UnsafePointer<Float>
    let positions: UnsafePointer<Int32>
    let slots: UnsafePointer<Int32>
    let tasks: RowTasks

    var taskCount: Int { tasks.taskCount }

    func execute(_ task: Int) {
        for row in tasks.rows(of: task) {
            let (slot, position) = (Int(slots[row]), Int(positions[row]))
            for head in 0..<layout.heads {
                let source = x + (row * layout.heads + head) * layout.headDimension
                store(source, Int64(layout.headDimension), state + layout.offset(slot: slot, head: head) + position * layout.rowBytes)
            }
        }
    }
}

/// Attention of a block of tokens and the query heads of one key/value head (or some of them) a task.
struct AttentionStep {
    let kernel: @convention(c) (UnsafePointer<ck_attention_args>?) -> Void
    let layout: CacheLayout
    let keys: UnsafeRawPointer
    let values: UnsafeRawPointer
    let queries: UnsafePointer<Float>
    let out: UnsafeMutablePointer<Float>
    let positions: UnsafePointer<Int32>
    let slots: UnsafePointer<Int32>
    let rows: Int
    let heads: Int
    /// Query heads of one task: the whole group, or fewer when there are too few tasks for the threads.
    let headsPerTask: Int
    /// Tokens of one task.
    let rowsPerTask: Int
    let scale: Float
    let softcap: Float
    /// Positions a token sees, itself included.
    let window: Int

    /// Tokens a task answers at once in a prompt: each cache block is converted once for all of them.
    static let rowBlock = 32

    var headTasks: Int { heads / headsPerTask }
    var taskCount: Int { headTasks * ((rows + rowsPerTask - 1) / rowsPerTask) }

    static func scratchBytes(rows: Int, heads: Int, headDimension: Int) -> Int {
        let ranges = (2 * rowBlock * MemoryLayout<Int32>.stride + 63) / 64 * 64
        return ranges + ck_attention_scratch_bytes(Int64(rows), Int64(heads), Int64(headDimension), Int64(headDimension))
    }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        // Late tokens see most and cost most: handed out first, so that the short tasks even out the end.
        let blocks = (rows + rowsPerTask - 1) / rowsPerTask
        let block = blocks - 1 - task / headTasks
        let firstHead = task % headTasks * headsPerTask
        let head = firstHead / (heads / layout.heads)
        let begins = scratch.assumingMemoryBound(to: Int32.self)
        let ends = begins + Self.rowBlock
        let rangeBytes = (2 * Self.rowBlock * MemoryLayout<Int32>.stride + 63) / 64 * 64
        var row = block * rowsPerTask
        let last = min(rows, row + rowsPerTask)
        while row < last {
            // Tokens of one sequence share its cache; a batch of sequences changes slot from row to row.
            let slot = slots[row]
            var count = 0
            while row + count < last && slots[row + count] == slot {
                let end = positions[row + count] + 1
                begins[count] = max(0, end - Int32(clamping: window))
                ends[count] = end
                count += 1
            }
            let offset = layout.offset(slot: Int(slot), head: head)
            let element = (row * heads + firstHead) * layout.headDimension
            var arguments = ck_attention_args()
            arguments.queries = queries + element
            arguments.query_row_stride = Int64(heads * layout.headDimension)
            arguments.query_head_stride = Int64(layout.headDimension)
            arguments.rows = Int64(count)
            arguments.heads = Int64(headsPerTask)
            arguments.head_dim = Int64(layout.headDimension)
            arguments.value_dim = Int64(layout.headDimension)
            arguments.keys = keys + offset
            arguments.key_stride_bytes = layout.rowBytes
            arguments.values = values + offset
            arguments.value_stride_bytes = layout.rowBytes
            arguments.kv_format = layout.format
            arguments.kv_begin = UnsafePointer(begins)
            arguments.kv_end = UnsafePointer(ends)
            arguments.scale = scale
            arguments.softcap = softcap
            arguments.output = out + element
            arguments.output_row_stride = Int64(heads * layout.headDimension)
            arguments.output_head_stride = Int64(layout.headDimension)
            arguments.scratch = scratch + rangeBytes
            kernel(&arguments)
            row += count
        }
    }
}
