// Programs that only measure: many equal steps of nothing, of meeting, or of reading memory, shared out over the threads as a model's steps are.
import CKernels
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A program of equal steps for a thread pool.
package final class SyntheticProgram: PoolTask {
    package enum Work {
        case nothing
        /// Every task waits for all others of its step, so that as many threads as tasks must come to each step.
        case meeting
        /// Step by step through the memory, with a loop of `ck_read_rows`.
        case read(AlignedMemory, loop: @convention(c) (UnsafeRawPointer?, Int) -> UInt64)
    }

    private let steps: Int
    private let tasks: Int
    private let work: Work
    private let arrivals = Atomic<Int>(0)

    /// `steps` steps of `tasks` tasks each. Tasks that meet must not be more than the pool's threads.
    package init(steps: Int, tasks: Int, work: Work) {
        self.steps = max(0, steps)
        self.tasks = max(0, tasks)
        self.work = work
    }

    package override func execute(_ worker: inout ThreadPool.Worker) {
        switch work {
        case .nothing:
            for _ in 0..<steps { worker.share(tasks) { _ in } }
        case .meeting:
            for _ in 0..<steps { worker.share(tasks) { _ in meet() } }
        case .read(let memory, let loop):
            // The loops take runs of 512 bytes.
            let (base, runs) = (memory.base, memory.bytes.count / max(1, steps) / 512)
            for step in 0..<steps {
                worker.share(tasks) { task in
                    let (first, end) = (runs * task / tasks, runs * (task + 1) / tasks)
                    _ = loop(base + (step * runs + first) * 512, (end - first) * 512)
                }
            }
        }
    }

    private func meet() {
        // A step's tasks have all arrived before the next step's first, so tickets of one step round up to the same number.
        let ticket = arrivals.add(1, ordering: .acquiringAndReleasing).newValue
        let all = (ticket + tasks - 1) / tasks * tasks
        var polls = 0
        while arrivals.load(ordering: .acquiring) < all {
            polls += 1
            if polls < 256 { ck_cpu_relax() } else { sched_yield() }
        }
    }
}
