import SwiftletCompress
import SwiftletTensor
import TestSupport
import Testing

@Suite struct SparsityPatternTests {
    private static func removed(
        _ pattern: SparsityPattern, _ scores: [Float], rows: Int, sparsity: Double, comparison: PruningComparison = .layer
    ) -> [Bool] {
        scores.withUnsafeBufferPointer {
            pattern.removed(scores: $0, rows: rows, columns: scores.count / rows, sparsity: sparsity, comparison: comparison)
        }
    }

    @Test(arguments: [0, 1, 2, 7, 63, 64, 99, 100]) func theLowestScoresAreThoseASortGives(count: Int) {
        var generator = SeededGenerator(seed: UInt64(count))
        // Few distinct values, some of them extreme: ties and all three radix passes.
        let values: [Float] = [0, 1e-40, 1e-9, 0.25, 0.25000003, 0.5, 3, 3e30]
        let scores = (0..<100).map { _ in values[Int.random(in: 0..<values.count, using: &generator)] }
        var lowest = scores.withUnsafeBufferPointer { scores in LowestScores(count: count) { $0(scores) } }
        let taken = scores.indices.filter { lowest.takes(scores[$0]) }
        let expected = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }.prefix(count).sorted()
        #expect(taken == expected)
    }

    @Test func scoresHandedOutInBlocksCountTogether() {
        let blocks: [[Float]] = [[5, 1], [], [4], [2, 3]]
        var lowest = LowestScores(count: 3) { count in for block in blocks { block.withUnsafeBufferPointer(count) } }
        #expect(blocks.flatMap { $0 }.map { lowest.takes($0) } == [false, true, false, true, true])
    }

    @Test func rowsOrTheWholeLayerCompete() {
        let scores: [Float] = [1, 2, 3, 4, 10, 20, 30, 40]
        #expect(Self.removed(.free, scores, rows: 2, sparsity: 0.5) == [true, true, true, true, false, false, false, false])
        #expect(Self.removed(.free, scores, rows: 2, sparsity: 0.5, comparison: .row) == [true, true, false, false, true, true, false, false])
    }

    @Test(arguments: [(2, 4), (4, 8), (1, 2), (1, 4)]) func ofEachGroupAtMostNStay(kept: Int, group: Int) {
        var generator = SeededGenerator(seed: 3)
        // A tail of every length.
        for columns in 1...(2 * group + 1) {
            let scores = generator.floats(3 * columns, in: 0...1)
            let removed = Self.removed(.grouped(kept: kept, of: group), scores, rows: 3, sparsity: 1 - Double(kept) / Double(group))
            for row in 0..<3 {
                for start in stride(from: 0, to: columns, by: group) {
                    let range = row * columns + start..<row * columns + min(columns, start + group)
                    let expected = range.sorted { scores[$0] > scores[$1] }.prefix(kept)
                    #expect(range.filter { !removed[$0] } == expected.sorted())
                }
            }
        }
    }

    @Test func blocksGoAsAWholeByTheirMean() {
        // Two rows of 2 × 16 + 3: the last block of a row has 3 columns and wins by its mean, not its sum.
        var scores = [Float](repeating: 1, count: 2 * 35)
        for column in 0..<16 { scores[column] = 2 }
        for column in 32..<35 { scores[column] = 5 }
        for column in 35..<70 { scores[column] = 3 }
        let removed = Self.removed(.blocks(rows: 1, columns: 16), scores, rows: 2, sparsity: 1.0 / 3)
        #expect(removed.indices.filter { removed[$0] } == Array(0..<32))
        let tall = Self.removed(.blocks(rows: 16, columns: 1), (0..<(20 * 3)).map { Float($0 % 3) + ($0 / 3 < 16 ? 0 : 10) }, rows: 20, sparsity: 0.5)
        #expect(tall.indices.filter { tall[$0] } == (0..<16 * 3).map { $0 })
    }

    @Test func nothingAndNearlyAllCanGo() {
        let scores: [Float] = (0..<1000).map { Float($0) }
        #expect(!Self.removed(.free, scores, rows: 10, sparsity: 0).contains(true))
        #expect(Self.removed(.free, scores, rows: 10, sparsity: 0.999).filter { $0 }.count == 999)
        #expect(Self.removed(.free, scores, rows: 10, sparsity: 0.999, comparison: .row).filter { $0 }.count == 1000)
        #expect(Self.removed(.free, [Float](repeating: 0, count: 8), rows: 2, sparsity: 0.5, comparison: .row).filter { $0 }.count == 4)
    }

    @Test func patternsAreReadAsTheyArePrinted() throws {
        for name in SparsityPattern.names { #expect(try SparsityPattern(name).description == name) }
        #expect(try SparsityPattern("16x1") == .blocks(rows: 16, columns: 1))
        for bad in ["", "4:2", "2:2", "0:4", "x16", "1x", "1x0", "2:4:8", "dense", "-1x4"] {
            #expect(throws: SwiftletError.self) { try SparsityPattern(bad) }
        }
    }

    @Test func sparsityThatContradictsThePatternIsAnError() throws {
        try SparsityPattern.grouped(kept: 2, of: 4).check(sparsity: 0.5)
        #expect(throws: SwiftletError.self) { try SparsityPattern.grouped(kept: 2, of: 4).check(sparsity: 0.6) }
        for bad in [-0.1, 1, 1.5, Double.nan] { #expect(throws: SwiftletError.self) { try SparsityPattern.free.check(sparsity: bad) } }
        #expect(throws: SwiftletError.self) { try PruningSchedule(rounds: 0).check(with: .free, sparsity: 0.5) }
        #expect(throws: SwiftletError.self) { try PruningSchedule(rounds: 2).check(with: .grouped(kept: 2, of: 4), sparsity: 0.5) }
    }

    @Test func sparsityRisesAsACube() {
        let schedule = PruningSchedule(rounds: 4)
        #expect((1...4).map { schedule.sparsity(0.64, round: $0) }.elementsEqual([0.37, 0.56, 0.63, 0.64]) { abs($0 - $1) < 1e-12 })
        #expect(PruningSchedule().sparsity(0.5, round: 1) == 0.5)
    }
}
