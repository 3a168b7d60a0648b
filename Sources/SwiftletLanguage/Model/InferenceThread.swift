// The thread sessions compute on: a serial executor of our own, so that inference never blocks Swift's cooperative threads.
import Foundation

/// A serial executor backed by one thread, which sleeps while there is nothing to do.
///
/// `@unchecked Sendable`: the queue is only touched under the condition's lock.
final class InferenceThread: SerialExecutor, @unchecked Sendable {
    private let state = State()

    /// Shared with the thread, so that the thread does not keep the executor alive.
    private final class State: @unchecked Sendable {
        let condition = NSCondition()
        var jobs: [UnownedJob] = []
        var isStopping = false
        /// Set before the thread starts. Unowned: a job exists only while an actor does, and the actor holds the executor.
        var executor: UnownedSerialExecutor?
    }

    init() {
        let state = state
        let thread = Thread {
            while true {
                state.condition.lock()
                while state.jobs.isEmpty && !state.isStopping { state.condition.wait() }
                let jobs = state.jobs
                state.jobs.removeAll(keepingCapacity: true)
                let isDone = jobs.isEmpty && state.isStopping
                state.condition.unlock()
                if isDone { return }
                if let executor = state.executor { for job in jobs { job.runSynchronously(on: executor) } }
            }
        }
        thread.name = "swiftlet-inference"
        // Kernels keep their tiles in the pool's scratch; what nests here is Swift's own frames.
        thread.stackSize = 4 << 20
        state.executor = UnownedSerialExecutor(ordinary: self)
        thread.start()
    }

    deinit {
        state.condition.lock()
        state.isStopping = true
        state.condition.signal()
        state.condition.unlock()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.condition.lock()
        state.jobs.append(job)
        state.condition.signal()
        state.condition.unlock()
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}
