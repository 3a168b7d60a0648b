// The matrix that LAPACK results travel in, and the two scalar types BLAS and LAPACK have routines for.
import SwiftletTensor

/// A dense matrix, row-major: element (i, j) is `elements[i * columns + j]`.
public struct Matrix<Scalar: LinearAlgebraScalar>: Sendable, Equatable {
    public let rows: Int
    public let columns: Int
    /// `[rows, columns]`
    public internal(set) var elements: [Scalar]

    /// Throws `SwiftletError.invalidArgument` when a size is negative or `elements` does not have rows × columns elements.
    public init(rows: Int, columns: Int, elements: [Scalar]) throws {
        let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
        guard rows >= 0, columns >= 0, !overflow, count == elements.count else {
            throw SwiftletError.invalidArgument(
                name: "elements", reason: "\(elements.count) elements do not make a \(rows) × \(columns) matrix",
                remedy: "Pass rows × columns elements.")
        }
        self.rows = rows
        self.columns = columns
        self.elements = elements
    }

    /// A matrix this module computed; the caller vouches for the count.
    init(rows: Int, columns: Int, computed elements: [Scalar]) {
        self.rows = rows
        self.columns = columns
        self.elements = elements
    }

    public subscript(row: Int, column: Int) -> Scalar { elements[row * columns + column] }
}

/// `Float` and `Double`, the types BLAS and LAPACK compute in. Not for other types to adopt.
public protocol LinearAlgebraScalar: BinaryFloatingPoint, Sendable, BitwiseCopyable {
    /// The routines for this type.
    static var routines: Routines<Self> { get }
}

/// Sizes as BLAS and LAPACK take them: 32-bit signed integers.
enum Dimension {
    /// `value` for a BLAS argument. Throws `SwiftletError.invalidArgument` when it is negative or exceeds 32 bits.
    static func checked(_ value: Int, _ name: String) throws -> Int32 {
        guard value >= 0, let narrow = Int32(exactly: value) else {
            throw SwiftletError.invalidArgument(
                name: name, reason: "\(value) is not a size BLAS can take (0 to \(Int32.max))", remedy: "Work on smaller blocks.")
        }
        return narrow
    }
}
