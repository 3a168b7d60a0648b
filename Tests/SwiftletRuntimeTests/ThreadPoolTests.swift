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

private func milliseconds(_ time: timeval) -> Double { Double(time.tv_sec) * 1000 + Double(time.tv_usec) / 1000 }

/// CPU time of the process so far, all threads.
private func processMilliseconds() -> Double {
    var usage = rusage()
    #if canImport(Glibc)
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    #else
        getrusage(RUSAGE_SELF, &usage)
    #endif
    return milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime)
}

/// Serialised: one test measures the CPU time of the whole process.
@Suite("The thread pool", .serialized)
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

    /// Two jobs at once would hand out tasks of one to the other: some would run twice, others never.
    @Test("Callers from several threads take turns") func concurrentCallers() throws {
        let pool = try ThreadPool(threadCount: 3)
        let tallies = (0..<4).map { _ in Tally(10) }
        DispatchQueue.concurrentPerform(iterations: 4) { caller in
            for _ in 0..<50 { pool.forEach(10) { tallies[caller].raise($0) } }
        }
        for tally in tallies { #expect(tally.values.allSatisfy { $0 == 50 }) }
    }

    /// Polling stops after about 100 µs; then nothing runs. The least of a few samples, because other tests may share the process.
    @Test("Sleeps while idle") func idle() throws {
        let pool = try ThreadPool(threadCount: 4)
        pool.forEach(100) { _ in }
        usleep(20_000)
        let grown = (0..<5).map { _ in
            let before = processMilliseconds()
            usleep(200_000)
            return processMilliseconds() - before
        }
        #expect((grown.min() ?? .infinity) < 5, "CPU milliseconds in 200 ms: \(grown)")
        let tally = Tally(8)
        pool.forEach(8) { tally.raise($0) }
        #expect(tally.values.allSatisfy { $0 == 1 }, "and wakes up again")
    }

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
