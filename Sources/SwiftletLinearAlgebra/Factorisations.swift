// Factorisations (LAPACK): singular values, QR, Cholesky, and the inverse of a triangle. Inputs are copied, because LAPACK works in place.
import SwiftletTensor

/// A = U · diag(s) · Vᵀ, the economy form: with r = min(rows, columns), U `[rows, r]`, s `[r]` in descending order, Vᵀ `[r, columns]`.
public struct SingularValueDecomposition<Scalar: LinearAlgebraScalar>: Sendable {
    public let u: Matrix<Scalar>
    public let singularValues: [Scalar]
    public let vTransposed: Matrix<Scalar>
}

/// A = Q · R, the economy form: with r = min(rows, columns), Q `[rows, r]` with orthonormal columns, R `[r, columns]` upper triangular.
public struct QRFactorisation<Scalar: LinearAlgebraScalar>: Sendable {
    public let q: Matrix<Scalar>
    public let r: Matrix<Scalar>
}

extension LinearAlgebra {
    /// The singular value decomposition, by divide and conquer (LAPACK gesdd).
    ///
    /// Throws `SwiftletError.invalidArgument` when the matrix is empty, has values that are not finite, or is too large for LAPACK's 32-bit
    /// workspace (the smaller side above about 23,000), and `SwiftletError.numerical` when the iteration does not converge.
    public static func singularValueDecomposition<Scalar: LinearAlgebraScalar>(
        _ matrix: Matrix<Scalar>
    ) throws -> SingularValueDecomposition<Scalar> {
        let (rows, columns) = try checkedSizes(matrix)
        let rank = min(matrix.rows, matrix.columns)
        // LAPACK states the workspace of gesdd, economy form, as 4·r² + 7·r and the larger side on top, in a 32-bit integer.
        // The sum cannot overflow here: r² is at most the number of elements in memory.
        let workspace = 4 * rank * rank + 7 * rank + max(matrix.rows, matrix.columns)
        guard workspace <= Int(Int32.max) else {
            throw SwiftletError.invalidArgument(
                name: "matrix", reason: "\(matrix.rows) × \(matrix.columns) needs a workspace of \(workspace) elements, beyond 32 bits",
                remedy: "Decompose smaller blocks.")
        }
        var work = matrix.elements
        var values = [Scalar](repeating: 0, count: rank)
        var u = [Scalar](repeating: 0, count: try elementCount(matrix.rows, rank))
        var vTransposed = [Scalar](repeating: 0, count: try elementCount(rank, matrix.columns))
        let status = Scalar.routines.singularValues(rows, columns, &work, columns, &values, &u, Int32(rank), &vTransposed, columns)
        try checkStatus(status, "gesdd", elements: workspace) { _ in "the iteration did not converge" }
        return SingularValueDecomposition(
            u: Matrix(rows: matrix.rows, columns: rank, computed: u), singularValues: values,
            vTransposed: Matrix(rows: rank, columns: matrix.columns, computed: vTransposed))
    }

    /// The QR factorisation by Householder reflections (LAPACK geqrf, orgqr). R's diagonal may be negative.
    ///
    /// Throws `SwiftletError.invalidArgument` when the matrix is empty, too large for 32-bit sizes, or has values that are not finite.
    public static func qrFactorisation<Scalar: LinearAlgebraScalar>(_ matrix: Matrix<Scalar>) throws -> QRFactorisation<Scalar> {
        let (rows, columns) = try checkedSizes(matrix)
        let rank = min(matrix.rows, matrix.columns)
        var work = matrix.elements
        var reflectors = [Scalar](repeating: 0, count: rank)
        let factored = Scalar.routines.factorQR(rows, columns, &work, columns, &reflectors)
        try checkStatus(factored, "geqrf", elements: work.count) { _ in "the factorisation failed" }
        var r = [Scalar](repeating: 0, count: try elementCount(rank, matrix.columns))
        for i in 0..<rank {
            for j in i..<matrix.columns { r[i * matrix.columns + j] = work[i * matrix.columns + j] }
        }
        // The reflectors lie below the diagonal of the first `rank` columns; orgqr turns them into Q in place.
        var q = [Scalar](repeating: 0, count: try elementCount(matrix.rows, rank))
        for i in 0..<matrix.rows {
            for j in 0..<rank { q[i * rank + j] = work[i * matrix.columns + j] }
        }
        let formed = Scalar.routines.formQ(rows, Int32(rank), Int32(rank), &q, Int32(rank), reflectors)
        try checkStatus(formed, "orgqr", elements: q.count) { _ in "the factorisation failed" }
        return QRFactorisation(
            q: Matrix(rows: matrix.rows, columns: rank, computed: q), r: Matrix(rows: rank, columns: matrix.columns, computed: r))
    }

