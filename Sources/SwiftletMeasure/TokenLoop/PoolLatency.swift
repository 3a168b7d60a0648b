// What the thread pool costs when there is nothing to do but to come: steps that all threads meet in, and programs of one such step.
import SwiftletRuntime

/// Nanoseconds of handing over, medians of several runs.
public struct PoolLatency: Sendable, Codable, Equatable {
    public let threads: Int
    /// One step with a task a thread, each of which waits for the others: handing over twice, into the step and out of it.
    public let stepNanoseconds: Double
    /// A program of one such step: starting all threads and waiting for them.
    public let runNanoseconds: Double

    /// Throws what creating threads throws.
    public static func measure(threads: Int, steps: Int = 10_000, runs: Int = 21) throws -> PoolLatency {
        let pool = try ThreadPool(threadCount: threads)
        let clock = ContinuousClock()
        func median(_ body: () -> Void) -> Double {
            (0..<max(1, runs)).map { _ in clock.measure(body) / .nanoseconds(1) }.sorted()[max(1, runs) / 2]
        }
        let (many, one) = (
            SyntheticProgram(steps: max(1, steps), tasks: threads, work: .meeting), SyntheticProgram(steps: 1, tasks: threads, work: .meeting)
        )
        pool.run(many)
        let step = median { pool.run(many) } / Double(max(1, steps))
        let run = median { for _ in 0..<200 { pool.run(one) } } / 200
        return PoolLatency(threads: threads, stepNanoseconds: step, runNanoseconds: run)
    }
}
