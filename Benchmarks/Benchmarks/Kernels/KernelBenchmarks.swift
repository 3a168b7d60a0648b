// Kernel micro-benchmarks: every case of the catalogue as a benchmark of its own, checked against the scalar twin before it is timed.
// The cases themselves live in SwiftletKernelCases; here they only meet the harness.
import Benchmark
import Foundation
import SwiftletKernelCases
import Synchronization

let benchmarks: @Sendable () -> Void = {
    // Shapes beside this package; more models are more files.
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appending(
        path: "Shapes")
    let catalog: KernelCatalog
    do {
        catalog = KernelCatalog(layers: try Layer.read(folder: folder.path))
    } catch {
        // Shown as a benchmark that fails, because registration has no way to fail.
        Benchmark("shapes") { $0.error("\(error)") }
        return
    }
    let skipped =
        catalog.missingRows.map { "skipped \($0): this CPU lacks its instruction set\n" }
        + catalog.oversized.map { "skipped \($0): the packed weight is too large\n" }
    skippedRows.withLock { $0 = skipped.joined() }
    // The harness starts a process to list the benchmarks and then one for each it runs: the first tells what is left out, once.
    atexit { FileHandle.standardError.write(Data(skippedRows.withLock { $0 }.utf8)) }
    for kernelCase in catalog.cases { register(kernelCase) }
}

/// Arithmetic and memory rates of each iteration. Whole numbers are all the harness takes, so millions.
private let operationRate = BenchmarkMetric.custom("Mop/s", polarity: .prefersLarger, useScalingFactor: false)
private let byteRate = BenchmarkMetric.custom("MB/s", polarity: .prefersLarger, useScalingFactor: false)

/// What this machine leaves out, until a benchmark runs.
private let skippedRows = Mutex("")

private func register(_ kernelCase: KernelCase) {
    // Short calls are timed a thousand at a time; the harness divides. A rule of the shape alone, so that baselines of all machines compare.
    let isShort = kernelCase.isa != 0 && max(kernelCase.operations / 50, kernelCase.bytes / 10) < 100_000
    let configuration = Benchmark.Configuration(
        metrics: [.wallClock, .throughput, byteRate] + (kernelCase.operations > 0 ? [operationRate] : []),
        warmupIterations: 1, scalingFactor: isShort ? .kilo : .one, maxDuration: .milliseconds(300), maxIterations: 1000)
    let slot = Slot()
    Benchmark(
        kernelCase.name, configuration: configuration,
        closure: { benchmark in
            switch slot.kernel {
            case .failure(let error): benchmark.error("\(kernelCase.name): \(error)")
            case .success(let kernel):
                let calls = benchmark.scaledIterations.count
                let start = BenchmarkClock.now
                benchmark.startMeasurement()
                kernel.run(calls: calls)
                benchmark.stopMeasurement()
                let seconds = (BenchmarkClock.now - start) / .seconds(1)
                benchmark.measurement(byteRate, Int(kernelCase.bytes * Double(calls) / seconds * 1e-6))
                benchmark.measurement(operationRate, Int(kernelCase.operations * Double(calls) / seconds * 1e-6))
            }
        },
        setup: {
            skippedRows.withLock { $0 = "" }
            slot.kernel = Result {
                let kernel = try kernelCase.prepare()
                try kernel.verify()
                return kernel
            }
        },
        teardown: { slot.kernel = .failure(CancellationError()) })
}

/// Holds a case's operands between setup and teardown, so that only one case at a time takes memory.
private final class Slot {
    var kernel: Result<any PreparedKernel, any Error> = .failure(CancellationError())
}
