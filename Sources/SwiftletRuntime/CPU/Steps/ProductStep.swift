// Products of matrices that are both computed: the right one is packed panel by panel into a thread's scratch, then the kernels of linear
// layers multiply it (ckernels/linear.h, dense panels).
import CKernels

/// `a [batch, m, k] · b [batch, k, n] → [batch, m, n]`
struct ProductStep {
    let kernel: ck_linear_function
    let a, b: UnsafePointer<Float>
    let out: UnsafeMutablePointer<Float>
    let m, n, k: Int
    let batch: Int
    /// Where each batch begins in a and in b, in elements: batches broadcast.
    let offsets: UnsafePointer<(a: Int, b: Int)>

    private var panels: Int { (n + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS) }
    var taskCount: Int { batch * panels }

    static func scratchBytes(k: Int) -> Int { k * Int(CK_PANEL_ROWS) * MemoryLayout<Float>.stride }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        let width = Int(CK_PANEL_ROWS)
        let (index, panel) = task.quotientAndRemainder(dividingBy: panels)
        let first = panel * width
        let columns = min(width, n - first)
        let packed = scratch.assumingMemoryBound(to: Float.self)
        let right = b + offsets[index].b + first
        for row in 0..<k {
            let target = packed + row * width
            for column in 0..<columns { target[column] = right[row * n + column] }
            for column in columns..<width { target[column] = 0 }
        }
        var call = ck_linear_args()
        call.panels = UnsafeRawPointer(scratch)
        call.panel_stride_bytes = Self.scratchBytes(k: k)
        call.panel_count = 1
        call.k = Int64(k)
        call.activations = UnsafeRawPointer(a + offsets[index].a)
        call.activation_stride_bytes = k * MemoryLayout<Float>.stride
        call.rows = Int64(m)
        call.output = out + index * m * n + first
        call.output_stride = Int64(n)
        call.columns = Int64(columns)
        kernel(&call)
    }
}
