// Positions and the cache: angles computed once a run, heads rotated, keys and values stored.
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

    func execute(_ rows: Range<Int>) {
        let half = dimensions / 2
        for row in rows {
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

    func execute(_ rows: Range<Int>) {
        for row in rows {
            let (angles, offset) = (table + row * dimensions, row * heads * headDimension)
            kernel(x + offset, angles, angles + dimensions / 2, Int64(heads), Int64(headDimension), Int64(dimensions), out + offset)
        }
    }
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

    func execute(_ rows: Range<Int>) {
        for row in rows {
            let (slot, position) = (Int(slots[row]), Int(positions[row]))
            for head in 0..<layout.heads {
                let source = x + (row * layout.heads + head) * layout.headDimension
                store(source, Int64(layout.headDimension), state + layout.offset(slot: slot, head: head) + position * layout.rowBytes)
            }
        }
    }
}
