// How rows of logits are compared: by their largest difference, and as the distributions they stand for.
import Foundation

/// The difference of two sets of rows.
struct LogitComparison: CustomStringConvertible {
    /// The largest difference of a logit, divided by the largest logit expected.
    private(set) var relativeError = 0.0
    /// Kullback–Leibler divergence of the softmax of the actual row from that of the expected one, in nats: mean over rows and largest.
    private(set) var meanDivergence = 0.0
    private(set) var largestDivergence = 0.0
    /// Rows whose likeliest token is the same.
    private(set) var sameBest = 0
    let rows: Int

    init(expected: [[Float]], actual: [[Float]]) {
        rows = expected.count
        var (largest, difference) = (0.0, 0.0)
        for (row, other) in zip(expected, actual) {
            for (a, b) in zip(row, other) {
                largest = max(largest, abs(Double(a)))
                // A NaN must not pass as small.
                difference = (a - b).isFinite ? max(difference, abs(Double(a) - Double(b))) : .infinity
            }
            let divergence = Self.divergence(row, other)
            meanDivergence += divergence / Double(rows)
            largestDivergence = max(largestDivergence, divergence)
            sameBest += Self.best(row) == Self.best(other) ? 1 : 0
        }
        relativeError = expected.count == actual.count ? difference / largest : .infinity
    }

    var description: String {
        func short(_ value: Double) -> String { String(format: "%.2e", value) }
        return "error \(short(relativeError)), divergence mean \(short(meanDivergence)), largest \(short(largestDivergence)), "
            + "best token equal in \(sameBest) of \(rows)"
    }

    /// `Σ p·(ln p − ln q)` in Double.
    static func divergence(_ expected: [Float], _ actual: [Float]) -> Double {
        let (p, q) = (logProbabilities(expected), logProbabilities(actual))
        return zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
    }

    /// `x − ln Σ exp x` in Double.
    static func logProbabilities(_ row: [Float]) -> [Double] {
        let largest = Double(row.max() ?? 0)
        let total = log(row.reduce(0) { $0 + exp(Double($1) - largest) }) + largest
        return row.map { Double($0) - total }
    }

    static func best(_ row: [Float]) -> Int? { row.indices.max { row[$0] < row[$1] } }
}
