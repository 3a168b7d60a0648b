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

    /// All choices of six layers with three alternatives each, by their sums.
    private func all(_ layers: [[Alternative]], _ times: [[Int]]) -> [(cost: Int, loss: Double, time: Int)] {
        (0..<729).map { code in
            var (rest, sum) = (code, (cost: 0, loss: 0.0, time: 0))
            for (layer, time) in zip(layers, times) {
                sum = (sum.cost + layer[rest % 3].cost, sum.loss + layer[rest % 3].loss, sum.time + time[rest % 3])
                rest /= 3
            }
            return sum
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>) func findsTheCheapestWithinALoss(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let layers = (0..<6).map { _ in
            (0..<3).map { _ in Alternative(cost: Int.random(in: 0...60, using: &generator), loss: Double.random(in: 0...1, using: &generator)) }
        }
        let choices = all(layers, layers.map { $0.map { _ in 0 } }), problem = ChoiceProblem(layers)
        for loss in stride(from: 0, through: 6, by: 0.37) {
            let best = choices.filter { $0.loss <= loss }.map(\.cost).min()
            let solution = problem.solve(loss: loss)
            #expect(solution?.cost == best, "loss \(loss)")
            #expect(solution.map { $0.loss <= loss } ?? true)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>) func keepsBothBudgets(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let layers = (0..<6).map { _ in
            (0..<3).map { _ in Alternative(cost: Int.random(in: 0...60, using: &generator), loss: Double.random(in: 0...1, using: &generator)) }
        }
        let times = layers.map { $0.map { _ in Int.random(in: 1...40, using: &generator) } }
        let choices = all(layers, times), problem = ChoiceProblem(layers)
        var solved = 0
        for budget in stride(from: 60, through: 360, by: 60) {
            for time in stride(from: 20, through: 200, by: 30) {
                let best = choices.filter { $0.cost <= budget && $0.time <= time }.map(\.loss).min()
                guard let solution = problem.solve(budget: budget, times: times, time: time) else { continue }
                let least = try #require(best, "what cannot be kept is kept")
                solved += 1
                #expect(solution.cost <= budget && zip(times, solution.choices).reduce(0) { $0 + $1.0[$1.1] } <= time)
                #expect(solution.loss >= least - 1e-9 && solution.bound <= least + 1e-9)
            }
            // A time nobody exceeds leaves the best choice of the budget alone.
            #expect(problem.solve(budget: budget, times: times, time: 240)?.loss == problem.solve(budget: budget)?.loss)
        }
        #expect(solved > 10)
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
