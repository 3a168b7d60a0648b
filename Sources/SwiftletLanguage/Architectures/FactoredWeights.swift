// Matrices that a file holds as the product of two: W [rows, columns] = B [rows, rank] · A [rank, columns], in place of W.
// The layout in files is described in Documentation/lowrank-weights.md.
import SwiftletFormats
import SwiftletRuntime

/// The names of the two factors of a weight.
package enum FactorNames {
    private static let inner = ".lowrank_a"
    private static let outer = ".lowrank_b"

    /// A, which multiplies first.
    package static func inner(of weight: String) -> String { weight + inner }
    /// B, whose rows are those of the weight.
    package static func outer(of weight: String) -> String { weight + outer }
    /// Whether a weight is one of the two.
    package static func areUsed(by weight: String) -> Bool { weight.hasSuffix(inner) || weight.hasSuffix(outer) }
}

extension WeightSource {
    /// Whether the file has factors in place of the matrix `name`.
    func hasFactors(of name: String) -> Bool { contains(FactorNames.inner(of: name)) || contains(FactorNames.outer(of: name)) }

    /// The factors A `[rank, columns]` and B `[rows, rank]` of the matrix `name`.
    ///
    /// Throws `SwiftletError.malformed` when one is missing, when the matrix is there as well, or where sizes do not fit each other or `shape`.
    func factors(of name: String, rows: Int, columns: Int) throws -> (inner: Weight, outer: Weight) {
        let (innerName, outerName) = (FactorNames.inner(of: name), FactorNames.outer(of: name))
        let inner = try file.requiredTensor(named: innerName)
        if let whole = file.tensor(named: name) {
            throw SwiftletError.malformed(
                file: file.path, offset: whole.fileOffset, reason: "the file has '\(name)' and its factor '\(innerName)'", remedy: "Leave one of them out.")
        }
        guard inner.shape.rank == 2, inner.shape[0] > 0 else {
            throw SwiftletError.malformed(
                file: file.path, offset: inner.fileOffset, reason: "tensor '\(innerName)' has the shape \(inner.shape), a matrix of rank rows is needed",
                remedy: "Factorise the model again.")
        }
        let rank = inner.shape[0]
        return (try weight(innerName, [rank, columns]), try weight(outerName, [rows, rank]))
    }
}
