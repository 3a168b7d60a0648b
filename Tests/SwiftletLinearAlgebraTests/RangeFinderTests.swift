import SwiftletLinearAlgebra
import SwiftletTensor
import TestSupport
import Testing

@Suite struct RangeFinderTests {
    private static func random(_ rows: Int, _ columns: Int, seed: UInt64) throws -> Matrix<Double> {
        var generator = SeededGenerator(seed: seed)
        return try Matrix(rows: rows, columns: columns, elements: generator.floats(rows * columns).map(Double.init))
    }

    /// A matrix with the singular values `spectrum(i)`.
    private static func matrix(_ rows: Int, _ columns: Int, _ spectrum: (Int) -> Double) throws -> Matrix<Double> {
        let rank = min(rows, columns)
        let (p, q) = (
            try LinearAlgebra.qrFactorisation(random(rows, rank, seed: 1)).q, try LinearAlgebra.qrFactorisation(random(columns, rank, seed: 2)).q
        )
        let scaled = try Matrix(rows: rows, columns: rank, elements: p.elements.enumerated().map { $1 * spectrum($0 % rank) })
        return try LinearAlgebra.matrixMultiply(scaled, q, transposeB: true)
    }

    /// ‖A − U·S·Vᵀ‖²
    private static func error(_ a: Matrix<Double>, _ parts: SingularValueDecomposition<Double>) throws -> Double {
        let rank = parts.singularValues.count
        let scaled = try Matrix(
            rows: a.rows, columns: rank, elements: parts.u.elements.enumerated().map { $1 * parts.singularValues[$0 % rank] })
        let product = try LinearAlgebra.matrixMultiply(scaled, parts.vTransposed)
        return zip(a.elements, product.elements).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }

    @Test(arguments: [(120, 90, 12), (90, 120, 12), (100, 100, 1), (64, 64, 15)])
    func steepSpectraAreFoundExactly(rows: Int, columns: Int, rank: Int) throws {
        func spectrum(_ index: Int) -> Double { (0..<index).reduce(1.0) { value, _ in value * 0.7 } }
        let a = try Self.matrix(rows, columns, spectrum)
        let parts = try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: rank, oversampling: 8)
        #expect(parts.u.rows == rows && parts.u.columns == rank && parts.vTransposed.rows == rank && parts.vTransposed.columns == columns)
        for (index, value) in parts.singularValues.enumerated() { #expect(abs(value - spectrum(index)) < 1e-9) }
        let gram = try LinearAlgebra.matrixMultiply(parts.u, parts.u, transposeA: true)
        for i in 0..<rank { for j in 0..<rank { #expect(abs(gram[i, j] - (i == j ? 1 : 0)) < 1e-12) } }
    }

    /// The hard case: nearly all singular values alike. The error stays within a few per cent of the best.
    @Test func flatSpectraAreNearTheBest() throws {
        func spectrum(_ index: Int) -> Double { 1 / Double(index + 1).squareRoot() }
        let a = try Self.matrix(300, 240, spectrum)
        let best = (20..<240).reduce(0.0) { $0 + spectrum($1) * spectrum($1) }
        var last = Double.infinity
        for iterations in [0, 1, 3] {
            let parts = try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: 20, oversampling: 10, powerIterations: iterations)
            let error = try Self.error(a, parts)
            #expect(error >= best - 1e-9 && error < last)
            last = error
        }
        #expect(last < 1.01 * best)
    }

    @Test func theSeedDecides() throws {
        let a = try Self.random(80, 70, seed: 9)
        let runs = try [3, 3, 4].map { try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: 4, oversampling: 4, powerIterations: 0, seed: $0) }
        #expect(runs[0].u == runs[1].u && runs[0].u != runs[2].u)
    }

    /// Large ranks come from the full decomposition.
    @Test func largeRanksAreExact() throws {
        let a = try Self.random(30, 20, seed: 9)
        let full = try LinearAlgebra.singularValueDecomposition(a)
        for rank in [5, 12, 20] {
            let parts = try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: rank)
            #expect(zip(parts.singularValues, full.singularValues).allSatisfy { abs($0 - $1) < 1e-12 } && parts.singularValues.count == rank)
        }
        let whole = try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: 20)
        #expect(zip(whole.u.elements, full.u.elements).allSatisfy { abs($0 - $1) < 1e-12 })
    }

    @Test func matricesOfZerosHaveZeros() throws {
        let a = try Matrix<Float>(rows: 64, columns: 80, elements: [Float](repeating: 0, count: 64 * 80))
        let parts = try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: 4)
        #expect(parts.singularValues == [0, 0, 0, 0] && parts.u.elements.allSatisfy(\.isFinite))
    }

    @Test func wrongRanksAreErrors() throws {
        let a = try Self.random(8, 6, seed: 1)
        for rank in [0, -1, 7] {
            #expect(throws: SwiftletError.self) { try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: rank) }
        }
        #expect(throws: SwiftletError.self) { try LinearAlgebra.truncatedSingularValueDecomposition(a, rank: 1, powerIterations: -1) }
        let nothing = try Matrix<Double>(rows: 0, columns: 4, elements: [])
        #expect(throws: SwiftletError.self) { try LinearAlgebra.truncatedSingularValueDecomposition(nothing, rank: 1) }
        let bad = try Matrix<Double>(rows: 40, columns: 40, elements: (0..<1600).map { $0 == 7 ? .nan : 1 })
        #expect(throws: SwiftletError.self) { try LinearAlgebra.truncatedSingularValueDecomposition(bad, rank: 2) }
    }
}
