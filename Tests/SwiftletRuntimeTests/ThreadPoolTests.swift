// The pool: every task once, work stolen from a slow thread, callers in turn, nothing burnt while idle. (That steps meet at barriers is what
// the tests of whole graphs on several threads would fail without.)
import Dispatch
import SwiftletRuntime
import Synchronization
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Counters that any thread may raise.
private final class Tally: Sendable {
    private let counts: Locked<[Int]>
    init(_ count: Int) { counts = Locked([Int](repeating: 0, count: count)) }
    func raise(_ index: Int) { counts.withLock { $0[index] += 1 } }
    var values: [Int] { counts.withLock { $0 } }
}

@Suite("The thread pool")
struct ThreadPoolTests {
    @Test("Runs each task exactly once", arguments: 1...4, [0, 1, 2, 7, 1000]) func eachOnce(_ threads: Int, _ count: Int) throws {
        let pool = try ThreadPool(threadCount: threads)
        for _ in 0..<20 {
            let tally = Tally(count)
            pool.forEach(count) { tally.raise($0) }
            #expect(tally.values.allSatisfy { $0 == 1 })
        }
    }

    /// The thread that gets task 0 waits until all others are done: somebody else must take the rest of its share.
    @Test("Tasks behind a slow one are taken over", arguments: 2...4) func stealing(_ threads: Int) throws {
        let pool = try ThreadPool(threadCount: threads)
        let done = Atomic<Int>(0), count = 64
        let isInTime = Atomic<Bool>(false)
        pool.forEach(count) { task in
            guard task == 0 else { done.add(1, ordering: .relaxed); return }
            for _ in 0..<5000 {
                if done.load(ordering: .relaxed) == count - 1 { isInTime.store(true, ordering: .relaxed); break }
                usleep(1000)
            }
        }
        let wasInTime = isInTime.load(ordering: .relaxed)
        #expect(wasInTime)
    }

    @Test("What follows the tasks runs once, when all are done and before the caller goes on", arguments: 1...4) func afterTheLast(_ threads: Int) throws {
        let pool = try ThreadPool(threadCount: threads)
        let done = Atomic<Int>(0), ends = Atomic<Int>(0), early = Atomic<Int>(0)
        for run in 1...500 {
            pool.forEach(5) { _ in
                done.add(1, ordering: .relaxed)
            } last: {
                if done.load(ordering: .relaxed) != 5 * run { early.add(1, ordering: .relaxed) }
                ends.add(1, ordering: .relaxed)
            }
            let ended = ends.load(ordering: .relaxed)
            #expect(ended == run)
        }
        let tooEarly = early.load(ordering: .relaxed)
        #expect(tooEarly == 0)
    }

    /// Two jobs at once would hand out tasks of one to the other: some would run twice, others never.
    @Test("Callers from several threads take turns") func concurrentCallers() throws {
        let pool = try ThreadPool(threadCount: 3)
        let tallies = (0..<4).map { _ in Tally(10) }
        DispatchQueue.concurrentPerform(iterations: 4) { caller in
            for _ in 0..<50 { pool.forEach(10) { tallies[caller].raise($0) } }
        }
        for tally in tallies { #expect(tally.values.allSatisfy { $0 == 50 }) }
    }

    #if os(Linux)
        /// Polling stops after about 100 µs; then nothing runs. Counted on the pool's own threads: other tests share the process.
        @Test("Sleeps while idle") func idle() throws {
            let threads = 4
            let pool = try ThreadPool(threadCount: threads)
            let clocks = Locked<[pthread_t: clockid_t]>([:])
            // Every task waits for the others, so each thread takes one and can be asked for its clock.
            pool.forEach(threads) { _ in
                var clock = clockid_t()
                guard pthread_getcpuclockid(pthread_self(), &clock) == 0 else { return }
                let own = clock
                clocks.withLock { $0[pthread_self()] = own }
                for _ in 0..<5000 where clocks.withLock({ $0.count }) < threads { usleep(1000) }
            }
            let workers = clocks.withLock { $0.filter { $0.key != pthread_self() }.map(\.value) }
            #expect(workers.count == threads - 1)
            usleep(100_000)
            let before = workers.map(milliseconds)
            usleep(200_000)
            let grown = zip(workers.map(milliseconds), before).map { $0 - $1 }
            #expect(grown.allSatisfy { $0 < 2 }, "CPU milliseconds of each thread in 200 ms: \(grown)")
            let tally = Tally(8)
            pool.forEach(8) { tally.raise($0) }
            #expect(tally.values.allSatisfy { $0 == 1 }, "and wakes up again")
        }

        /// CPU time on a thread's clock.
        private func milliseconds(_ clock: clockid_t) -> Double {
            var time = timespec()
            clock_gettime(clock, &time)
            return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
        }
    #endif

    @Test("Refuses counts that make no sense", arguments: [0, -1, 513, Int.max, Int.min]) func invalidCounts(_ count: Int) {
        #expect(throws: SwiftletError.self) { try ThreadPool(threadCount: count) }
    }

    /// A pool that left its threads behind would run into the limit of the system, or into freed memory.
    @Test("Joins its threads when it goes") func joins() throws {
        let before = threadsOfProcess()
        for _ in 0..<100 {
            let pool = try ThreadPool(threadCount: 4)
            pool.forEach(3) { _ in }
        }
        for _ in 0..<50 { _ = try ThreadPool(threadCount: 3) }
        // Other tests may have started a few of their own.
        if let before, let after = threadsOfProcess() { #expect(after < before + 100) }
    }

    /// How many threads the process has, where the system tells.
    private func threadsOfProcess() -> Int? {
        guard let directory = opendir("/proc/self/task") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return count - 2
    }
}
