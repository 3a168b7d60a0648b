import SwiftletCompress
import SwiftletTensor
import TestSupport
import Testing

@Suite struct InverseHessianTests {
    /// XᵀX of random rows.
    private static func gram(columns: Int, rows: Int, seed: UInt64, dead: Set<Int> = []) -> [Float] {
        var generator = SeededGenerator(seed: seed)
        let x = (0..<rows).map { _ in generator.floats(columns).enumerated().map { dead.contains($0) ? 0 : Double($1) } }
        return (0..<columns * columns).map { index in Float(x.reduce(0) { $0 + $1[index / columns] * $1[index % columns] }) }
    }

    /// (UᵀU)·H − I at its largest, where H is the damped matrix in the factor's order.
    private static func residual(_ inverse: InverseHessian, gram: [Float]) -> Double {
        let n = inverse.columns
        let live = (0..<n).filter { !inverse.isDead[$0] }
        let mean = live.reduce(0.0) { $0 + Double(gram[$1 * n + $1]) } / Double(n)
        func hessian(_ i: Int, _ j: Int) -> Double {
            let (row, column) = (inverse.order[i], inverse.order[j])
            let value = row == column && inverse.isDead[row] ? 1 : Double(gram[row * n + column])
            return value + (i == j ? inverse.damping * mean : 0)
        }
        func product(_ i: Int, _ j: Int) -> Double {
            (0...min(i, j)).reduce(0) { $0 + Double(inverse.factor[$1 * n + i]) * Double(inverse.factor[$1 * n + j]) }
        }
        var worst = 0.0
        for i in 0..<n {
            for j in 0..<n {
                let value = (0..<n).reduce(0.0) { $0 + product(i, $1) * hessian($1, j) }
                worst = max(worst, abs(value - (i == j ? 1 : 0)))
            }
        }
        return worst
    }

    @Test(arguments: [1, 2, 17]) func theFactorIsThatOfTheInverse(columns: Int) throws {
        let gram = Self.gram(columns: columns, rows: 3 * columns, seed: 5)
        let inverse = try InverseHessian(gram: gram, columns: columns, damping: 0.01)
        #expect(Self.residual(inverse, gram: gram) < 1e-4)
        #expect(inverse.damping == 0.01)
        for i in 0..<columns { for j in 0..<i { #expect(inverse.factor[i * columns + j] == 0) } }
    }

    @Test func columnsComeInTheOrderAskedFor() throws {
        let gram = Self.gram(columns: 6, rows: 20, seed: 6)
        let inverse = try InverseHessian(gram: gram, columns: 6, damping: 0.02, order: [3, 0, 5, 1, 4, 2])
        #expect(inverse.order == [3, 0, 5, 1, 4, 2])
        #expect(Self.residual(inverse, gram: gram) < 1e-4)
    }

    @Test func columnsWithoutInputAreDeadAndHarmNoOther() throws {
        let gram = Self.gram(columns: 5, rows: 20, seed: 7, dead: [1, 4])
        let inverse = try InverseHessian(gram: gram, columns: 5)
        #expect(inverse.isDead == [false, true, false, false, true])
        #expect(Self.residual(inverse, gram: gram) < 1e-4)
        // A change in a dead column needs no making up for.
        for j in 2..<5 { #expect(inverse.factor[1 * 5 + j] == 0) }
    }

    @Test func withoutAnyInputTheHessianIsTheIdentity() throws {
        let inverse = try InverseHessian(gram: [Float](repeating: 0, count: 9), columns: 3)
        #expect(inverse.factor == [1, 0, 0, 0, 1, 0, 0, 0, 1])
        #expect(inverse.isDead == [true, true, true])
    }

    @Test func aSingularMatrixIsDampedMore() throws {
        // Two equal columns: singular as it is.
        let inverse = try InverseHessian(gram: [1, 1, 1, 1], columns: 2, damping: 0)
        #expect(inverse.damping > 0)
        #expect(inverse.factor.allSatisfy { $0.isFinite })
    }

    @Test func whatIsNoHessianIsAnError() throws {
        #expect(throws: SwiftletError.self) { try InverseHessian(gram: [1, 2, 3], columns: 2) }
        #expect(throws: SwiftletError.self) { try InverseHessian(gram: [1, 0, 0, 1], columns: 2, order: [0, 0]) }
        #expect(throws: SwiftletError.self) { try InverseHessian(gram: [1, 0, 0, 1], columns: 2, damping: -1) }
        #expect(throws: SwiftletError.self) { try InverseHessian(gram: [.nan, 0, 0, 1], columns: 2) }
        let error = #expect(throws: SwiftletError.self) { try InverseHessian(gram: [1, 100, 100, 1], columns: 2, damping: 0.01) }
        guard case .numerical("potrf", _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}
