// Activations in the integer format of the panels' kernels.
//
// Whoever makes several rows of a value that only integer panels read rounds them at once, out of the near cache, and stores no float of them: other
// cores then fetch half the bytes or fewer, and nobody rounds what several threads read. Values that are also read otherwise, and sums that a norm comes
// before, are rounded by a step of their own (`QuantiseStep`) or, when rows are few, by each thread that reads them (`LinearPrologue`).
import CKernels

/// Rows of rounded activations that a step writes, whole or in parts.
struct RoundedRows {
    let kernel: ck_quantize_function
    let out: UnsafeMutableRawPointer
    /// Elements of a whole row, a multiple of a block.
    let width: Int
    let rowBytes: Int

    /// Whether rounding what one thread made of so many rows is cheaper than rounding all of them on every thread. A single row is not: the memory its
    /// weights stream from would wait for the end of each task.
    static func pays(rows: Int) -> Bool { rows > 1 }

    /// Rounds `columns`, whole blocks, of `rows`. `x` is where the first of the columns lies in the first of the rows, `stride` elements before the next.
    @inline(__always)
    func store(_ x: UnsafePointer<Float>, stride: Int, rows: Range<Int>, columns: Range<Int>) {
        kernel(
            x, Int64(stride), Int64(rows.count), Int64(width), Int64(columns.lowerBound), Int64(columns.count), out + rows.lowerBound * rowBytes, rowBytes)
    }
}

/// Rounds rows of floats that exist.
struct QuantiseStep {
    let x: UnsafePointer<Float>
    let rounded: RoundedRows
    let tasks: RowTasks

    func execute(_ rows: Range<Int>) {
        rounded.store(x + rows.lowerBound * rounded.width, stride: rounded.width, rows: rows, columns: 0..<rounded.width)
    }
}
