// A square root of the second moments of a layer's inputs: what turns the error of a weight into the error of the layer's outputs.
//
// With rows x of X, Σ‖(W − W′)x‖² = ‖(W − W′)·L‖² for any L with L·Lᵀ = XᵀX, so the best W′ of a rank follows from the singular value
// decomposition of W·L (Wang et al., "SVD-LLM", 2024; before them, as a weighted problem, Eckart and Young's theorem).
import SwiftletLinearAlgebra
import SwiftletRuntime

enum Whitening {
    /// L `[columns, columns]` with L·Lᵀ = `gram` / `rows`, its products of different columns made less by the factor `rows / (rows + prior·columns)`:
    /// as if as many rows had been seen besides whose columns are as loud but independent. Few rows say little about how columns go together, and what they
    /// leave out would otherwise count as never used.
    ///
    /// The Cholesky factor of the matrix scaled to a diagonal of ones, which makes it as exact for quiet columns as for loud ones; where the matrix is
    /// singular (without a prior: fewer rows than columns, columns that repeat each other) U·S^½ of its decomposition U·S·Uᵀ, with rounding's negative values as 0.
    /// Columns in which nothing ever flowed get rows of zeros. Throws what the decompositions throw.
    static func squareRoot(ofGram gram: [Float], columns: Int, rows: Int, prior: Double) throws -> Matrix<Double> {
        let share = 1 / Double(max(1, rows))
        let trust = Double(rows) / max(1, Double(rows) + prior * Double(columns))
        let scales = (0..<columns).map { (Double(gram[$0 * columns + $0]) * share).squareRoot() }
        var elements = [Double](repeating: 0, count: columns * columns)
        for i in 0..<columns {
            for j in 0..<columns {
                let scale = scales[i] * scales[j]
                elements[i * columns + j] = i == j ? 1 : scale > 0 ? Double(gram[i * columns + j]) * share * trust / scale : 0
            }
        }
        let correlations = try Matrix(rows: columns, columns: columns, elements: elements)
        let root = try root(of: correlations)
        return try Matrix(rows: columns, columns: columns, elements: root.elements.enumerated().map { $1 * scales[$0 / columns] })
    }

    private static func root(of matrix: Matrix<Double>) throws -> Matrix<Double> {
        do {
            return try LinearAlgebra.choleskyFactorisation(matrix)
        } catch SwiftletError.numerical {
            let parts = try LinearAlgebra.singularValueDecomposition(matrix)
            let size = matrix.columns
            // Of a symmetric matrix U and V differ in the sign of the columns of negative values, which are rounding here.
            let roots = (0..<size).map { column in
                let sign = (0..<size).reduce(0.0) { $0 + parts.u[$1, column] * parts.vTransposed[column, $1] }
                return sign > 0 ? parts.singularValues[column].squareRoot() : 0
            }
            return try Matrix(rows: size, columns: size, elements: parts.u.elements.enumerated().map { $1 * roots[$0 % size] })
        }
    }
}
