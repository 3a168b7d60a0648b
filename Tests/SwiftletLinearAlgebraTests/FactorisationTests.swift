import SwiftletLinearAlgebra
import SwiftletTensor
import TestSupport
import Testing

@Suite struct FactorisationTests {
    private static func random<Scalar: LinearAlgebraScalar>(_ rows: Int, _ columns: Int, seed: UInt64) throws -> Matrix<Scalar> {
        var generator = SeededGenerator(seed: seed)
        return try Matrix(rows: rows, columns: columns, elements: generator.floats(rows * columns).map { Scalar($0) })
    }

    private static func transposed<Scalar: LinearAlgebraScalar>(_ matrix: Matrix<Scalar>) throws -> Matrix<Scalar> {
        let elements = (0..<matrix.columns).flatMap { column in (0..<matrix.rows).map { matrix[$0, column] } }
        return try Matrix(rows: matrix.columns, columns: matrix.rows, elements: elements)
    }

    /// A · B in plain loops.
    private static func product<Scalar: LinearAlgebraScalar>(_ a: Matrix<Scalar>, _ b: Matrix<Scalar>) throws -> Matrix<Scalar> {
        var elements: [Scalar] = []
        for i in 0..<a.rows {
            for j in 0..<b.columns { elements.append((0..<a.columns).reduce(0) { $0 + a[i, $1] * b[$1, j] }) }
        }
        return try Matrix(rows: a.rows, columns: b.columns, elements: elements)
    }

    private static func distance<Scalar: LinearAlgebraScalar>(_ a: Matrix<Scalar>, _ b: Matrix<Scalar>) -> Double {
        guard a.rows == b.rows, a.columns == b.columns else { return .infinity }
        return zip(a.elements, b.elements).map { abs(Double($0) - Double($1)) }.max() ?? 0
    }

    private static func identity<Scalar: LinearAlgebraScalar>(_ size: Int) throws -> Matrix<Scalar> {
        try Matrix(rows: size, columns: size, elements: (0..<size * size).map { $0 / size == $0 % size ? 1 : 0 })
    }

