// Matrix products (BLAS gemm), on buffers for backends and on matrices for everyone else.
import COpenBLAS
import SwiftletTensor

/// One operand or the result of a product, in a buffer the caller owns.
///
/// Element (i, j) of the stored matrix is `buffer[i * stride + j]`; `stride` counts elements and is at least the number of stored columns.
package struct MatrixView<Buffer> {
    package let buffer: Buffer
    package let stride: Int

    package init(_ buffer: Buffer, stride: Int) {
        self.buffer = buffer
        self.stride = stride
    }
}

extension LinearAlgebra {
    /// C = alpha · op(A) · op(B) + beta · C with op(A) `[m, k]`, op(B) `[k, n]`, C `[m, n]`, where op transposes when the flag says so:
    /// A transposed is stored `[k, m]`, B transposed is stored `[n, k]`.
    ///
    /// With `beta` 0, C is overwritten and may hold anything, NaN included. Sizes of 0 are allowed. C must not overlap A or B.
    /// Throws `SwiftletError.invalidArgument` when a buffer is shorter than its sizes say, a stride is shorter than a row, or a size exceeds 32 bits.
    package static func matrixMultiply<Scalar: LinearAlgebraScalar>(
        m: Int, n: Int, k: Int, alpha: Scalar = 1, a: MatrixView<UnsafeBufferPointer<Scalar>>, transposeA: Bool = false,
        b: MatrixView<UnsafeBufferPointer<Scalar>>, transposeB: Bool = false, beta: Scalar = 0,
        c: MatrixView<UnsafeMutableBufferPointer<Scalar>>
    ) throws {
        let (m32, n32, k32) = (try Dimension.checked(m, "m"), try Dimension.checked(n, "n"), try Dimension.checked(k, "k"))
        let aStride = try checkedStride("a", rows: transposeA ? k : m, columns: transposeA ? m : k, stride: a.stride, count: a.buffer.count)
        let bStride = try checkedStride("b", rows: transposeB ? n : k, columns: transposeB ? k : n, stride: b.stride, count: b.buffer.count)
        let cStride = try checkedStride("c", rows: m, columns: n, stride: c.stride, count: c.buffer.count)
        guard m > 0, n > 0, let result = c.buffer.baseAddress else { return }
        guard k > 0, let left = a.buffer.baseAddress, let right = b.buffer.baseAddress else {
            for row in 0..<m {
                for column in 0..<n {
                    let index = row * c.stride + column
                    result[index] = beta == 0 ? 0 : beta * result[index]
                }
            }
            return
        }
        Scalar.routines.multiply(
            transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, m32, n32, k32, alpha, left, aStride, right,
            bStride,
            beta, result, cStride)
    }

    /// The upper triangle of C += Aᵀ · A with A `[k, n]`, C `[n, n]` (BLAS syrk): half the work of the whole product. Below its diagonal C stays as it is.
    ///
    /// Sizes of 0 are allowed; C must not overlap A. Throws what `matrixMultiply` throws.
    package static func addGramMatrix<Scalar: LinearAlgebraScalar>(
        n: Int, k: Int, a: MatrixView<UnsafeBufferPointer<Scalar>>, to c: MatrixView<UnsafeMutableBufferPointer<Scalar>>
    ) throws {
        let (n32, k32) = (try Dimension.checked(n, "n"), try Dimension.checked(k, "k"))
        let aStride = try checkedStride("a", rows: k, columns: n, stride: a.stride, count: a.buffer.count)
        let cStride = try checkedStride("c", rows: n, columns: n, stride: c.stride, count: c.buffer.count)
        guard n > 0, k > 0, let source = a.buffer.baseAddress, let result = c.buffer.baseAddress else { return }
        Scalar.routines.rankUpdate(CblasTrans, n32, k32, 1, source, aStride, 1, result, cStride)
    }

    /// op(A) · op(B), where op transposes when the flag says so.
    ///
    /// Throws `SwiftletError.invalidArgument` when the inner sizes differ or a size exceeds 32 bits.
    public static func matrixMultiply<Scalar: LinearAlgebraScalar>(
        _ a: Matrix<Scalar>, _ b: Matrix<Scalar>, transposeA: Bool = false, transposeB: Bool = false
    ) throws -> Matrix<Scalar> {
        let m = transposeA ? a.columns : a.rows
        let k = transposeA ? a.rows : a.columns
        let inner = transposeB ? b.columns : b.rows
        let n = transposeB ? b.rows : b.columns
        guard k == inner else {
            throw SwiftletError.invalidArgument(
                name: "b", reason: "the product of [\(m), \(k)] and [\(inner), \(n)] does not exist", remedy: "Make the inner sizes equal.")
        }
        var product = [Scalar](repeating: 0, count: try elementCount(m, n))
        try a.elements.withUnsafeBufferPointer { left in
            try b.elements.withUnsafeBufferPointer { right in
                try product.withUnsafeMutableBufferPointer { result in
                    try matrixMultiply(
                        m: m, n: n, k: k, a: MatrixView(left, stride: max(a.columns, 1)), transposeA: transposeA,
                        b: MatrixView(right, stride: max(b.columns, 1)), transposeB: transposeB, c: MatrixView(result, stride: max(n, 1)))
                }
            }
        }
        return Matrix(rows: m, columns: n, computed: product)
    }

    /// rows × columns. Throws `SwiftletError.invalidArgument` when the product does not fit an `Int`.
    static func elementCount(_ rows: Int, _ columns: Int) throws -> Int {
        let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
        guard !overflow else {
            throw SwiftletError.invalidArgument(
                name: "rows × columns", reason: "\(rows) × \(columns) overflows", remedy: "Work on smaller blocks.")
        }
        return count
    }

    /// The stride for BLAS, once the buffer is known to hold `rows` rows of it (the last row may end at its last column).
    private static func checkedStride(_ name: String, rows: Int, columns: Int, stride: Int, count: Int) throws -> Int32 {
        let narrow = try Dimension.checked(stride, "\(name) stride")
        guard stride >= max(columns, 1) else {
            throw SwiftletError.invalidArgument(
                name: "\(name) stride", reason: "\(stride) elements are less than a row of \(columns)",
                remedy: "Pass the distance between rows.")
        }
        guard rows > 0, columns > 0 else { return narrow }
        // Both factors are below 2^31, so the product fits an Int.
        let needed = (rows - 1) * stride + columns
        guard count >= needed else {
            throw SwiftletError.invalidArgument(
                name: name, reason: "\(count) elements where \(rows) rows of \(columns), \(stride) apart, need \(needed)",
                remedy: "Pass the whole matrix.")
        }
        return narrow
    }
}
