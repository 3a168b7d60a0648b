// The BLAS and LAPACK routines used, once for Float (s…) and once for Double (d…), under common names, so that each operation is written once.
// Arguments are those of the published interfaces: cblas_?gemm, ?syrk, LAPACKE_?gesdd, ?geqrf, ?orgqr, ?potrf, ?trtri (netlib.org/lapack).
import COpenBLAS

/// The routines for one scalar type. All matrices are row-major; leading dimensions count elements from row to row.
public struct Routines<Scalar>: Sendable {
    typealias Pointer = UnsafePointer<Scalar>
    typealias Output = UnsafeMutablePointer<Scalar>

    let multiply:
        @Sendable (
            _ transposeA: CBLAS_TRANSPOSE, _ transposeB: CBLAS_TRANSPOSE, _ m: Int32, _ n: Int32, _ k: Int32, _ alpha: Scalar, _ a: Pointer,
            _ aStride: Int32, _ b: Pointer, _ bStride: Int32, _ beta: Scalar, _ c: Output, _ cStride: Int32
        ) -> Void
    let rankUpdate:
        @Sendable (
            _ transpose: CBLAS_TRANSPOSE, _ n: Int32, _ k: Int32, _ alpha: Scalar, _ a: Pointer, _ aStride: Int32, _ beta: Scalar, _ c: Output,
            _ cStride: Int32
        ) -> Void
    let singularValues:
        @Sendable (
            _ m: Int32, _ n: Int32, _ a: Output, _ aStride: Int32, _ s: Output, _ u: Output, _ uStride: Int32, _ vt: Output,
            _ vtStride: Int32
        ) -> Int32
    let factorQR: @Sendable (_ m: Int32, _ n: Int32, _ a: Output, _ aStride: Int32, _ tau: Output) -> Int32
    let formQ: @Sendable (_ m: Int32, _ n: Int32, _ k: Int32, _ a: Output, _ aStride: Int32, _ tau: Pointer) -> Int32
    let factorCholesky: @Sendable (_ n: Int32, _ a: Output, _ aStride: Int32) -> Int32
    let invertLower: @Sendable (_ n: Int32, _ a: Output, _ aStride: Int32) -> Int32
}

private let economy = CChar(UInt8(ascii: "S"))
private let lower = CChar(UInt8(ascii: "L"))
private let generalDiagonal = CChar(UInt8(ascii: "N"))

extension Float: LinearAlgebraScalar {
    public static let routines = Routines<Float>(
        multiply: { cblas_sgemm(CblasRowMajor, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) },
        rankUpdate: { cblas_ssyrk(CblasRowMajor, CblasUpper, $0, $1, $2, $3, $4, $5, $6, $7, $8) },
        singularValues: { LAPACKE_sgesdd(LAPACK_ROW_MAJOR, economy, $0, $1, $2, $3, $4, $5, $6, $7, $8) },
        factorQR: { LAPACKE_sgeqrf(LAPACK_ROW_MAJOR, $0, $1, $2, $3, $4) },
        formQ: { LAPACKE_sorgqr(LAPACK_ROW_MAJOR, $0, $1, $2, $3, $4, $5) },
        factorCholesky: { LAPACKE_spotrf(LAPACK_ROW_MAJOR, lower, $0, $1, $2) },
        invertLower: { LAPACKE_strtri(LAPACK_ROW_MAJOR, lower, generalDiagonal, $0, $1, $2) })
}

extension Double: LinearAlgebraScalar {
    public static let routines = Routines<Double>(
        multiply: { cblas_dgemm(CblasRowMajor, $0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) },
        rankUpdate: { cblas_dsyrk(CblasRowMajor, CblasUpper, $0, $1, $2, $3, $4, $5, $6, $7, $8) },
        singularValues: { LAPACKE_dgesdd(LAPACK_ROW_MAJOR, economy, $0, $1, $2, $3, $4, $5, $6, $7, $8) },
        factorQR: { LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, $0, $1, $2, $3, $4) },
        formQ: { LAPACKE_dorgqr(LAPACK_ROW_MAJOR, $0, $1, $2, $3, $4, $5) },
        factorCholesky: { LAPACKE_dpotrf(LAPACK_ROW_MAJOR, lower, $0, $1, $2) },
        invertLower: { LAPACKE_dtrtri(LAPACK_ROW_MAJOR, lower, generalDiagonal, $0, $1, $2) })
}