    private static func checkSingularValues<Scalar: LinearAlgebraScalar>(_ rows: Int, _ columns: Int, _ type: Scalar.Type) throws {
        let matrix: Matrix<Scalar> = try random(rows, columns, seed: UInt64(rows * 100 + columns))
        let result = try LinearAlgebra.singularValueDecomposition(matrix)
        let rank = min(rows, columns)
        let tolerance = 40 * Double(Scalar.ulpOfOne) * Double(max(rows, columns))
        #expect(
            result.u.rows == rows && result.u.columns == rank && result.vTransposed.rows == rank && result.vTransposed.columns == columns)
        #expect(result.singularValues.count == rank && result.singularValues == result.singularValues.sorted(by: >))
        let scaled = try Matrix(
            rows: rows, columns: rank, elements: (0..<rows * rank).map { result.u.elements[$0] * result.singularValues[$0 % rank] })
        #expect(distance(try product(scaled, result.vTransposed), matrix) < tolerance)
        #expect(distance(try product(try transposed(result.u), result.u), try identity(rank)) < tolerance)
        #expect(distance(try product(result.vTransposed, try transposed(result.vTransposed)), try identity(rank)) < tolerance)
    }

    @Test(arguments: [(1, 1), (5, 3), (3, 5), (40, 17), (30, 30)]) func singularValuesRebuildTheMatrix(rows: Int, columns: Int) throws {
        try Self.checkSingularValues(rows, columns, Double.self)
        try Self.checkSingularValues(rows, columns, Float.self)
    }

    @Test func singularValuesOfAKnownMatrix() throws {
        // AᵀA of [[3, 0], [4, 5]] has eigenvalues 45 and 5.
        let result = try LinearAlgebra.singularValueDecomposition(try Matrix<Double>(rows: 2, columns: 2, elements: [3, 0, 4, 5]))
        #expect(abs(result.singularValues[0] - 45.0.squareRoot()) < 1e-14)
        #expect(abs(result.singularValues[1] - 5.0.squareRoot()) < 1e-14)
    }

    @Test(arguments: [(1, 1), (6, 4), (4, 6), (31, 31)]) func qrRebuildsTheMatrix(rows: Int, columns: Int) throws {
        let matrix: Matrix<Double> = try Self.random(rows, columns, seed: 3)
        let result = try LinearAlgebra.qrFactorisation(matrix)
        let rank = min(rows, columns)
        #expect(Self.distance(try Self.product(result.q, result.r), matrix) < 1e-13)
        #expect(Self.distance(try Self.product(try Self.transposed(result.q), result.q), try Self.identity(rank)) < 1e-13)
        for i in 0..<rank { for j in 0..<i { #expect(result.r[i, j] == 0) } }
    }

    @Test(arguments: [1, 2, 25]) func choleskyRebuildsTheMatrix(size: Int) throws {
        let root: Matrix<Double> = try Self.random(size, size + 5, seed: 11)
        let matrix = try Self.product(root, try Self.transposed(root))
        let l = try LinearAlgebra.choleskyFactorisation(matrix)
        #expect(Self.distance(try Self.product(l, try Self.transposed(l)), matrix) < 1e-12)
        for i in 0..<size { for j in (i + 1)..<max(size, i + 1) { #expect(l[i, j] == 0) } }
    }

    @Test(arguments: [1, 2, 25]) func theInverseOfATriangleTimesItIsTheIdentity(size: Int) throws {
        // What is above the diagonal must not matter.
        let full: Matrix<Double> = try Self.random(size, size, seed: 21)
        let lower = try Matrix(
            rows: size, columns: size,
            elements: full.elements.enumerated().map { index, value in
                let (i, j) = (index / size, index % size)
                return i == j ? 2 + value : i > j ? value : 0
            })
        let dirty = try Matrix(rows: size, columns: size, elements: zip(lower.elements, full.elements).map { $0 == 0 ? $1 : $0 })
        let inverse = try LinearAlgebra.inverse(ofLowerTriangle: dirty)
        #expect(Self.distance(try Self.product(lower, inverse), try Self.identity(size)) < 1e-12)
        for i in 0..<size { for j in (i + 1)..<max(size, i + 1) { #expect(inverse[i, j] == 0) } }
        let single = try Matrix<Float>(rows: 2, columns: 2, elements: [4, 9, 1, 0.5])
        #expect(try LinearAlgebra.inverse(ofLowerTriangle: single).elements == [0.25, 0, -0.5, 2])
    }

    @Test func aTriangleWithAZeroOnItsDiagonalHasNoInverse() throws {
        let singular = try Matrix<Float>(rows: 2, columns: 2, elements: [1, 0, 3, 0])
        let error = #expect(throws: SwiftletError.self) { try LinearAlgebra.inverse(ofLowerTriangle: singular) }
        guard case .numerical("trtri", let reason, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("element 2"))
        let oblong: Matrix<Float> = try Self.random(2, 3, seed: 1)
        #expect(throws: SwiftletError.self) { try LinearAlgebra.inverse(ofLowerTriangle: oblong) }
    }

    @Test func dataNoMethodHandlesIsAnError() throws {
        let indefinite = try Matrix<Float>(rows: 2, columns: 2, elements: [1, 2, 2, 1])
        let error = #expect(throws: SwiftletError.self) { try LinearAlgebra.choleskyFactorisation(indefinite) }
        guard case .numerical("potrf", let reason, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("order 2"))
        let oblong: Matrix<Float> = try Self.random(2, 3, seed: 1)
        #expect(throws: SwiftletError.self) { try LinearAlgebra.choleskyFactorisation(oblong) }
        for bad in [Double.nan, .infinity] {
            let matrix = try Matrix<Double>(rows: 1, columns: 2, elements: [0, bad])
            #expect(throws: SwiftletError.self) { try LinearAlgebra.singularValueDecomposition(matrix) }
            #expect(throws: SwiftletError.self) { try LinearAlgebra.qrFactorisation(matrix) }
        }
        let empty = try Matrix<Double>(rows: 0, columns: 2, elements: [])
        #expect(throws: SwiftletError.self) { try LinearAlgebra.singularValueDecomposition(empty) }
        #expect(throws: SwiftletError.self) { try LinearAlgebra.qrFactorisation(empty) }
        #expect(throws: SwiftletError.self) { try LinearAlgebra.choleskyFactorisation(empty) }
    }
}
