// The filters of sampling done the slow and obvious way: the whole vocabulary sorted, everything in Double.
import Foundation
import SwiftletLanguage

/// The distribution that `options` leave of `logits` (after bias and penalties), by token.
func naiveDistribution(_ logits: [Float], _ options: SamplingOptions) -> [Int32: Double] {
    var kept = logits.enumerated().filter { $0.element > -.infinity }.map { (token: Int32($0.offset), logit: Double($0.element)) }
    func probabilities() -> [Double] {
        let largest = kept.map(\.logit).max() ?? 0
        let weights = kept.map { exp($0.logit - largest) }
        let total = weights.reduce(0, +)
        return weights.map { $0 / total }
    }
    func sortByLogit() { kept.sort { $0.logit > $1.logit || ($0.logit == $1.logit && $0.token < $1.token) } }
    sortByLogit()
    if options.topK > 0 { kept = Array(kept.prefix(options.topK)) }
    if options.typicalP < 1 {
        let p = probabilities()
        let entropy = -p.map { $0 > 0 ? $0 * log($0) : 0 }.reduce(0, +)
        let order = kept.indices.sorted { abs(-log(p[$0]) - entropy) < abs(-log(p[$1]) - entropy) }
        var mass = 0.0, count = 0
        for index in order {
            mass += p[index]
            count += 1
            if mass > Double(options.typicalP) { break }
        }
        kept = order.prefix(count).map { kept[$0] }
        sortByLogit()
    }
    if options.topP < 1 {
        let p = probabilities()
        var mass = 0.0, count = 0
        for probability in p {
            mass += probability
            count += 1
            if mass >= Double(options.topP) { break }
        }
        kept = Array(kept.prefix(count))
    }
    if options.minP > 0 {
        let p = probabilities()
        let best = p.max() ?? 0
        kept = kept.indices.filter { p[$0] >= best * Double(options.minP) * (1 - 1e-6) }.map { kept[$0] }
    }
    kept = kept.map { ($0.token, $0.logit / Double(options.temperature)) }
    return Dictionary(uniqueKeysWithValues: zip(kept.map(\.token), probabilities()))
}
