// The leading singular triples of a large matrix by a random projection: Halko, Martinsson and Tropp, "Finding structure with randomness"
// (SIAM Review 53, 2011), algorithms 4.4 (subspace iteration) and 5.1.
//
// Y = A·Ω with a thin Gaussian Ω spans nearly what the leading left singular vectors span; steps of Q ← qr(A·qr(Aᵀ·Q)) turn it towards them;
// the small matrix Qᵀ·A is decomposed in full. All work but the last is products and thin QR, which run at many times the speed of a full
// decomposition, whose reduction to bidiagonal form reads the matrix once a column.
import Foundation
import SwiftletTensor

extension LinearAlgebra {
    /// The `rank` largest singular values and their vectors: U `[rows, rank]`, s `[rank]`, Vᵀ `[rank, columns]`.
    ///
    /// Computed by a random projection where `rank` is below a quarter of the smaller side, else from the full decomposition, which is exact and then
    /// no slower. The projected one is as good as the spectrum falls: with `oversampling` p and q `powerIterations` the error of the approximation is,
    /// in expectation, within `(1 + sqrt(rank/(p − 1)) + e·sqrt(rank + p)/p·sqrt(min))^(1/(2q + 1))` of the best (their corollary 10.10). The same
    /// `seed` gives the same result.
    ///
    /// Throws `SwiftletError.invalidArgument` when `rank` is not between 1 and the smaller side, a count is negative, or the matrix is empty or
    /// not finite, and `SwiftletError.numerical` when the iteration of the small decomposition does not converge.
    public static func truncatedSingularValueDecomposition<Scalar: LinearAlgebraScalar>(
        _ matrix: Matrix<Scalar>, rank: Int, oversampling: Int = 16, powerIterations: Int = 3, seed: UInt64 = 0
    ) throws -> SingularValueDecomposition<Scalar> {
        let smaller = min(matrix.rows, matrix.columns)
        guard (1...max(1, smaller)).contains(rank) else {
            throw SwiftletError.invalidArgument(
                name: "rank", reason: "\(rank) is not between 1 and \(smaller), the smaller side of the matrix", remedy: "Ask for fewer singular values.")
        }
        guard oversampling >= 0, powerIterations >= 0 else {
            throw SwiftletError.invalidArgument(
                name: "oversampling", reason: "\(oversampling) columns more and \(powerIterations) iterations: one is negative", remedy: "Pass 0 or more.")
        }
        guard 4 * rank < smaller, rank + oversampling < smaller else {
            return try singularValueDecomposition(matrix).leading(rank)
        }
        let width = rank + oversampling
        var generator = Gaussian(seed: seed)
        let test = Matrix(rows: matrix.columns, columns: width, computed: (0..<matrix.columns * width).map { _ in Scalar(generator.next()) })
        var basis = try qrFactorisation(matrixMultiply(matrix, test)).q
        for _ in 0..<powerIterations {
            // Orthonormalised after each product: otherwise all columns turn towards the first singular vector and the rest drowns in rounding.
            let other = try qrFactorisation(matrixMultiply(matrix, basis, transposeA: true)).q
            basis = try qrFactorisation(matrixMultiply(matrix, other)).q
        }
        let small = try singularValueDecomposition(matrixMultiply(basis, matrix, transposeA: true))
        let whole = SingularValueDecomposition(
            u: try matrixMultiply(basis, small.u), singularValues: small.singularValues, vTransposed: small.vTransposed)
        return whole.leading(rank)
    }
}

extension SingularValueDecomposition {
    /// The `rank` largest singular values and their vectors; `rank` is at most the number there are.
    func leading(_ rank: Int) -> SingularValueDecomposition {
        guard rank < singularValues.count else { return self }
        let left = u.columns
        let kept = [Scalar](unsafeUninitializedCapacity: u.rows * rank) { target, count in
            for row in 0..<u.rows { for column in 0..<rank { target[row * rank + column] = u.elements[row * left + column] } }
            count = u.rows * rank
        }
        return SingularValueDecomposition(
            u: Matrix(rows: u.rows, columns: rank, computed: kept), singularValues: Array(singularValues[..<rank]),
            vTransposed: Matrix(rows: rank, columns: vTransposed.columns, computed: Array(vTransposed.elements[..<(rank * vTransposed.columns)])))
    }
}

/// Seeded normal numbers: SplitMix64 (Steele, Lea and Flood, 2014) and the polar method (Marsaglia and Bray, 1964).
private struct Gaussian {
    private var state: UInt64
    private var spare: Double?

    init(seed: UInt64) { state = seed }

    private mutating func uniform() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1
    }

    mutating func next() -> Double {
        if let value = spare {
            spare = nil
            return value
        }
        while true {
            let (x, y) = (uniform(), uniform())
            let square = x * x + y * y
            guard square > 0, square < 1 else { continue }
            let scale = (-2 * log(square) / square).squareRoot()
            spare = y * scale
            return x * scale
        }
    }
}