    /// The lower triangular L with A = L · Lᵀ (LAPACK potrf). Only the lower triangle of `matrix` is read; it is taken as symmetric.
    ///
    /// Throws `SwiftletError.invalidArgument` when the matrix is empty, not square or has values that are not finite, and
    /// `SwiftletError.numerical` when it is not positive definite.
    public static func choleskyFactorisation<Scalar: LinearAlgebraScalar>(_ matrix: Matrix<Scalar>) throws -> Matrix<Scalar> {
        let (rows, columns) = try checkedSizes(matrix)
        guard rows == columns else {
            throw SwiftletError.invalidArgument(
                name: "matrix", reason: "\(rows) × \(columns) is not square", remedy: "Pass a symmetric, positive definite matrix.")
        }
        var work = matrix.elements
        let status = Scalar.routines.factorCholesky(rows, &work, columns)
        try checkStatus(status, "potrf", elements: work.count, remedy: "Add a small multiple of the identity to the matrix.") {
            "the matrix is not positive definite: its leading minor of order \($0) is not positive"
        }
        for i in 0..<matrix.rows {
            for j in (i + 1)..<matrix.columns { work[i * matrix.columns + j] = 0 }
        }
        return Matrix(rows: matrix.rows, columns: matrix.columns, computed: work)
    }

    /// The inverse of a lower triangular matrix, itself lower triangular (LAPACK trtri). Only the lower triangle of `matrix` is read.
    ///
    /// Throws `SwiftletError.invalidArgument` when the matrix is empty, not square or has values that are not finite, and
    /// `SwiftletError.numerical` when an element of its diagonal is zero.
    public static func inverse<Scalar: LinearAlgebraScalar>(ofLowerTriangle matrix: Matrix<Scalar>) throws -> Matrix<Scalar> {
        let (rows, columns) = try checkedSizes(matrix)
        guard rows == columns else {
            throw SwiftletError.invalidArgument(
                name: "matrix", reason: "\(rows) × \(columns) is not square", remedy: "Pass a square, lower triangular matrix.")
        }
        var work = matrix.elements
        let status = Scalar.routines.invertLower(rows, &work, columns)
        try checkStatus(status, "trtri", elements: work.count, remedy: "Remove rows and columns that are zero.") {
            "the matrix is singular: element \($0) of its diagonal is zero"
        }
        for i in 0..<matrix.rows {
            for j in (i + 1)..<matrix.columns { work[i * matrix.columns + j] = 0 }
        }
        return Matrix(rows: matrix.rows, columns: matrix.columns, computed: work)
    }

    /// Sizes for LAPACK, once the matrix is known to have elements and all of them finite: LAPACK would not end on some NaN inputs.
    private static func checkedSizes<Scalar: LinearAlgebraScalar>(_ matrix: Matrix<Scalar>) throws -> (rows: Int32, columns: Int32) {
        let sizes = (rows: try Dimension.checked(matrix.rows, "rows"), columns: try Dimension.checked(matrix.columns, "columns"))
        guard sizes.rows > 0, sizes.columns > 0 else {
            throw SwiftletError.invalidArgument(
                name: "matrix", reason: "\(matrix.rows) × \(matrix.columns) has no elements",
                remedy: "Pass at least one row and one column.")
        }
        guard let bad = matrix.elements.firstIndex(where: { !$0.isFinite }) else { return sizes }
        throw SwiftletError.invalidArgument(
            name: "matrix", reason: "element (\(bad / matrix.columns), \(bad % matrix.columns)) is \(matrix.elements[bad])",
            remedy: "Remove values that are not finite.")
    }

    /// Turns LAPACK's status into an error: positive is the routine's own failure, -1010 and -1011 are failed allocations of about `elements`.
    private static func checkStatus(
        _ status: Int32, _ routine: String, elements: Int, remedy: String = "Check the values of the matrix, or compute in Double.",
        reason: (Int32) -> String
    ) throws {
        switch status {
        case 0: return
        case 1...: throw SwiftletError.numerical(routine: routine, reason: reason(status), remedy: remedy)
        case -1010, -1011:
            throw SwiftletError.outOfMemory(bytes: elements * MemoryLayout<Double>.size, purpose: "the workspace of LAPACK \(routine)")
        default:
            throw SwiftletError.numerical(routine: routine, reason: "LAPACK refused argument \(-status)", remedy: remedy)
        }
    }
}
