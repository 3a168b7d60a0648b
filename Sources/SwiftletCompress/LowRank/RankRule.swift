// How ranks are chosen. Every technique offers, layer by layer, what it could make of the layer: ranks, what the factored layer would cost, and
// how far it would be from the whole one. A rule picks one of the offers of each layer, or leaves the layer alone.
import SwiftletRuntime

/// How ranks are chosen.
public enum RankRule: Sendable, Hashable {
    /// Each layer the cheapest ranks that keep this share of its energy (the squared norm of the weight, or of its outputs where they are known).
    case energy(Double)
    /// Each layer the best ranks that cost at most this share of its multiply-accumulates.
    case ratio(Double)
    /// All layers together at most this share of their multiply-accumulates, spent where it lowers the sum of the layers' ratios of noise to signal most.
    case sensitivity(Double)

    /// The name of the rule and its number, for messages.
    var description: String {
        switch self {
        case .energy(let share): "energy \(share)"
        case .ratio(let share): "ratio \(share)"
        case .sensitivity(let share): "sensitivity \(share)"
        }
    }

    static let parameters: [RecipeParameter] = [
        RecipeParameter(
            "rank", .choice(["sensitivity", "ratio", "energy"]), default: .text("sensitivity"),
            "how ranks are chosen: for all layers together, for each layer a share of its cost, or for each a share of its energy"),
        RecipeParameter("ratio", .number(0.01...1), default: .number(0.7), "share of multiply-accumulates kept, for sensitivity and ratio"),
        RecipeParameter("energy", .number(0...1), default: .number(0.95), "share of the squared norm kept, for energy"),
    ]

    init(_ values: RecipeValues) throws {
        self =
            switch try values.text("rank") {
            case "energy": .energy(try values.number("energy"))
            case "ratio": .ratio(try values.number("ratio"))
            default: .sensitivity(try values.number("ratio"))
            }
    }
}

/// What could be made of a layer.
package struct RankOffer: Sendable, Equatable {
    /// One rank for a product of two matrices, two (inner, outer) for a core between them.
    package let ranks: [Int]
    /// Multiply-accumulates of a run, as `denseCost` of the layer.
    package let cost: Int
    /// Squared error as a share of the squared norm of the whole.
    package let error: Double

    /// What is lost, per what is left: `e / (1 − e)`. Near the error where that is small; a layer that loses nearly everything, which no other can make
    /// good, counts without bound. Convex in the rank, as the error is.
    package var noise: Double { error < 1 ? error / (1 - error) : .greatestFiniteMagnitude }

    package init(ranks: [Int], cost: Int, error: Double) {
        self.ranks = ranks
        self.cost = cost
        self.error = error
    }
}

/// A layer that could be factored.
package struct RankCandidate: Sendable {
    /// Multiply-accumulates of a run: of a network those of one sample, of a language model those of one token.
    package let denseCost: Int
    /// Only offers that are really cheaper; none where there is no such.
    package let offers: [RankOffer]

    package init(denseCost: Int, offers: [RankOffer]) {
        self.denseCost = denseCost
        self.offers = offers
    }

    /// Factored layers cost a second start and a second pass over their results, so an offer must save a tenth at least.
    package static func isWorthwhile(cost: Int, denseCost: Int) -> Bool { Double(cost) <= 0.9 * Double(denseCost) }
}

extension RankRule {
    /// The offer taken for each candidate; nil for those left alone.
    package func choice(among candidates: [RankCandidate]) -> [RankOffer?] {
        switch self {
        case .energy(let share):
            // A hair more than asked for absorbs the rounding of sums over spectra.
            candidates.map { $0.offers.filter { $0.error <= 1 - share + 1e-12 }.min { ($0.cost, $0.error) < ($1.cost, $1.error) } }
        case .ratio(let share):
            candidates.map { candidate in
                candidate.offers.filter { Double($0.cost) <= share * Double(candidate.denseCost) }.min { ($0.error, $0.cost) < ($1.error, $1.cost) }
            }
        case .sensitivity(let share): Self.allocation(among: candidates, share: share)
        }
    }

    /// The budget `share` of the cost of all candidates, spent step by step where a multiply-accumulate lowers the sum of noise most.
    ///
    /// The steps of a layer are the edges of the lower convex hull of its offers, the whole layer (no noise) among them. The noise on a hull is
    /// convex in the cost and the problem is separable, so the greedy order is optimal for every budget at which it stops (Fox, 1966, "Discrete
    /// optimization via marginal analysis"); what is left is less than the next step, and smaller steps of other layers are tried with it.
    /// Every layer starts at its cheapest offer, whether the budget allows that or not.
    private static func allocation(among candidates: [RankCandidate], share: Double) -> [RankOffer?] {
        struct Step {
            let layer: Int
            let cost: Int
            /// What a multiply-accumulate of it lowers the error by.
            let slope: Double
            /// Nil for the whole layer.
            let target: RankOffer?
        }
        var choice: [RankOffer?] = []
        var steps: [Step] = []
        var spent = 0.0
        var budget = 0.0
        for (layer, candidate) in candidates.enumerated() {
            budget += share * Double(candidate.denseCost)
            let hull = lowerHull(candidate)
            choice.append(hull.first?.offer)
            spent += Double(hull.first?.cost ?? candidate.denseCost)
            var slope = Double.infinity
            for (from, to) in zip(hull, hull.dropFirst()) {
                // Slopes fall along a hull; rounding must not put a step of a layer before the one that leads to it.
                slope = min(slope, (from.noise - to.noise) / Double(max(1, to.cost - from.cost)))
                steps.append(Step(layer: layer, cost: to.cost - from.cost, slope: slope, target: to.offer))
            }
        }
        let order = steps.indices.sorted { (steps[$0].slope, $1) > (steps[$1].slope, $0) }
        var closed = Set<Int>()
        for step in order.map({ steps[$0] }) where !closed.contains(step.layer) {
            guard spent + Double(step.cost) <= budget else {
                closed.insert(step.layer)
                continue
            }
            spent += Double(step.cost)
            choice[step.layer] = step.target
        }
        return choice
    }

    private typealias Point = (cost: Int, noise: Double, offer: RankOffer?)

    /// The offers, and the whole layer as the last, that no mixture of two others beats, by rising cost. Empty when there are no offers.
    private static func lowerHull(_ candidate: RankCandidate) -> [Point] {
        guard !candidate.offers.isEmpty else { return [] }
        let sorted = candidate.offers.sorted { ($0.cost, $0.error) < ($1.cost, $1.error) }.map { Point($0.cost, $0.noise, $0) }
        var hull: [Point] = []
        for point in sorted + [(candidate.denseCost, 0, nil)] {
            // An offer that costs more must be better, but for the whole layer, which ends the hull.
            if let last = hull.last, point.noise >= last.noise, point.offer != nil { continue }
            while hull.count >= 2 {
                let (a, b) = (hull[hull.count - 2], hull[hull.count - 1])
                let isBelow = (a.noise - b.noise) * Double(point.cost - a.cost) > (a.noise - point.noise) * Double(b.cost - a.cost)
                if isBelow { break }
                hull.removeLast()
            }
            hull.append(point)
        }
        return hull
    }
}
