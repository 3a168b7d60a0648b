// Measured limits of the machine: how fast it reads memory, and how fast it multiplies with each instruction set. Kernels are held against these.
import CKernels
import Foundation
import SwiftletRuntime
import SwiftletTensor
import Synchronization

/// Speed of reading memory, in 10⁹ bytes per second: the median of several passes over a buffer larger than the caches.
public struct MemoryBandwidth: Sendable, Codable, Equatable {
    /// Bytes read in each pass.
    public let bufferBytes: Int
    public let oneThread: Double
    public let allThreads: Double
    /// Threads behind `allThreads`.
    public let threads: Int
}

/// Arithmetic speed of one instruction set on registers, in 10⁹ operations per second; a multiply and an add count as two.
public struct PeakRate: Sendable, Codable, Equatable {
    /// Name of the loop, for example "avx512-fma-f32".
    public let name: String
    /// Type of the operands, for example "int8".
    public let unit: String
    public let oneThread: Double
    public let allThreads: Double
}

public enum PeakMeasurement {
    /// Measures the read bandwidth with one thread and with `threads`. Takes about a quarter of a second.
    ///
    /// The buffer is four times the last cache, 64 to 256 MiB, and less where a sixteenth of the available memory is less: then caches may flatter
    /// the figure. Throws `SwiftletError.invalidArgument` for fewer than 1 thread and `SwiftletError.outOfMemory` without memory for a buffer.
    public static func memoryBandwidth(on machine: Machine, threads: Int, passes: Int = 7) throws -> MemoryBandwidth {
        guard threads >= 1, passes >= 1 else {
            throw SwiftletError.invalidArgument(
                name: "threads", reason: "\(threads) threads, \(passes) passes", remedy: "Pass at least 1 of each.")
        }
        let wanted = min(max(machine.lastCacheBytes.multipliedReportingOverflow(by: 4).partialValue, 64 << 20), 256 << 20)
        // Each thread's share is a whole number of pages.
        let share = min(wanted, machine.availableMemoryBytes / 16) / threads / 4096 * 4096
        guard share > 0 else { throw SwiftletError.outOfMemory(bytes: wanted, purpose: "the measurement of memory bandwidth") }
        let buffer = SharedBuffer(bytes: share * threads)
        defer { buffer.deallocate() }
        let isa = ck_isa_detect()
        func rate(_ threads: Int, _ bytes: Int) -> Double {
            let share = bytes / threads
            let seconds = (0..<passes).map { _ in
                parallelSeconds(threads) { index in
                    let sum = ck_peak_read(buffer.base + index * share, share, isa)
                    // The buffer is zero, and so is the sum; the comparison keeps the reads.
                    precondition(sum == 0)
                }
            }
            return Double(bytes) / median(seconds) * 1e-9
        }
        let bytes = share * threads
        return MemoryBandwidth(bufferBytes: bytes, oneThread: rate(1, bytes), allThreads: rate(threads, bytes), threads: threads)
    }

    /// Measures every instruction set of the CPU with one thread and with `threads`. Takes about 50 ms a row.
    ///
    /// Throws `SwiftletError.invalidArgument` for fewer than 1 thread.
    public static func peakRates(threads: Int, isa: UInt32 = ck_isa_detect(), passes: Int = 5) throws -> [PeakRate] {
        guard threads >= 1, passes >= 1 else {
            throw SwiftletError.invalidArgument(
                name: "threads", reason: "\(threads) threads, \(passes) passes", remedy: "Pass at least 1 of each.")
        }
        return rows.filter { $0.isa & isa == $0.isa }.compactMap { row in
            guard let run = row.run else { return nil }
            let trial: UInt64 = 10_000
            _ = run(trial)
            // Enough rounds for about 5 ms.
            let iterations = UInt64(max(1, 5e-3 / max(parallelSeconds(1) { _ in _ = run(trial) }, 1e-7) * Double(trial)))
            func rate(_ threads: Int) -> Double {
                let best = (0..<passes).map { _ in parallelSeconds(threads) { _ in _ = run(iterations) } }.min() ?? .infinity
                return row.operations_per_iteration * Double(iterations) * Double(threads) / best * 1e-9
            }
            return PeakRate(name: String(cString: row.name), unit: String(cString: row.unit), oneThread: rate(1), allThreads: rate(threads))
        }
    }

    /// The table of peak loops.
    package static var rows: [ck_peak_row] {
        var count = 0
        let first = ck_peak_rows(&count)
        return Array(UnsafeBufferPointer(start: first, count: count))
    }

    /// Seconds from the moment all of `threads` threads are ready to the moment the last has done `body(index)`.
    private static func parallelSeconds(_ threads: Int, _ body: @escaping @Sendable (Int) -> Void) -> Double {
        let clock = ContinuousClock()
        guard threads > 1 else { return seconds(clock.measure { body(0) }) }
        let gate = Gate(threads: threads)
        for index in 0..<threads {
            Thread.detachNewThread {
                gate.arriveAndWait()
                body(index)
                gate.finish()
            }
        }
        gate.waitForArrivals()
        return seconds(clock.measure { gate.openAndWaitForAll() })
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
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

/// A zeroed, page-aligned buffer that several threads read.
///
/// `@unchecked Sendable`: written before any thread sees it, then only read until `deallocate`.
private struct SharedBuffer: @unchecked Sendable {
    let base: UnsafeMutableRawPointer

    init(bytes: Int) {
        base = .allocate(byteCount: bytes, alignment: 4096)
        // Written, so that every page is a page of its own and not the system's one page of zeros.
        base.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    }

    func deallocate() { base.deallocate() }
}
