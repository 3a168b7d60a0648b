// Our own threads: every thread walks the whole program, sharing the tasks of each step, and goes on when a step's tasks are done.
//
// A step is over when its last task is, not when every thread has been there: a thread the system has taken off its core holds up nobody
// unless it sits in the middle of a task. It skips what is done when it comes back. (A barrier a step made a busy machine ten times slower.)
// Between programs workers spin for a moment, because the next token comes soon, then sleep; an idle pool costs nothing.
import CKernels
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What a pool runs: every thread enters `execute` once. A class, so that handing it over neither allocates nor counts references.
package class PoolTask {
    package func execute(_ worker: inout ThreadPool.Worker) {}
}

/// A fixed set of threads for programs. The caller of `run` is thread 0; the pool owns the others.
///
/// `@unchecked Sendable`: the shared fields are atomics, or written only by the caller of `run` (serialised by `gate`) before the
/// release store of `generation` that workers acquire.
package final class ThreadPool: @unchecked Sendable {
    package let threadCount: Int

    private let generation = Atomic<UInt32>(0)
    private let finished = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    /// Finished tasks of the step in progress, and the number of the last step that is over.
    private let doneTasks = Atomic<Int>(0)
    private let completedEpoch = Atomic<UInt32>(0)
    /// One a thread, `cursorStride` apart: (step epoch, next task of the thread's own share).
    private let cursors: UnsafeMutablePointer<Atomic<UInt64>>
    private static let cursorStride = 16

    private var job: Unmanaged<PoolTask>?
    private var stepEpoch: UInt32 = 0
    private var isStopping = false
    private var workers: [pthread_t] = []
    /// Held during `run`. A POSIX mutex, which the thread sanitizer knows; it does not see the futex inside `Synchronization.Mutex`.
    private let gate: UnsafeMutablePointer<pthread_mutex_t>
    private let sleepMutex: UnsafeMutablePointer<pthread_mutex_t>
    private let sleepCondition: UnsafeMutablePointer<pthread_cond_t>

    /// About 100 µs of polling: longer than sampling a token takes.
    package static let defaultPolls = 4_000

    /// How often a worker that has nothing to do looks for a new program before it sleeps.
    private let pollsBeforeSleep: Int

    /// Starts `threadCount − 1` threads. Throws when the count is not positive or the system refuses a thread.
    package init(threadCount: Int, pollsBeforeSleep: Int = ThreadPool.defaultPolls) throws {
        guard (1...512).contains(threadCount) else {
            throw SwiftletError.invalidArgument(name: "threads", reason: "\(threadCount) is not between 1 and 512", remedy: "Give a positive thread count.")
        }
        self.threadCount = threadCount
        self.pollsBeforeSleep = max(0, pollsBeforeSleep)
        cursors = .allocate(capacity: threadCount * Self.cursorStride)
        for index in 0..<threadCount * Self.cursorStride { (cursors + index).initialize(to: Atomic(0)) }
        gate = .allocate(capacity: 1)
        sleepMutex = .allocate(capacity: 1)
        sleepCondition = .allocate(capacity: 1)
        pthread_mutex_init(gate, nil)
        pthread_mutex_init(sleepMutex, nil)
        pthread_cond_init(sleepCondition, nil)
        for index in 1..<threadCount {
            let start = WorkerStart(pool: Unmanaged.passUnretained(self), index: index)
            let box = UnsafeMutablePointer<WorkerStart>.allocate(capacity: 1)
            box.initialize(to: start)
            #if canImport(Glibc)
                var thread = pthread_t()
            #else
                var thread: pthread_t?
            #endif
            let status = pthread_create(&thread, nil, { argument in
                guard let argument else { return nil }
                let box = argument.assumingMemoryBound(to: WorkerStart.self)
                let start = box.move()
                box.deallocate()
                start.pool._withUnsafeGuaranteedRef { $0.work(as: start.index) }
                return nil
            }, box)
            #if canImport(Glibc)
                let created: pthread_t? = thread
            #else
                let created = thread
            #endif
            guard status == 0, let created else {
                box.deallocate()
                stop()
                throw SwiftletError.invalidArgument(
                    name: "threads", reason: "the system refuses thread \(index) (\(String(cString: strerror(status))))", remedy: "Ask for fewer threads.")
            }
            workers.append(created)
        }
    }

    deinit {
        stop()
        (cursors).deinitialize(count: threadCount * Self.cursorStride)
        cursors.deallocate()
        pthread_cond_destroy(sleepCondition)
        pthread_mutex_destroy(sleepMutex)
        pthread_mutex_destroy(gate)
        sleepCondition.deallocate()
        sleepMutex.deallocate()
        gate.deallocate()
    }

    private struct WorkerStart {
        let pool: Unmanaged<ThreadPool>
        let index: Int
    }

    /// Runs `task` on every thread at once and returns when all have finished. Callers from several threads take turns.
    package func run(_ task: PoolTask) {
        pthread_mutex_lock(gate)
        defer { pthread_mutex_unlock(gate) }
        var leader = Worker(pool: Unmanaged.passUnretained(self), index: 0, epoch: stepEpoch)
        if threadCount > 1 {
            job = Unmanaged.passUnretained(task)
            finished.store(0, ordering: .relaxed)
            generation.add(1, ordering: .sequentiallyConsistent)
            if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wakeAll() }
        }
        task.execute(&leader)
        if threadCount > 1 {
            var polls = 0
            while finished.load(ordering: .acquiring) < threadCount - 1 { Self.pause(&polls) }
        }
        stepEpoch = leader.epoch
    }

    private func work(as index: Int) {
        var seen: UInt32 = 0
        while true {
            waitForWork(after: seen)
            seen &+= 1
            if isStopping { return }
            if let job {
                var worker = Worker(pool: Unmanaged.passUnretained(self), index: index, epoch: stepEpoch)
                job._withUnsafeGuaranteedRef { $0.execute(&worker) }
            }
            finished.add(1, ordering: .releasing)
        }
    }

    private func waitForWork(after seen: UInt32) {
        for _ in 0..<pollsBeforeSleep {
            if generation.load(ordering: .acquiring) != seen { return }
            ck_cpu_relax()
        }
        pthread_mutex_lock(sleepMutex)
        sleepers.add(1, ordering: .sequentiallyConsistent)
        while generation.load(ordering: .sequentiallyConsistent) == seen { pthread_cond_wait(sleepCondition, sleepMutex) }
        sleepers.subtract(1, ordering: .relaxed)
        pthread_mutex_unlock(sleepMutex)
    }

    private func wakeAll() {
        pthread_mutex_lock(sleepMutex)
        pthread_cond_broadcast(sleepCondition)
        pthread_mutex_unlock(sleepMutex)
    }

    private func stop() {
        isStopping = true
        generation.add(1, ordering: .sequentiallyConsistent)
        wakeAll()
        for worker in workers { pthread_join(worker, nil) }
        workers = []
    }

    /// One poll of a wait: cheap at first, and giving the core away once the wait is long (another thread may need it to arrive).
    @inline(__always)
    fileprivate static func pause(_ polls: inout Int) {
        polls += 1
        if polls < 256 { ck_cpu_relax() } else { sched_yield() }
    }

    /// A thread's view of the pool during one `run`.
    package struct Worker {
        fileprivate let pool: Unmanaged<ThreadPool>
        package let index: Int
        fileprivate var epoch: UInt32

        /// One step: runs `body` for tasks of `0..<total` until none is left to take, and returns when all are done, whoever did them.
        ///
        /// Every thread must call it the same number of times with the same totals. What tasks wrote is visible to all afterwards.
        /// - Parameters:
        ///   - last: What follows the tasks, once and before any thread goes on: run by the thread that ended the last task.
        ///   - waiting: Called at each poll while others are still busy.
        @inline(__always)
        package mutating func share(_ total: Int, _ body: (Int) -> Void, last: () -> Void = {}, waiting: () -> Void = {}) {
            if total == 0 { return }
            epoch &+= 1
            pool._withUnsafeGuaranteedRef { pool in
                if pool.threadCount == 1 {
                    for task in 0..<total { body(task) }
                    last()
                    return
                }
                var done = 0
                while let task = pool.nextTask(of: total, worker: index, epoch: epoch) {
                    body(task)
                    done += 1
                }
                pool.finish(done, of: total, epoch: epoch, last, waiting)
            }
        }
    }

    /// The next task of a step, or nil when all are taken: the thread's own share first, then what others left of theirs.
    @inline(__always)
    private func nextTask(of total: Int, worker: Int, epoch: UInt32) -> Int? {
        for offset in 0..<threadCount {
            let share = worker + offset < threadCount ? worker + offset : worker + offset - threadCount
            if let task = claim(share: share, end: (share + 1) * total / threadCount, start: share * total / threadCount, epoch: epoch) { return task }
        }
        return nil
    }

    /// Takes the next task of a thread's share.
    ///
    /// The epoch in the upper half makes the cursors of earlier steps read as untouched. A thread that comes late finds a later epoch, or its
    /// own with nothing left: a step is only over when every task was taken, so it can take nothing that is not its step's.
    @inline(__always)
    private func claim(share: Int, end: Int, start: Int, epoch: UInt32) -> Int? {
        let cursor = cursors + share * Self.cursorStride
        var current = cursor.pointee.load(ordering: .relaxed)
        while true {
            let age = Int32(bitPattern: UInt32(truncatingIfNeeded: current >> 32) &- epoch)
            if age > 0 { return nil }
            let next = age == 0 ? Int(UInt32(truncatingIfNeeded: current)) : start
            if next >= end { return nil }
            let taken = UInt64(epoch) << 32 | UInt64(UInt32(truncatingIfNeeded: next + 1))
            let (exchanged, original) = cursor.pointee.weakCompareExchange(expected: current, desired: taken, ordering: .relaxed)
            if exchanged { return next }
            current = original
        }
    }

    /// Reports `done` finished tasks and waits until the step is over.
    @inline(__always)
    private func finish(_ done: Int, of total: Int, epoch: UInt32, _ last: () -> Void, _ waiting: () -> Void) {
        // Whoever reports the last task has, through the chain of additions, seen all that the others wrote, and hands it on.
        if done > 0, doneTasks.add(done, ordering: .acquiringAndReleasing).newValue == total {
            last()
            doneTasks.store(0, ordering: .relaxed)
            completedEpoch.store(epoch, ordering: .releasing)
            return
        }
        var polls = 0
        while Int32(bitPattern: completedEpoch.load(ordering: .acquiring) &- epoch) < 0 {
            waiting()
            Self.pause(&polls)
        }
    }
}

extension ThreadPool {
    /// Runs `body(0)…body(count − 1)` over the threads, then `last` once: for work at load time, where one allocation does not matter.
    package func forEach(_ count: Int, _ body: (Int) -> Void, last: () -> Void = {}) {
        withoutActuallyEscaping(body) { body in
            withoutActuallyEscaping(last) { last in run(ForEachTask(count: count, body: body, last: last)) }
        }
    }

    private final class ForEachTask: PoolTask {
        let count: Int
        let body: (Int) -> Void
        let last: () -> Void

        init(count: Int, body: @escaping (Int) -> Void, last: @escaping () -> Void) {
            self.count = count
            self.body = body
            self.last = last
        }

        override func execute(_ worker: inout Worker) { worker.share(count, body, last: last) }
    }
}
