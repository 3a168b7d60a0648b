import SwiftletLinearAlgebra
import SwiftletTensor
import TestSupport
import Testing

@Suite struct MatrixMultiplyTests {
    /// op(A) · op(B) summed in Double, element by element.
    private static func naive<Scalar: LinearAlgebraScalar>(
        _ a: Matrix<Scalar>, _ b: Matrix<Scalar>, _ transposeA: Bool, _ transposeB: Bool
    ) -> [Double] {
        let m = transposeA ? a.columns : a.rows
        let k = transposeA ? a.rows : a.columns
        let n = transposeB ? b.rows : b.columns
        var result = [Double](repeating: 0, count: m * n)
        for i in 0..<m {
            for j in 0..<n {
                for l in 0..<k {
                    result[i * n + j] += Double(transposeA ? a[l, i] : a[i, l]) * Double(transposeB ? b[j, l] : b[l, j])
                }
            }
        }
        return result
    }

    private static let shapes = [(1, 1, 1), (3, 5, 7), (17, 33, 65), (64, 48, 576), (1, 100, 300), (40, 1, 9)]

    private static func check<Scalar: LinearAlgebraScalar>(_ type: Scalar.Type) throws {
        var generator = SeededGenerator(seed: 7)
        for (m, n, k) in shapes {
            for (transposeA, transposeB) in [(false, false), (true, false), (false, true), (true, true)] {
                let (aRows, aColumns) = transposeA ? (k, m) : (m, k)
                let (bRows, bColumns) = transposeB ? (n, k) : (k, n)
                let a = try Matrix(rows: aRows, columns: aColumns, elements: generator.floats(m * k).map { Scalar($0) })
                let b = try Matrix(rows: bRows, columns: bColumns, elements: generator.floats(k * n).map { Scalar($0) })
                let product = try LinearAlgebra.matrixMultiply(a, b, transposeA: transposeA, transposeB: transposeB)
                let expected = naive(a, b, transposeA, transposeB)
                let tolerance = 2 * Double(Scalar.ulpOfOne) * Double(k + 1)
                #expect(product.rows == m && product.columns == n)
                for (value, wanted) in zip(product.elements, expected) { #expect(abs(Double(value) - wanted) <= tolerance) }
            }
        }
    }

    @Test func singleAndDoubleMatchTheNaiveProduct() throws {
        try Self.check(Float.self)
        try Self.check(Double.self)
    }

    @Test(arguments: [(0, 3), (1, 1), (5, 0), (7, 3), (65, 130)]) func gramMatricesFillTheUpperTriangle(n: Int, k: Int) throws {
        var generator = SeededGenerator(seed: 3)
        let stride = n + 2
        let a = generator.floats(k * stride), before = generator.floats(n * stride)
        var c = before
        try a.withUnsafeBufferPointer { a in
            try c.withUnsafeMutableBufferPointer { c in
                try LinearAlgebra.addGramMatrix(n: n, k: k, a: MatrixView(a, stride: stride), to: MatrixView(c, stride: stride))
            }
        }
        for i in 0..<n {
            for j in 0..<stride {
                let sum = (0..<k).reduce(Double(before[i * stride + j])) { $0 + (j < n ? Double(a[$1 * stride + i]) * Double(a[$1 * stride + j]) : 0) }
                if j < i || j >= n { #expect(c[i * stride + j] == before[i * stride + j]) } else { #expect(abs(Double(c[i * stride + j]) - sum) < 1e-4) }
            }
        }
    }

    @Test func stridesAlphaAndBetaAreHonoured() throws {
        // A [2, 2] in rows of 3, B [2, 2] in rows of 4, C [2, 2] in rows of 3 with a guard column.
        let a: [Float] = [1, 2, 99, 3, 4]
        let b: [Float] = [5, 6, 99, 99, 7, 8]
        var c: [Float] = [10, 20, -7, 30, 40]
        try a.withUnsafeBufferPointer { a in
            try b.withUnsafeBufferPointer { b in
                try c.withUnsafeMutableBufferPointer { c in
                    try LinearAlgebra.matrixMultiply(
                        m: 2, n: 2, k: 2, alpha: 2, a: MatrixView(a, stride: 3), b: MatrixView(b, stride: 4), beta: 0.5,
                        c: MatrixView(c, stride: 3))
                }
            }
        }
        // A · B is [19, 22; 43, 50].
        let expected: [Float] = [38 + 5, 44 + 10, -7, 86 + 15, 100 + 20]
        #expect(c == expected)
    }

    @Test(arguments: [0, 3]) func zeroBetaOverwritesWhatIsNotANumber(k: Int) throws {
        let ones = [Double](repeating: 1, count: 6)
        var c = [Double](repeating: .nan, count: 4)
        try ones.withUnsafeBufferPointer { ones in
            try c.withUnsafeMutableBufferPointer { c in
                try LinearAlgebra.matrixMultiply(
                    m: 2, n: 2, k: k, a: MatrixView(ones, stride: 3), b: MatrixView(ones, stride: 2), c: MatrixView(c, stride: 2))
            }
        }
        #expect(c == [Double](repeating: Double(k), count: 4))
    }

    @Test func wrongShapesAreErrors() throws {
        let a = try Matrix<Float>(rows: 2, columns: 3, elements: [1, 2, 3, 4, 5, 6])
        #expect(throws: SwiftletError.self) { try LinearAlgebra.matrixMultiply(a, a) }
        #expect(throws: SwiftletError.self) { try Matrix<Float>(rows: 2, columns: 3, elements: [1]) }
        #expect(throws: SwiftletError.self) { try Matrix<Float>(rows: -1, columns: -1, elements: [1]) }
        #expect(throws: SwiftletError.self) { try Matrix<Float>(rows: Int.max, columns: 2, elements: []) }
        var c = [Float](repeating: 0, count: 4)
        // (m, n, k, stride of A, stride of B, stride of C), each wrong in one way for buffers of 6, 6 and 4 elements.
        let wrong = [
            (3, 2, 3, 3, 2, 2), (2, 2, 3, 2, 2, 2), (2, 2, 4, 4, 2, 2), (2, 2, 3, 3, 2, 3), (-1, 2, 3, 3, 2, 2),
            (2, 2, 1 << 33, 1 << 33, 2, 2),
        ]
        for (m, n, k, aStride, bStride, cStride) in wrong {
            #expect(throws: SwiftletError.self) {
                try a.elements.withUnsafeBufferPointer { a in
                    try c.withUnsafeMutableBufferPointer { c in
                        try LinearAlgebra.matrixMultiply(
                            m: m, n: n, k: k, a: MatrixView(a, stride: aStride), b: MatrixView(a, stride: bStride),
                            c: MatrixView(c, stride: cStride))
                    }
                }
            }
        }
    }

    @Test func emptyProductsAreEmptyOrZero() throws {
        let wide = try Matrix<Float>(rows: 0, columns: 3, elements: [])
        let tall = try Matrix<Float>(rows: 3, columns: 0, elements: [])
        #expect(try LinearAlgebra.matrixMultiply(wide, tall).elements.isEmpty)
        #expect(try LinearAlgebra.matrixMultiply(tall, wide).elements == [Float](repeating: 0, count: 9))
    }
}
