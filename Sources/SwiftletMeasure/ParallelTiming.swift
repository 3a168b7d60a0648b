// Timing the same work on several threads that start together.
import Foundation
import Synchronization

package enum ParallelTiming {
    /// Seconds from the moment all of `threads` threads are ready to the moment the last has done `body(index)`. One thread is the caller's own.
    package static func seconds(threads: Int, _ body: @escaping @Sendable (Int) -> Void) -> Double {
        let clock = ContinuousClock()
        guard threads > 1 else { return clock.measure { body(0) } / .seconds(1) }
        let gate = Gate(threads: threads)
        for index in 0..<threads {
            Thread.detachNewThread {
                gate.arriveAndWait()
                body(index)
                gate.finish()
            }
        }
        gate.waitForArrivals()
        return clock.measure { gate.openAndWaitForAll() } / .seconds(1)
    }
}

/// Lets several threads start together and tells when all are done. Waiting spins, which delays the start least; it lasts microseconds but for
/// the wait for the end, which sleeps.
private final class Gate: Sendable {
    private let threads: Int
    private let arrived = Atomic<Int>(0)
    private let open = Atomic<Bool>(false)
    private let done = DispatchSemaphore(value: 0)

    init(threads: Int) { self.threads = threads }

    func arriveAndWait() {
        arrived.add(1, ordering: .releasing)
        while !open.load(ordering: .acquiring) {}
    }

    func waitForArrivals() {
        while arrived.load(ordering: .acquiring) < threads { usleep(50) }
    }

    func openAndWaitForAll() {
        open.store(true, ordering: .releasing)
        for _ in 0..<threads { done.wait() }
    }

    func finish() { done.signal() }
}
