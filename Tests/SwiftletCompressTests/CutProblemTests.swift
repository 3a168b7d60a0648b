// Cuts against trying every choice.
import SwiftletCompress
import TestSupport
import Testing

@Suite struct CutProblemTests {
    private static func problem(_ seed: UInt64, roundedWeights: Bool) -> CutProblem {
        var generator = SeededGenerator(seed: seed)
        func number(_ low: Float, _ high: Float) -> Double { Double(generator.floats(1, in: low...high)[0]) }
        let count = 6
        let layers = (0..<count).map { _ in
            CutProblem.Layer(
                weightLoss: number(0, 1), floatBytes: Int(number(10, 1000)), floatTime: number(-5, 100), allowsFloat: true, allowsRoundedWeight: roundedWeights)
        }
        // A chain with a value around three of its layers, and values at the ends.
        var values = (0..<count - 1).map { CutProblem.Value(layers: [$0, $0 + 1], loss: number(0, 0.5), borderTime: number(0, 20)) }
        values.append(CutProblem.Value(layers: [1, 3, 4], loss: number(0, 0.5), borderTime: number(0, 20)))
        values.append(CutProblem.Value(layers: [0], loss: number(0, 0.5)))
        values.append(CutProblem.Value(layers: [], loss: number(0, 0.5)))
        return CutProblem(layers: layers, values: values)
    }

    private static func all(_ problem: CutProblem, roundedWeights: Bool) -> [CutProblem.Outcome] {
        let choices: [LayerPrecision] = roundedWeights ? [.int8, .int8Weights, .float] : [.int8, .float]
        var lists: [[LayerPrecision]] = [[]]
        for _ in problem.layers { lists = lists.flatMap { list in choices.map { list + [$0] } } }
        return lists.map(problem.outcome)
    }

    @Test(arguments: 1...8, [false, true]) func nothingWithinTheBudgetsIsBelowTheBound(seed: Int, roundedWeights: Bool) throws {
        let problem = Self.problem(UInt64(seed), roundedWeights: roundedWeights)
        let all = Self.all(problem, roundedWeights: roundedWeights)
        var (found, best) = (0.0, 0.0)
        for bytes in [nil, 0, 300, 1000, 2500] as [Int?] {
            for time in [nil, 0.0, 60, 200] as [Double?] {
                let fitting = all.filter { $0.bytes <= bytes ?? .max && $0.time <= time ?? .infinity }
                let least = try #require(fitting.map(\.loss).min())
                let solution = try #require(problem.leastLoss(bytes: bytes, time: time))
                #expect(solution.outcome.bytes <= bytes ?? .max && solution.outcome.time <= time ?? .infinity)
                #expect(problem.outcome(solution.outcome.precisions).loss == solution.outcome.loss)
                #expect(solution.bound <= least + 1e-9 && least <= solution.outcome.loss + 1e-9)
                if bytes == nil, time == nil { #expect(abs(solution.outcome.loss - least) < 1e-9) }
                found += solution.outcome.loss
                best += least
            }
        }
        // The search is no exact one, but near.
        #expect(found < 1.1 * best + 1e-9)
    }

    @Test(arguments: 1...8) func theFewestBytesForALoss(seed: Int) throws {
        let problem = Self.problem(UInt64(seed), roundedWeights: false)
        let all = Self.all(problem, roundedWeights: false)
        let range = (all.map(\.loss).min() ?? 0, all.map(\.loss).max() ?? 0)
        #expect(abs(problem.leastLoss - range.0) < 1e-9)
        for share in [0, 0.3, 0.7, 1] {
            let loss = range.0 + share * (range.1 - range.0) + 1e-9
            let fewest = try #require(all.filter { $0.loss <= loss }.map(\.bytes).min())
            let solution = try #require(problem.fewestBytes(loss: loss))
            #expect(solution.outcome.loss <= loss)
            #expect(solution.bound <= Double(fewest) + 1e-6 && fewest <= solution.outcome.bytes && Double(solution.outcome.bytes) <= 1.5 * Double(fewest) + 1)
        }
        #expect(problem.fewestBytes(loss: range.0 - 0.01) == nil)
    }

    /// Between two integer layers a float weight gains nothing, so its neighbour goes with it or it stays.
    @Test func floatsBetweenIntegersGainNothing() throws {
        var layers = [(0.1, 50), (1, 10), (0.05, 60)].map { CutProblem.Layer(weightLoss: $0.0, floatBytes: $0.1) }
        layers[1].maker = 0
        layers[1].readers = [2]
        let values = [CutProblem.Value(layers: [0, 1], loss: 0.01), CutProblem.Value(layers: [1, 2], loss: 0.01)]
        let problem = CutProblem(layers: layers, values: values)
        #expect(problem.leastLoss(bytes: 10, time: nil)?.outcome.precisions == [.int8, .int8, .int8])
        #expect(problem.leastLoss(bytes: 60, time: nil)?.outcome.precisions == [.float, .float, .int8])
        #expect(problem.fewestBytes(loss: 0.2)?.outcome.precisions == [.float, .float, .int8])
        #expect(try #require(problem.leastLoss(bytes: 10, time: nil)).bound <= 0.17 + 1e-9)
    }

    @Test func aTimeThatNothingKeepsToIsNone() {
        let problem = CutProblem(layers: [CutProblem.Layer(weightLoss: 1, floatBytes: 10, floatTime: 5)], values: [])
        #expect(problem.leastLoss(bytes: nil, time: -1) == nil && problem.leastLoss(bytes: -1, time: nil) == nil)
        #expect(problem.leastLoss(bytes: 10, time: 5)?.outcome.precisions == [.float])
        #expect(problem.leastLoss(bytes: 10, time: 4.9)?.outcome.precisions == [.int8])
        #expect(problem.leastLoss(bytes: 9, time: 5)?.outcome.precisions == [.int8])
    }
}
