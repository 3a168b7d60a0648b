// What a machine can do at best, measured: the limits that kernels are held against.
import CKernels
import SwiftletRuntime

/// Read bandwidth and peak arithmetic, with one thread and with several.
package struct MachineLimits: Sendable, Codable, Equatable {
    package let processor: String
    package let bandwidth: MemoryBandwidth
    /// The peak loops of the instruction sets kernels may use.
    package let peaks: [PeakRate]

    package init(processor: String, bandwidth: MemoryBandwidth, peaks: [PeakRate]) {
        self.processor = processor
        self.bandwidth = bandwidth
        self.peaks = peaks
    }

    /// Measures with one thread and with `threads`; takes about a second. Throws what `PeakMeasurement` throws.
    package static func measure(machine: Machine = .current(), threads: Int, isa: UInt32 = ck_isa_detect()) throws -> MachineLimits {
        MachineLimits(
            processor: machine.processor, bandwidth: try PeakMeasurement.memoryBandwidth(on: machine, threads: threads),
            peaks: try PeakMeasurement.peakRates(threads: threads, isa: isa))
    }

    /// Threads behind the figures of several.
    package var threads: Int { bandwidth.threads }

    /// 10⁹ bytes per second that `threads` threads read: one, or as many as were measured.
    package func bandwidth(threads: Int) -> Double { threads == 1 ? bandwidth.oneThread : bandwidth.allThreads }

    /// 10⁹ operations per second that `threads` threads reach on operands of `unit` with no instruction sets but `isa`; nil where no loop was measured.
    package func peak(of unit: String, isa: UInt32, threads: Int) -> Double? {
        let names = PeakMeasurement.rows.filter { $0.isa & ~isa == 0 && String(cString: $0.unit) == unit }.map { String(cString: $0.name) }
        return peaks.filter { names.contains($0.name) }.map { threads == 1 ? $0.oneThread : $0.allThreads }.max()
    }
}
