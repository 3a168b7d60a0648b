// The rule by which a tuning leaves the default: candidates by turns, the default twice, and a clear difference or none.
import SwiftletTensor

/// Times of candidates, measured by turns in rounds: `times[candidate][round]`, the default first, and once more as the last.
package struct TuningTrial {
    package let times: [[Double]]
    /// CPU time the process had of what its threads asked for, 0 to 1.
    package let cpuShare: Double

    /// The default is left only for a candidate so much faster.
    private static let margin = 1.05
    /// Twice the same must not differ by more, or the times say nothing.
    private static let agreement = 1.04
    /// Below this share other programs are being measured too.
    private static let neededShare = 0.9

    package init(times: [[Double]], cpuShare: Double) {
        self.times = times
        self.cpuShare = cpuShare
    }

    /// The index of the candidate to use.
    ///
    /// Throws `SwiftletError.numerical` when the machine is too busy or too unsteady to tell.
    package func choice() throws -> Int {
        guard cpuShare >= Self.neededShare else {
            throw Self.unsteady("other programs took \(Int((1 - cpuShare) * 100)) % of the cores")
        }
        // Others only ever make a time longer, so the fast end of the times is the machine's own; the fastest alone may be an accident.
        let quartiles = times.map { $0.sorted()[$0.count / 4] }
        guard let first = quartiles.first, let last = quartiles.last, first > 0, last > 0 else { throw Self.unsteady("no time was measured") }
        let candidates = quartiles.indices.dropLast()
        // However unsteady, when even the slower of the two runs of the default beats the others by more than the margin.
        if candidates.dropFirst().allSatisfy({ max(first, last) * Self.margin <= quartiles[$0] }) { return 0 }
        guard max(first, last) <= Self.agreement * min(first, last) else {
            throw Self.unsteady("the same settings took \(Int(((max(first, last) / min(first, last)) - 1) * 100)) % longer the second time")
        }
        guard let best = candidates.min(by: { quartiles[$0] < quartiles[$1] }), quartiles[best] * Self.margin <= min(first, last) else { return 0 }
        // Faster in nearly every round, not in some.
        let wins = times[best].indices.count { times[best][$0] < min(times[0][$0], times[times.count - 1][$0]) }
        return 4 * wins >= 3 * times[best].count ? best : 0
    }

    private static func unsteady(_ reason: String) -> SwiftletError {
        .numerical(routine: "tuning", reason: reason, remedy: "Run swiftlet doctor --tune again when the machine is quiet; nothing was changed.")
    }
}
