import SwiftletCompress
import SwiftletGraph
import SwiftletLinearAlgebra
import SwiftletRuntime
import TestSupport
import Testing

/// Rounding in blocks of columns against the method written out: column after column, each making up in all that follow.
@Suite struct FeedbackRoundingTests {
    /// XᵀX of rows with something in common; `dead` columns are zero.
    private static func gram(columns: Int, dead: Set<Int>, seed: UInt64) throws -> [Float] {
        var generator = SeededGenerator(seed: seed)
        let rows = columns + columns / 2
        let shared = generator.floats(rows)
        let x = generator.floats(rows * columns).enumerated().map { dead.contains($0 % columns) ? 0 : $1 + shared[$0 / columns] }
        let matrix = try Matrix(rows: rows, columns: columns, elements: x)
        return try LinearAlgebra.matrixMultiply(matrix, matrix, transposeA: true).elements
    }

    /// Column after column in Double; scales as the format sets them.
    private static func reference(_ weight: [Float], columns: Int, grid: BlockGrid, hessian: InverseHessian, fixesScalesFirst: Bool) throws -> [Float] {
        let elements = grid.format.blockElements
        var result: [Float] = []
        for start in stride(from: 0, to: weight.count, by: columns) {
            let row = (0..<columns).map { hessian.isDead[$0] ? 0 : weight[start + $0] }
            var rest = row.map { Double($0) }
            var values: [Int: BlockValues] = [:]
            func setScales(_ block: Int, _ weights: [Float]) throws {
                var bytes = [UInt8](repeating: 0, count: grid.format.blockBytes)
                try weights.withUnsafeBufferPointer { weights in
                    try bytes.withUnsafeMutableBytes { try grid.quantize(weights, importance: nil, searches: false, into: $0) }
                }
                values[block] = bytes.withUnsafeBytes { grid.values(of: $0) }
            }
            if fixesScalesFirst { for block in 0..<columns / elements { try setScales(block, Array(row[block * elements..<(block + 1) * elements])) } }
            var rounded = [Float](repeating: 0, count: columns)
            for place in 0..<columns {
                let column = hessian.order[place], block = column / elements
                if !fixesScalesFirst, column % elements == 0 { try setScales(block, rest[column..<column + elements].map { Float($0) }) }
                let value = try #require(values[block]).nearest(Float(rest[column]), at: column % elements).value
                rounded[column] = value
                let error = (rest[column] - Double(value)) / Double(hessian.factor[place * columns + place])
                for later in place + 1..<columns { rest[hessian.order[later]] -= error * Double(hessian.factor[place * columns + later]) }
            }
            result += rounded
        }
        return result
    }

    /// Less than a block of columns, a block, one more, and formats whose own blocks are wider than it.
    @Test(arguments: [
        (.q4_0, nil, 32), (.q4_1, 3, 128), (.q4_1, 3, 160), (.iq4_nl, nil, 288), (.q4_K, nil, 256), (.q6_K, nil, 512),
    ] as [(BlockFormat, Int?, Int)], [1, 9, 40])
    func blocksGiveWhatColumnsGive(format: (block: BlockFormat, bits: Int?, columns: Int), rows: Int) throws {
        let columns = format.columns
        let pool = try ThreadPool(threadCount: 2)
        let grid = try BlockGrid(format.block, bits: format.bits)
        let dead: Set = [0, 5, columns - 1]
        let gram = try Self.gram(columns: columns, dead: dead, seed: UInt64(columns))
        var generator = SeededGenerator(seed: UInt64(rows))
        let elements = generator.floats(rows * columns)
        let weight = try Weight(name: "w", shape: [rows, columns], floats: elements)
        let falling = (0..<columns).sorted { (gram[$0 * (columns + 1)], $1) > (gram[$1 * (columns + 1)], $0) }
        for order in [nil, falling] {
            let hessian = try InverseHessian(gram: gram, columns: columns, order: order)
            let rounding = FeedbackRounding(
                grid: grid, hessian: hessian, importance: Array(repeating: 1, count: columns), searches: false, fixesScalesFirst: order != nil, pool: pool)
            let got = try rounding.quantize(weight, name: "w").floats()
            let wanted = try Self.reference(elements, columns: columns, grid: grid, hessian: hessian, fixesScalesFirst: order != nil)
            // Where a weight lies between two levels the last bit decides, and the rest of its row follows: such rows are few, and their error is the same.
            let different = zip(got, wanted).filter { abs($0 - $1) > 1e-5 }.count
            #expect(different <= got.count / 20, "\(different) of \(got.count) differ")
            let errors = try [got, wanted].map { try InputMoments.energy(zip(elements, $0).map { $0 - $1 }, gram: gram, rows: rows, columns: columns) }
            #expect(abs(errors[0] - errors[1]) < 0.02 * errors[1], "\(errors)")
        }
    }

    @Test func aMatrixOfOtherColumnsIsAnError() throws {
        let pool = try ThreadPool(threadCount: 1)
        let hessian = try InverseHessian(gram: Self.gram(columns: 64, dead: [], seed: 1), columns: 64)
        let rounding = FeedbackRounding(
            grid: try BlockGrid(.q4_0), hessian: hessian, importance: Array(repeating: 1, count: 64), searches: false, fixesScalesFirst: false, pool: pool)
        for columns in [32, 48] {
            let weight = try Weight(name: "w", shape: [1, columns], floats: Array(repeating: 1, count: columns))
            #expect(throws: SwiftletError.self) { try rounding.quantize(weight, name: "w") }
        }
    }
}
