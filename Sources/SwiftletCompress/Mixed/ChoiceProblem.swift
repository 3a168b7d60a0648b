// One choice for each layer so that the total loss is least and the total cost within a budget: the multiple-choice knapsack problem.
//
// Solved exactly by dynamic programming over the cost in units: costs are rounded up to units, so what is chosen never exceeds the budget; the
// relaxed problem (Lagrange) gives a lower bound of the loss that no choice can beat, which says how much the rounding may have cost.
// Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004, chapter 11.

/// Alternatives a layer, each with a cost and a loss.
package struct ChoiceProblem {
    package struct Alternative {
        /// Bytes or nanoseconds, not negative.
        package let cost: Int
        package let loss: Double

        package init(cost: Int, loss: Double) {
            self.cost = cost
            self.loss = loss
        }
    }

    /// A solution.
    package struct Solution {
        /// The index of the alternative taken, a layer each.
        package let choices: [Int]
        package let cost: Int
        package let loss: Double
        /// No choice within the budget has less loss than this.
        package let bound: Double
    }

    package let layers: [[Alternative]]

    package init(_ layers: [[Alternative]]) { self.layers = layers }

    /// Steps the budget is divided into.
    private static let units = 20_000

    /// The least cost any choice has.
    package var leastCost: Int { layers.reduce(0) { $0 + ($1.map(\.cost).min() ?? 0) } }

    /// The best choice within `budget`; nil when even the cheapest alternatives exceed it.
    package func solve(budget: Int) -> Solution? {
        guard leastCost <= budget, layers.allSatisfy({ !$0.isEmpty }) else { return nil }
        // What every choice costs at least is taken off, so that units measure differences only.
        let floors = layers.map { $0.map(\.cost).min() ?? 0 }
        let room = budget - leastCost
        let most = zip(layers, floors).reduce(0) { $0 + ($1.0.map(\.cost).max() ?? 0) - $1.1 }
        if room >= most { return solution(layers.map { layer in layer.indices.min { layer[$0].loss < layer[$1].loss } ?? 0 }, bound: nil) }
        let unit = max(1, (room + Self.units - 1) / Self.units)
        let capacity = room / unit
        var best = [Double](repeating: 0, count: capacity + 1)
        var taken: [[UInt8]] = []
        for (layer, floor) in zip(layers, floors) {
            var next = [Double](repeating: .infinity, count: capacity + 1)
            var choice = [UInt8](repeating: 0, count: capacity + 1)
            for (index, alternative) in layer.enumerated() {
                let weight = (alternative.cost - floor + unit - 1) / unit
                guard weight <= capacity else { continue }
                for used in weight...capacity where best[used - weight] + alternative.loss < next[used] {
                    next[used] = best[used - weight] + alternative.loss
                    choice[used] = UInt8(index)
                }
            }
            best = next
            taken.append(choice)
        }
        var used = capacity
        var choices = [Int](repeating: 0, count: layers.count)
        for index in layers.indices.reversed() {
            choices[index] = Int(taken[index][used])
            used -= (layers[index][choices[index]].cost - floors[index] + unit - 1) / unit
        }
        return solution(choices, bound: lowerBound(budget: budget))
    }

    /// The least cost with a loss of at most `loss`, by halves of the interval of budgets; nil when the best alternatives lose more.
    package func solve(loss: Double) -> Solution? {
        var (low, high) = (leastCost, layers.reduce(0) { $0 + ($1.map(\.cost).max() ?? 0) })
        guard var best = solve(budget: high), best.loss <= loss else { return nil }
        while low < high {
            let middle = low + (high - low) / 2
            if let solution = solve(budget: middle), solution.loss <= loss {
                (best, high) = (solution, middle)
            } else {
                low = middle + 1
            }
        }
        return best
    }

    /// The best choice within a budget of costs and one of times as well, of every alternative: times have a price, which is searched. Nil when no
    /// price brings both within their budgets.
    package func solve(budget: Int, times: [[Int]], time: Int) -> Solution? {
        func total(_ solution: Solution) -> Int { zip(times, solution.choices).reduce(0) { $0 + $1.0[$1.1] } }
        func priced(_ price: Double) -> ChoiceProblem {
            ChoiceProblem(zip(layers, times).map { layer, times in zip(layer, times).map { Alternative(cost: $0.cost, loss: $0.loss + price * Double($1)) } })
        }
        guard let free = solve(budget: budget) else { return nil }
        if total(free) <= time { return free }
        let least = times.flatMap { $0 }.filter { $0 > 0 }.min() ?? 1
        // Beyond this price a nanosecond costs more than everything can lose.
        var (low, high) = (0.0, max(1e-30, layers.reduce(0) { $0 + ($1.map(\.loss).max() ?? 0) }) / Double(least))
        var (best, bound): (Solution?, Double) = (nil, free.bound)
        for _ in 0..<40 {
            // Prices differ by orders of magnitude: the geometric middle, once there is one.
            let price = low > 0 ? (low * high).squareRoot() : high * 0x1p-20
            guard let solution = priced(price).solve(budget: budget) else { break }
            bound = max(bound, solution.bound - price * Double(time))
            if total(solution) <= time {
                high = price
                let own = self.solution(solution.choices, bound: nil)  // without the price
                if own.loss < best?.loss ?? .infinity { best = own }
            } else {
                low = price
            }
        }
        if best == nil, let dear = priced(high).solve(budget: budget), total(dear) <= time { best = dear }
        return best.map { self.solution($0.choices, bound: bound) }
    }

    private func solution(_ choices: [Int], bound: Double?) -> Solution {
        let loss = zip(layers, choices).reduce(0.0) { $0 + $1.0[$1.1].loss }
        return Solution(choices: choices, cost: zip(layers, choices).reduce(0) { $0 + $1.0[$1.1].cost }, loss: loss, bound: min(loss, bound ?? loss))
    }

    /// max over λ ≥ 0 of Σ min (loss + λ·cost) − λ·budget: concave in λ, so thirds of an interval that holds the maximum are cut off.
    private func lowerBound(budget: Int) -> Double {
        func value(_ lambda: Double) -> Double {
            layers.reduce(-lambda * Double(budget)) { sum, layer in sum + (layer.map { $0.loss + lambda * Double($0.cost) }.min() ?? 0) }
        }
        let losses = layers.flatMap { $0.map(\.loss) }
        // Beyond this price a byte costs more than any layer can lose.
        var (low, high) = (0.0, max((losses.max() ?? 0) - (losses.min() ?? 0), 1e-30))
        for _ in 0..<200 {
            let (a, b) = (low + (high - low) / 3, high - (high - low) / 3)
            if value(a) < value(b) { low = a } else { high = b }
        }
        return max(value(low), value(high), value(0))
    }
}
