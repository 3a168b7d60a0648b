// Times one kernel case and says how near it comes to what the machine can do.
import CKernels
import SwiftletKernelCases
import SwiftletRuntime
import SwiftletTensor

/// What one kernel reached on one layer.
package struct KernelFigure: Sendable, Codable, Equatable {
    package let family: KernelCase.Family
    package let kernel: String
    /// Instruction sets the kernel needs; none for a scalar twin.
    package let isa: [String]
    /// Model, layer, variant and rows, as in the case's name.
    package let shape: String
    /// Threads that ran the kernel at once, each on operands of its own. Times are of one call; rates are of all threads together.
    package let threads: Int
    /// Time of one call: the best sample, and the median of all.
    package let bestNanoseconds: Double
    package let medianNanoseconds: Double
    /// Arithmetic of the definition in 10⁹ operations per second, at the median; nil where bytes are all that matters.
    package let gigaoperationsPerSecond: Double?
    /// Operands moved once, in 10⁹ bytes per second, at the median.
    package let gigabytesPerSecond: Double
    /// Operations a byte; nil where bytes are all that matters.
    package let intensity: Double?
    /// Whether the operands came from memory; otherwise they stayed in caches.
    package let streamsMemory: Bool
    /// Arithmetic against the measured peak of the kernel's instruction sets; nil without arithmetic or without a measured peak.
    package let percentOfPeak: Double?
    /// Bytes against the measured read bandwidth; nil where operands stay in caches.
    package let percentOfBandwidth: Double?
    package let processor: String
    /// The compiler that built the kernels.
    package let compiler: String
    /// The revision that was measured; nil where the caller does not know.
    package let commit: String?

    package init(
        family: KernelCase.Family, kernel: String, isa: [String], shape: String, threads: Int, bestNanoseconds: Double,
        medianNanoseconds: Double, gigaoperationsPerSecond: Double?, gigabytesPerSecond: Double, intensity: Double?,
        streamsMemory: Bool, percentOfPeak: Double?, percentOfBandwidth: Double?, processor: String, compiler: String, commit:
        String?
    ) {
        self.family = family
        self.kernel = kernel
        self.isa = isa
        self.shape = shape
        self.threads = threads
        self.bestNanoseconds = bestNanoseconds
        self.medianNanoseconds = medianNanoseconds
        self.gigaoperationsPerSecond = gigaoperationsPerSecond
        self.gigabytesPerSecond = gigabytesPerSecond
        self.intensity = intensity
        self.streamsMemory = streamsMemory
        self.percentOfPeak = percentOfPeak
        self.percentOfBandwidth = percentOfBandwidth
        self.processor = processor
        self.compiler = compiler
        self.commit = commit
    }
}

/// Times kernels against the limits of the machine, which it measures first.
package struct KernelTimer {
    package let limits: MachineLimits
    package let threads: Int
    private let commit: String?

    /// - threads: threads that run a kernel at once, from 1.
    /// - commit: revision to write into the figures.
    ///
    /// Throws what `PeakMeasurement` throws.
    package init(machine: Machine = .current(), threads: Int = 1, commit: String? = nil) throws {
        // One thread's figures are held against one thread's limits; those of all are measured too, for whoever draws them.
        limits = try MachineLimits.measure(machine: machine, threads: threads > 1 ? threads : machine.recommendedThreads)
        self.threads = threads
        self.commit = commit
    }

    /// Prepares, verifies, warms up and times a case: `samples` samples of at least `sampleSeconds`, each of as many calls as that takes; fewer samples,
    /// but at least 2, where they would take longer than `budgetSeconds`.
    ///
    /// Throws `SwiftletError.numerical` when the kernel disagrees with its scalar twin, `SwiftletError.outOfMemory`, and
    /// `SwiftletError.invalidArgument` for fewer than 1 sample.
    package func measure(
        _ kernelCase: KernelCase, samples: Int = 15, sampleSeconds: Double = 2e-3, budgetSeconds: Double = .infinity
    ) throws -> KernelFigure {
        guard samples >= 1, sampleSeconds >= 0 else {
            throw SwiftletError.invalidArgument(
                name: "samples", reason: "\(samples) samples of \(sampleSeconds) s", remedy: "Pass at least 1 sample.")
        }
        let kernels = KernelTeam(kernels: try (0..<threads).map { _ in try kernelCase.prepare() })
        try kernels.kernels[0].verify()
        func seconds(calls: Int) -> Double { ParallelTiming.seconds(threads: threads) { kernels.kernels[$0].run(calls: calls) } }
        // Doubling warms caches and clocks up, and finds how many calls a sample is.
        var calls = 1
        var time = seconds(calls: calls)
        while time < sampleSeconds, calls < 1 << 24 {
            calls *= 2
            time = seconds(calls: calls)
        }
        let affordable = budgetSeconds / max(time, 1e-9)
        let count = affordable < Double(samples) ? min(samples, max(2, Int(affordable))) : samples
        let times = (0..<count).map { _ in seconds(calls: calls) / Double(calls) }.sorted()
        let median = (times[(count - 1) / 2] + times[count / 2]) / 2
        let together = Double(threads) / median * 1e-9
        let operations = kernelCase.operations > 0 ? kernelCase.operations * together : nil
        let bytes = kernelCase.bytes * together
        let peak = kernelCase.peakUnit.flatMap { limits.peak(of: $0, isa: kernelCase.isa, threads: threads) }
        return KernelFigure(
            family: kernelCase.family, kernel: kernelCase.kernel, isa: Machine.names(of: kernelCase.isa),
            shape: "\(kernelCase.model)/\(kernelCase.shape)", threads: threads, bestNanoseconds: times[0] * 1e9,
            medianNanoseconds: median * 1e9, gigaoperationsPerSecond: operations, gigabytesPerSecond: bytes,
            intensity: kernelCase.operations > 0 ? kernelCase.operations / kernelCase.bytes : nil, streamsMemory: kernelCase.streamsMemory,
            percentOfPeak: operations.flatMap { rate in peak.map { 100 * rate / $0 } },
            percentOfBandwidth: kernelCase.streamsMemory ? 100 * bytes / limits.bandwidth(threads: threads) : nil,
            processor: limits.processor, compiler: String(cString: ck_compiler()), commit: commit)
    }
}

/// Prepared kernels, one a thread.
///
/// `@unchecked Sendable`: thread `i` touches kernel `i` alone while a sample runs; between samples only the timing thread does.
private struct KernelTeam: @unchecked Sendable {
    let kernels: [any PreparedKernel]
}
