// Measured limits of the machine: how fast it reads memory, and how fast it multiplies with each instruction set. Kernels are held against these.
import CKernels
import SwiftletRuntime
import SwiftletTensor

/// Speed of reading memory, in 10⁹ bytes per second, over a buffer larger than the caches.
///
/// The best of several read loops, in memory mapped as weights are (huge pages where the system has them), so that no kernel reads faster. On a busy
/// machine the medians fall below the best passes; a figure taken meanwhile is to be held against them.
public struct MemoryBandwidth: Sendable, Codable, Equatable {
    /// Bytes read in each pass.
    public let bufferBytes: Int
    /// The best pass of the best loop.
    public let oneThread: Double
    public let allThreads: Double
    /// The median over passes of each pass's best loop.
    public let oneThreadMedian: Double
    public let allThreadsMedian: Double
    /// Threads behind `allThreads`.
    public let threads: Int

    package init(bufferBytes: Int, oneThread: Double, allThreads: Double, oneThreadMedian: Double, allThreadsMedian: Double, threads: Int) {
        self.bufferBytes = bufferBytes
        self.oneThread = oneThread
        self.allThreads = allThreads
        self.oneThreadMedian = oneThreadMedian
        self.allThreadsMedian = allThreadsMedian
        self.threads = threads
    }
}

/// Arithmetic speed of one instruction set on registers, in 10⁹ operations per second; a multiply and an add count as two.
public struct PeakRate: Sendable, Codable, Equatable {
    /// Name of the loop, for example "avx512-fma-f32".
    public let name: String
    /// Type of the operands, for example "int8".
    public let unit: String
    public let oneThread: Double
    public let allThreads: Double

    package init(name: String, unit: String, oneThread: Double, allThreads: Double) {
        self.name = name
        self.unit = unit
        self.oneThread = oneThread
        self.allThreads = allThreads
    }
}

public enum PeakMeasurement {
    /// Measures the read bandwidth with one thread and with `threads`. Takes about half a second.
    ///
    /// The buffer is four times the last cache, 64 to 256 MiB, and less where a sixteenth of the available memory is less: then caches may flatter
    /// the figure. Throws `SwiftletError.invalidArgument` for fewer than 1 thread and `SwiftletError.outOfMemory` without memory for a buffer.
    public static func memoryBandwidth(on machine: Machine, threads: Int, passes: Int = 15) throws -> MemoryBandwidth {
        try check(threads: threads, passes: passes)
        let wanted = min(max(machine.lastCacheBytes.multipliedReportingOverflow(by: 4).partialValue, 64 << 20), 256 << 20)
        let reader = try MemoryReader(bytes: min(wanted, machine.availableMemoryBytes / 16), threads: threads)
        func rates(_ threads: Int) -> (best: Double, median: Double) {
            let passes = (0..<passes).map { _ in reader.pass(threads: threads) }
            let spread = Spread(passes)
            return (spread?.maximum ?? 0, spread?.median ?? 0)
        }
        let one = rates(1), all = threads == 1 ? one : rates(threads)
        return MemoryBandwidth(
            bufferBytes: reader.byteCount, oneThread: one.best, allThreads: all.best, oneThreadMedian: one.median, allThreadsMedian: all.median,
            threads: threads)
    }

    /// Measures every instruction set of the CPU with one thread and with `threads`. Takes about 100 ms a row: many short passes, of which the best
    /// counts, so that on a busy machine some of them run undisturbed.
    ///
    /// Throws `SwiftletError.invalidArgument` for fewer than 1 thread.
    public static func peakRates(threads: Int, isa: UInt32 = ck_isa_detect(), passes: Int = 25) throws -> [PeakRate] {
        try check(threads: threads, passes: passes)
        return rows.filter { $0.isa & isa == $0.isa }.compactMap { row in
            guard let run = row.run else { return nil }
            let trial: UInt64 = 10_000
            _ = run(trial)
            // Enough rounds for about 2 ms.
            let iterations = UInt64(max(1, 2e-3 / max(ParallelTiming.seconds(threads: 1) { _ in _ = run(trial) }, 1e-7) * Double(trial)))
            func rate(_ threads: Int) -> Double {
                let best = (0..<passes).map { _ in ParallelTiming.seconds(threads: threads) { _ in _ = run(iterations) } }.min() ?? .infinity
                return row.operations_per_iteration * Double(iterations) * Double(threads) / best * 1e-9
            }
            return PeakRate(name: String(cString: row.name), unit: String(cString: row.unit), oneThread: rate(1), allThreads: rate(threads))
        }
    }

    private static func check(threads: Int, passes: Int) throws {
        guard threads >= 1, passes >= 1 else {
            throw SwiftletError.invalidArgument(
                name: "threads", reason: "\(threads) threads, \(passes) passes", remedy: "Pass at least 1 of each.")
        }
    }

    /// The table of peak loops.
    package static var rows: [ck_peak_row] {
        var count = 0
        let first = ck_peak_rows(&count)
        return Array(UnsafeBufferPointer(start: first, count: count))
    }
}
