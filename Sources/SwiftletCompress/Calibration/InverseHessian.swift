// The inverse Hessian of a layer's squared output error, as the factor that column-by-column methods (GPTQ, SparseGPT) walk along.
//
// For y = W·x the error of a row of W is e(w) = ‖X(w − w′)‖² with the Hessian 2·XᵀX. With H = XᵀX + λI and H⁻¹ = Uᵀ·U, U upper triangular, row i
// of U says how the columns after i make up for a change of column i while the columns before it stay as they are: a change of −c in column i
// costs (c / U[i, i])² and is made up for by −c / U[i, i] · U[i, j] in the columns j > i. Frantar and Alistarh, 2022 and 2023.
//
// U is computed without forming H⁻¹: read backwards (rows and columns reversed), H has a Cholesky factor L; backwards again, L⁻¹ is U.
import SwiftletLinearAlgebra
import SwiftletRuntime

/// The factor U of the inverse of a damped Hessian.
package struct InverseHessian: Sendable {
    /// `[columns, columns]`, upper triangular, zero below the diagonal; row and column k belong to the weight's column `order[k]`.
    package let factor: [Float]
    /// The weight's columns in the order they are worked through.
    package let order: [Int]
    /// By the weight's column: nothing ever flowed into it, so its weights are free, and 0 is the natural choice.
    package let isDead: [Bool]
    /// λ as a share of the mean of H's diagonal: what was asked for, or ten times as much as often as H was not positive definite in numbers.
    package let damping: Double

    package var columns: Int { order.count }

    /// The factor for the inputs `moments` were taken of, in the given `order` of columns (nil: as they are).
    ///
    /// Throws `SwiftletError.invalidArgument` when the moments have no gram matrix, and what `init(gram:columns:damping:order:)` throws.
    package init(_ moments: InputMoments, damping: Double = 0.01, order: [Int]? = nil) throws {
        guard let gram = moments.gram else {
            throw SwiftletError.invalidArgument(name: "moments", reason: "they were collected without the gram matrix", remedy: "Collect them with the order .gram.")
        }
        try self.init(gram: gram, columns: moments.columns, damping: damping, order: order)
    }

    /// The factor for XᵀX `[columns, columns]`, both triangles.
    ///
    /// Throws `SwiftletError.invalidArgument` when sizes or the order do not suit each other, damping is negative or a value is not finite, and
    /// `SwiftletError.numerical` when the matrix is not positive definite however it is damped.
    package init(gram: [Float], columns: Int, damping: Double = 0.01, order: [Int]? = nil) throws {
        let order = order ?? Array(0..<max(columns, 0))
        guard columns > 0, gram.count == columns * columns, order.sorted() == Array(0..<columns) else {
            throw SwiftletError.invalidArgument(
                name: "gram", reason: "\(gram.count) elements in an order of \(order.count) columns are no square matrix of \(columns)",
                remedy: "Pass columns × columns elements, and each column once.")
        }
        guard damping >= 0, damping.isFinite else {
            throw SwiftletError.invalidArgument(name: "damping", reason: "\(damping) is no share", remedy: "Use about 0.01.")
        }
        self.order = order
        isDead = (0..<columns).map { gram[$0 * columns + $0] == 0 }
        let live = (0..<columns).filter { gram[$0 * columns + $0] != 0 }
        let mean = live.isEmpty ? 0 : live.reduce(0.0) { $0 + Double(gram[$1 * columns + $1]) } / Double(columns)
        // H backwards: element (i, j) belongs to the columns order[n − 1 − i] and order[n − 1 − j].
        var hessian = [Double](repeating: 0, count: columns * columns)
        for (i, row) in order.reversed().enumerated() {
            for (j, column) in order.reversed().enumerated() { hessian[i * columns + j] = Double(gram[row * columns + column]) }
            if isDead[row] { hessian[i * columns + i] = 1 }
        }
        let (lower, used) = try Self.damped(hessian, columns, mean: mean, damping: damping)
        self.damping = used
        factor = try LinearAlgebra.inverse(ofLowerTriangle: lower).elements.reversed().map { Float($0) }
    }

    /// The first of a few dampings with which the Cholesky factorisation succeeds.
    private static func damped(_ hessian: [Double], _ columns: Int, mean: Double, damping: Double) throws -> (Matrix<Double>, Double) {
        var share = damping
        var attempt = 0
        while true {
            var work = hessian
            for i in 0..<columns { work[i * (columns + 1)] += share * mean }
            do {
                return (try LinearAlgebra.choleskyFactorisation(Matrix(rows: columns, columns: columns, elements: work)), share)
            } catch SwiftletError.numerical(let routine, let reason, _) {
                guard attempt < attempts else {
                    throw SwiftletError.numerical(
                        routine: routine, reason: "\(reason), even when damped by \(share) of its diagonal's mean", remedy: "Calibrate on more or other data.")
                }
                share = max(share * 10, smallestDamping)
                attempt += 1
            }
        }
    }

    /// How often damping is raised before the data are to blame.
    private static let attempts = 3
    private static let smallestDamping = 1e-6
}
