import SwiftletCompress
import TestSupport
import Testing


@Suite struct RankRuleTests {
    /// A candidate with convex noise: the squares of falling singular values.
    private static func candidate(_ size: Int, falling: Double, cost: Int = 10) -> RankCandidate {
        let squares = (0..<size).map { rank in (0..<rank).reduce(1.0) { value, _ in value * falling } }
        let energy = squares.reduce(0, +)
        let offers = (1..<size).compactMap { rank -> RankOffer? in
            let total = cost * size
            guard RankCandidate.isWorthwhile(cost: rank * cost * 3 / 2, denseCost: total) else { return nil }
            return RankOffer(ranks: [rank], cost: rank * cost * 3 / 2, error: squares[rank...].reduce(0, +) / energy)
        }
        return RankCandidate(denseCost: cost * size, offers: offers)
    }

    private static func totals(_ candidates: [RankCandidate], _ choice: [RankOffer?]) -> (cost: Int, noise: Double) {
        zip(candidates, choice).reduce((0, 0)) { ($0.0 + ($1.1?.cost ?? $1.0.denseCost), $0.1 + ($1.1?.noise ?? 0)) }
    }

    /// The least sum of noise within a cost, over all choices of an offer or the whole of each layer.
    private static func leastNoise(_ candidates: ArraySlice<RankCandidate>, within budget: Int) -> Double {
        guard let first = candidates.first else { return budget >= 0 ? 0 : .infinity }
        let options: [(cost: Int, noise: Double)] = first.offers.map { ($0.cost, $0.noise) } + [(first.denseCost, 0)]
        let sums = options.map { option -> Double in
            option.cost <= budget ? option.noise + leastNoise(candidates.dropFirst(), within: budget - option.cost) : .infinity
        }
        return sums.min() ?? .infinity
    }

    @Test func energyTakesTheCheapestThatKeepsEnough() {
        let candidate = RankCandidate(
            denseCost: 100,
            offers: [
                RankOffer(ranks: [1], cost: 20, error: 0.3), RankOffer(ranks: [2], cost: 40, error: 0.1), RankOffer(ranks: [3], cost: 60, error: 0.02),
            ])
        #expect(RankRule.energy(0.9).choice(among: [candidate])[0]?.ranks == [2])
        #expect(RankRule.energy(0.5).choice(among: [candidate])[0]?.ranks == [1])
        #expect(RankRule.energy(1).choice(among: [candidate]) == [nil])
    }

    @Test func ratioTakesTheBestThatCostsNoMore() {
        let candidate = Self.candidate(10, falling: 0.5)
        #expect(RankRule.ratio(0.6).choice(among: [candidate])[0]?.ranks == [4])
        #expect(RankRule.ratio(0.01).choice(among: [candidate]) == [nil])
        #expect(RankRule.ratio(0.6).choice(among: [RankCandidate(denseCost: 5, offers: [])]) == [nil])
    }

    @Test func sensitivityKeepsTheBudgetAndIsTheBestOfItsCost() {
        let candidates = [Self.candidate(6, falling: 0.9), Self.candidate(8, falling: 0.5), Self.candidate(7, falling: 0.7, cost: 25)]
        let whole = candidates.reduce(0) { $0 + $1.denseCost }
        for share in [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1] {
            let (cost, noise) = Self.totals(candidates, RankRule.sensitivity(share).choice(among: candidates))
            #expect(Double(cost) <= share * Double(whole))
            // Up to the first step that does not fit greedy is optimal, and no step costs more than the largest layer.
            let budget = Int(share * Double(whole))
            #expect(noise >= Self.leastNoise(candidates[...], within: budget) - 1e-12)
            #expect(noise <= Self.leastNoise(candidates[...], within: budget - 25 * 7) + 1e-12)
        }
        #expect(RankRule.sensitivity(1).choice(among: candidates) == [nil, nil, nil])
    }

    /// Two layers of the same sizes: budget goes to the one whose spectrum is flat.
    @Test func sensitivityGivesMoreToFlatSpectra() throws {
        let choice = RankRule.sensitivity(0.6).choice(among: [Self.candidate(12, falling: 0.4), Self.candidate(12, falling: 0.98)])
        let steep = try #require(choice[0]?.ranks.first)
        #expect(steep < choice[1]?.ranks.first ?? 12)
    }

    /// Steps of equal cost on convex errors without the whole layer in reach: greedy is exactly optimal.
    @Test func greedyIsOptimalForEqualSteps() {
        var generator = SeededGenerator(seed: 4)
        for _ in 0..<30 {
            let candidates = (0..<3).map { _ -> RankCandidate in
                let squares = generator.floats(6, in: 0...1).map(Double.init).sorted(by: >)
                let energy = squares.reduce(0, +)
                return RankCandidate(
                    denseCost: 1000, offers: (1...5).map { RankOffer(ranks: [$0], cost: 100 * $0, error: squares[$0...].reduce(0, +) / energy) })
            }
            for budget in [400, 700, 900] {
                let choice = RankRule.sensitivity(Double(budget) / 3000).choice(among: candidates)
                let (cost, noise) = Self.totals(candidates, choice)
                #expect(cost <= budget)
                #expect(abs(noise - Self.leastNoise(candidates[...], within: budget)) < 1e-12)
            }
        }
    }
}
