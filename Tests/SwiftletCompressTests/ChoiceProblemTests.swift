import SwiftletCompress
import TestSupport
import Testing

@Suite struct ChoiceProblemTests {
    private typealias Alternative = ChoiceProblem.Alternative

    @Test(arguments: 0..<30 as Range<UInt64>) func findsTheBestOfAllChoices(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let layers = (0..<6).map { _ in
            (0..<3).map { _ in Alternative(cost: Int.random(in: 0...60, using: &generator), loss: Double.random(in: 0...1, using: &generator)) }
        }
        let problem = ChoiceProblem(layers)
        for budget in stride(from: 0, through: 400, by: 23) {
            var best: Double?
            for code in 0..<729 {
                var (rest, cost, loss) = (code, 0, 0.0)
                for layer in layers {
                    cost += layer[rest % 3].cost
                    loss += layer[rest % 3].loss
                    rest /= 3
                }
                if cost <= budget, loss < best ?? .infinity { best = loss }
            }
            let solution = problem.solve(budget: budget)
            #expect((solution == nil) == (best == nil))
            guard let solution, let best else { continue }
            #expect(abs(solution.loss - best) < 1e-9)
            #expect(solution.cost <= budget)
            #expect(solution.bound <= best + 1e-9)
        }
    }

    @Test func largeCostsAreRoundedTowardsTheBudget() throws {
        let layers = (0..<200).map { index in [Alternative(cost: 1_000_003 + index, loss: 1), Alternative(cost: 2_000_011 + index, loss: 0)] }
        let problem = ChoiceProblem(layers)
        let budget = problem.leastCost + 70 * 1_000_008 + 12_345
        let solution = try #require(problem.solve(budget: budget))
        #expect(solution.cost <= budget)
        // Exactly 70 can be raised; units may cost one of them.
        #expect(solution.loss <= 131)
        #expect(solution.bound <= 130)
        #expect(problem.solve(budget: problem.leastCost - 1) == nil)
        #expect(problem.solve(budget: problem.leastCost)?.loss == 200)
        #expect(ChoiceProblem([]).solve(budget: 0)?.loss == 0)
    }
}
