// A layer's weight W [rows, columns] seen through its singular values: in plain norm, or in that of the outputs it has on data.
//
// With W·L = U·S·Vᵀ the best matrix of rank r in the norm ‖·L‖ is U_r·U_rᵀ·W: the outputs projected on the r directions in which they are largest.
// It needs no inverse of L, so a singular L is as good as any. Factors are B = U_r·S^½ and A = S^−½·U_rᵀ·W; with S shared between them the
// values that flow from A to B are of even size, which is kind to quantisation of either.
import SwiftletLinearAlgebra
import SwiftletRuntime

struct LayerSpectrum: Sendable {
    let rows: Int
    let columns: Int
    /// In descending order, as many as ranks may be wanted.
    let singularValues: [Double]
    /// ‖W·L‖², of all of them.
    let energy: Double
    /// U `[rows, singularValues.count]`
    let directions: [Float]

    /// Decomposes W·L for ranks up to `limit`; `root` nil stands for the identity.
    ///
    /// In double precision, but for matrices whose smaller side is above 1024, which would take long, in single. Throws `SwiftletError.numerical`
    /// and `.invalidArgument` where the decomposition fails or the weight is not finite.
    init(_ weight: [Float], rows: Int, columns: Int, root: Matrix<Double>?, limit: Int, seed: UInt64) throws {
        let whole = try Matrix(rows: rows, columns: columns, elements: weight.map(Double.init))
        let product = try root.map { try LinearAlgebra.matrixMultiply(whole, $0) } ?? whole
        let energy = product.elements.reduce(0) { $0 + $1 * $1 }
        if min(rows, columns) <= 1024 {
            self.init(try LinearAlgebra.truncatedSingularValueDecomposition(product, rank: limit, seed: seed), energy: energy, columns: columns)
        } else {
            let narrow = try Matrix(rows: rows, columns: columns, elements: product.elements.map { Float($0) })
            self.init(try LinearAlgebra.truncatedSingularValueDecomposition(narrow, rank: limit, seed: seed), energy: energy, columns: columns)
        }
    }

    private init<Scalar: LinearAlgebraScalar>(_ parts: SingularValueDecomposition<Scalar>, energy: Double, columns: Int) {
        rows = parts.u.rows
        self.columns = columns
        singularValues = parts.singularValues.map { Double($0) }
        self.energy = energy
        directions = parts.u.elements.map { Float($0) }
    }

    /// From parts that were kept.
    init(rows: Int, columns: Int, singularValues: [Double], energy: Double, directions: [Float]) {
        self.rows = rows
        self.columns = columns
        self.singularValues = singularValues
        self.energy = energy
        self.directions = directions
    }

    /// ‖(W − W_r)·L‖² / ‖W·L‖² for each rank r from 0 on.
    func errors() -> [Double] {
        guard energy > 0 else { return [Double](repeating: 0, count: singularValues.count + 1) }
        var rest = energy
        return [1]
            + singularValues.map { value in
                rest -= value * value
                return max(0, rest / energy)
            }
    }

    /// Two factors of a weight.
    struct Factors {
        /// A `[rank, columns]`
        let inner: [Float]
        /// B `[rows, rank]`
        let outer: [Float]
        /// ‖W − B·A‖² / ‖W‖², in plain norm.
        let error: Double
    }

    /// The factors of `weight` for a rank, which must be among those decomposed for.
    func factors(of weight: [Float], rank: Int) throws -> Factors {
        let kept = singularValues.count
        var left = [Double](repeating: 0, count: rows * rank)
        for row in 0..<rows { for column in 0..<rank { left[row * rank + column] = Double(directions[row * kept + column]) } }
        let basis = try Matrix(rows: rows, columns: rank, elements: left)
        let whole = try Matrix(rows: rows, columns: columns, elements: weight.map(Double.init))
        // The basis is orthonormal, so what the projection loses is what its norm lacks.
        let projected = try LinearAlgebra.matrixMultiply(basis, whole, transposeA: true)
        let total = whole.elements.reduce(0) { $0 + $1 * $1 }
        let caught = projected.elements.reduce(0) { $0 + $1 * $1 }
        // A direction without energy multiplies nothing: its factors are zeros.
        let roots = singularValues[..<rank].map { $0.squareRoot() }
        let inverses = roots.map { $0 > 0 ? 1 / $0 : 0 }
        return Factors(
            inner: projected.elements.enumerated().map { Float($1 * inverses[$0 / columns]) },
            outer: left.enumerated().map { Float($1 * roots[$0 % rank]) },
            error: total > 0 ? max(0, 1 - caught / total) : 0)
    }
}
