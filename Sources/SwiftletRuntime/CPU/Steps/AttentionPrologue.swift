// What a token's queries, keys and values go through before attention meets them: a norm a head, the rotation to its position, the way into the cache.
//
// With many tokens these are steps of their own. With a few they are so little work that sharing them out costs more than doing them, and the hand-over
// more than both: the attention tasks, each of which needs the heads of one key/value head only, make them for themselves.
import CKernels

/// A norm over rows.
struct RootMeanSquareNorm {
    let kernel: RMSNormKernel
    let scale: UnsafePointer<Float>?
    let epsilon: Float
}

/// The heads of all tokens, `[tokens, heads, headDimension]`, and what makes them ready.
struct UnfinishedHeads {
    struct Rotation {
        let kernel: RopeKernel
        /// As `RotaryTableStep` makes it.
        let table: UnsafePointer<Float>
        let dimensions: Int
    }

    let x: UnsafePointer<Float>
    let heads: Int
    let headDimension: Int
    let norm: RootMeanSquareNorm?
    let rotation: Rotation?

    /// Writes `count` heads of a token, `[count, headDimension]`, to `out`.
    @inline(__always)
    func finish(_ row: Int, heads first: Int, count: Int, into out: UnsafeMutablePointer<Float>) {
        var source = x + (row * heads + first) * headDimension
        if let norm {
            for head in 0..<count { norm.kernel(source + head * headDimension, norm.scale, Int64(headDimension), norm.epsilon, out + head * headDimension) }
            source = UnsafePointer(out)
        }
        if let rotation {
            let angles = rotation.table + row * rotation.dimensions
            rotation.kernel(source, angles, angles + rotation.dimensions / 2, Int64(count), Int64(headDimension), Int64(rotation.dimensions), out)
        } else if norm == nil {
            out.update(from: source, count: count * headDimension)
        }
    }
}

/// New keys or values on their way into the cache.
struct UnstoredRows {
    let heads: UnfinishedHeads
    let store: ck_kv_store_function
    let state: UnsafeMutableRawPointer

    /// Stores what a token adds to a head of the cache. `scratch` holds one head.
    @inline(__always)
    func store(_ row: Int, head: Int, at offset: Int, scratch: UnsafeMutablePointer<Float>) {
        var source = heads.x + (row * heads.heads + head) * heads.headDimension
        if heads.norm != nil || heads.rotation != nil {
            heads.finish(row, heads: head, count: 1, into: scratch)
            source = UnsafePointer(scratch)
        }
        store(source, Int64(heads.headDimension), state + offset)
    }
}

/// What the tasks of an attention step do before they attend; nil: it has been done.
struct AttentionPrologue {
    let queries: UnfinishedHeads?
    let keys: UnstoredRows?
    let values: UnstoredRows?

    /// Bytes of a thread's scratch: the queries of a task, then one key.
    static func scratchBytes(rows: Int, heads: Int, headDimension: Int) -> Int {
        ((rows * heads + 1) * headDimension * MemoryLayout<Float>.stride + 63) / 64 * 64
    }
}
