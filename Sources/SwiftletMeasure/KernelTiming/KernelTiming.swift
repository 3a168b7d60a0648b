// Times one kernel case and says how near it comes to what the machine can do.
import CKernels
import SwiftletKernelCases
import SwiftletRuntime
import SwiftletTensor

/// What one kernel reached on one layer.
package struct KernelFigure: Sendable, Codable, Equatable {
    package let kernel: String
    /// Instruction sets the kernel needs; none for a scalar twin.
    package let isa: [String]
    /// Model, layer, variant and rows, as in the case's name.
    package let shape: String
    /// Time of one call: the best sample, and the median of all.
    package let bestNanoseconds: Double
    package let medianNanoseconds: Double
    /// Arithmetic of the definition in 10⁹ operations per second, at the median; nil where bytes are all that matters.
    package let gigaoperationsPerSecond: Double?
    /// Operands moved once, in 10⁹ bytes per second, at the median.
    package let gigabytesPerSecond: Double
    /// Arithmetic against the measured peak of the kernel's instruction sets, one thread; nil without arithmetic or without a measured peak.
    package let percentOfPeak: Double?
    /// Bytes against the measured bandwidth of one thread; nil where operands stay in caches.
    package let percentOfBandwidth: Double?
    package let processor: String
    /// The compiler that built the kernels.
    package let compiler: String
    /// The revision that was measured; nil where the caller does not know.
    package let commit: String?
}

/// The machine's limits, measured once and held against every kernel.
package struct KernelTimer {
    package let processor: String
    package let peaks: [PeakRate]
    package let bandwidth: MemoryBandwidth
    package let commit: String?

    /// Measures the limits of one thread. Throws what `PeakMeasurement` throws.
    package init(machine: Machine = .current(), commit: String? = nil) throws {
        processor = machine.processor
        peaks = try PeakMeasurement.peakRates(threads: 1)
        bandwidth = try PeakMeasurement.memoryBandwidth(on: machine, threads: 1)
        self.commit = commit
    }

    /// Prepares, verifies, warms up and times a case: `samples` samples of at least `sampleSeconds`, each of as many calls as that takes.
    ///
    /// Throws `SwiftletError.numerical` when the kernel disagrees with its scalar twin, `SwiftletError.outOfMemory`, and
    /// `SwiftletError.invalidArgument` for fewer than 1 sample.
    package func measure(_ kernelCase: KernelCase, samples: Int = 15, sampleSeconds: Double = 2e-3) throws -> KernelFigure {
        guard samples >= 1, sampleSeconds >= 0 else {
            throw SwiftletError.invalidArgument(
                name: "samples", reason: "\(samples) samples of \(sampleSeconds) s", remedy: "Pass at least 1 sample.")
        }
        let kernel = try kernelCase.prepare()
        try kernel.verify()
        let clock = ContinuousClock()
        func seconds(calls: Int) -> Double { clock.measure { kernel.run(calls: calls) } / .seconds(1) }
        // Doubling warms caches and clocks up, and finds how many calls a sample is.
        var calls = 1
        while case let time = seconds(calls: calls), time < sampleSeconds, calls < 1 << 24 { calls *= 2 }
        let times = (0..<samples).map { _ in seconds(calls: calls) / Double(calls) }.sorted()
        let median = (times[(samples - 1) / 2] + times[samples / 2]) / 2
        let operations = kernelCase.operations > 0 ? kernelCase.operations / median * 1e-9 : nil
        let bytes = kernelCase.bytes / median * 1e-9
        let peak = kernelCase.peakUnit.flatMap { unit in
            PeakMeasurement.rows.filter { $0.isa & ~kernelCase.isa == 0 && String(cString: $0.unit) == unit }
                .compactMap { row in peaks.first { $0.name == String(cString: row.name) }?.oneThread }.max()
        }
        return KernelFigure(
            kernel: kernelCase.kernel, isa: Machine.names(of: kernelCase.isa), shape: "\(kernelCase.model)/\(kernelCase.shape)",
            bestNanoseconds: times[0] * 1e9, medianNanoseconds: median * 1e9, gigaoperationsPerSecond: operations,
            gigabytesPerSecond: bytes,
            percentOfPeak: operations.flatMap { rate in peak.map { 100 * rate / $0 } },
            percentOfBandwidth: kernelCase.streamsMemory ? 100 * bytes / bandwidth.oneThread : nil, processor: processor,
            compiler: String(cString: ck_compiler()),
            commit: commit)
    }
}
