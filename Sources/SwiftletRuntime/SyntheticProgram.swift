// Programs that only measure: many equal steps of nothing, of reading memory, or of arithmetic, shared out over the threads as a model's steps are.
import CKernels

/// A program of equal steps for a thread pool.
package final class SyntheticProgram: PoolTask {
    package enum Work {
        case nothing
        /// Step by step through the memory, with a loop of `ck_read_rows`.
        case read(AlignedMemory, loop: @convention(c) (UnsafeRawPointer?, Int) -> UInt64)
        /// A loop (of `ck_peak_rows`) and its rounds, in each task.
        case compute(@convention(c) (UInt64) -> Double, rounds: UInt64)
    }

    private let steps: Int
    private let tasks: Int
    private let work: Work

    /// `steps` steps of `tasks` tasks each.
    package init(steps: Int, tasks: Int, work: Work) {
        self.steps = max(0, steps)
        self.tasks = max(0, tasks)
        self.work = work
    }

    package override func execute(_ worker: inout ThreadPool.Worker) {
        switch work {
        case .nothing:
            for _ in 0..<steps { worker.share(tasks) { _ in } }
        case .read(let memory, let loop):
            // The loops take runs of 512 bytes.
            let (base, runs) = (memory.base, memory.bytes.count / max(1, steps) / 512)
            for step in 0..<steps {
                worker.share(tasks) { task in
                    let (first, end) = (runs * task / tasks, runs * (task + 1) / tasks)
                    _ = loop(base + (step * runs + first) * 512, (end - first) * 512)
                }
            }
        case .compute(let loop, let rounds):
            for _ in 0..<steps { worker.share(tasks) { _ in _ = loop(rounds) } }
        }
    }
}
