// The distribution a token was drawn from, kept for the moment another model judges that token.

/// Tokens with their probabilities; all others have none. Reusable; keeps its memory.
package struct TokenDistribution {
    package private(set) var entries: [(token: Int32, probability: Double)] = []

    package init() {}

    mutating func removeAll() { entries.removeAll(keepingCapacity: true) }
    mutating func append(_ token: Int32, _ probability: Double) { entries.append((token, probability)) }

    func probability(of token: Int32) -> Double { entries.first { $0.token == token }?.probability ?? 0 }
}
