// Progress on standard error: a bar that redraws itself on a terminal, a plain line every tenth of the way elsewhere.
import Foundation
import Synchronization

/// Shows how far some work has come. Any thread may update it.
final class ProgressLine: Sendable {
    private struct State {
        var lastTenth = -1
        var lastDraw: ContinuousClock.Instant?
        var isDrawn = false
    }

    private let state = Mutex(State())
    private let title: String
    private static let width = 30

    init(_ title: String) { self.title = title }

    /// Shows `done` of `total` (nil when nobody knows), with `detail` after it.
    func update(done: Int, of total: Int?, detail: String) {
        let fraction = total.map { $0 > 0 ? min(1, Double(done) / Double($0)) : 0 }
        state.withLock { state in
            if Console.reportsToTerminal {
                let now = ContinuousClock.now
                if let last = state.lastDraw, now - last < .milliseconds(100), fraction != 1 { return }
                state.lastDraw = now
                state.isDrawn = true
                Console.reportPart("\r\u{1B}[K\(title) \(bar(fraction))\(detail)")
            } else {
                let tenth = fraction.map { Int($0 * 10) } ?? 0
                guard tenth > state.lastTenth else { return }
                state.lastTenth = tenth
                Console.report("\(title) \(fraction.map { "\(Int($0 * 100)) % " } ?? "")\(detail)")
            }
        }
    }

    /// Leaves the line as it is and goes on below it.
    func finish() {
        state.withLock { state in
            if state.isDrawn { Console.report("") }
            state.isDrawn = false
        }
    }

    private func bar(_ fraction: Double?) -> String {
        guard let fraction else { return "" }
        let filled = Int(fraction * Double(Self.width))
        return "[" + String(repeating: "#", count: filled) + String(repeating: " ", count: Self.width - filled)
            + "] \(Int(fraction * 100)) % "
    }
}
