// Samplers, tokenizers and the token loop as benchmarks of the harness, with the allocations of what is timed. Models are those of the cache folder.
import AllocationCounter
import Benchmark
import Foundation
import SwiftletFormats
import SwiftletLanguage
import SwiftletMeasure
import SwiftletModels

let benchmarks: @Sendable () -> Void = {
    register("control/allocates twice") {
        { times in for index in 0..<times { blackHole([[UInt8](repeating: 1, count: 100 + index % 2)]) } }
    }
    for vocabulary in [49_152, 262_144] {
        for (name, options) in SamplerCase.settings {
            register("sampler/\(name)/n=\(vocabulary)") {
                var sampler = try SamplerCase(name: name, options: options, vocabularyCount: vocabulary)
                try sampler.draw()
                return { times in for _ in 0..<times { blackHole(try sampler.draw()) } }
            }
        }
    }
    // A few kilobytes of what people write: words, numbers, code, other scripts.
    let paragraph = "In 1874 the bridge over the Ouse cost £41,300 — a fortune! let total = values.reduce(0, +) // 合計 Ünïcödé 🦊\n"
    let text = String(repeating: paragraph, count: 40)
    for entry in (try? ModelCache().entries()) ?? [] where entry.path.hasSuffix(".gguf") {
        register("tokenizer/\(entry.name)/\(text.utf8.count) bytes", bytes: text.utf8.count) {
            let tokenizer = try Tokenizer.load(from: GGUFFile(path: entry.path))
            return { times in for _ in 0..<times { blackHole(tokenizer.encode(text)) } }
        }
        for (name, options) in SamplerCase.settings.prefix(2) {
            register("token-loop/\(entry.name)/\(name)/threads=2", iterations: 15) {
                let model = try LanguageModel(path: entry.path, options: ModelOptions(threads: 2, context: 512))
                // Room for the warm-up too.
                var loop = try TokenLoop(model: model, sampling: options, tokens: 20 * 20)
                try loop.run(1)
                return { _ in try loop.run(20) }
            }
        }
    }
}

private let mallocs = BenchmarkMetric.custom("Mallocs", polarity: .prefersSmaller, useScalingFactor: true)
private let byteRate = BenchmarkMetric.custom("MB/s", polarity: .prefersLarger, useScalingFactor: false)

/// A benchmark of what `prepare` returns, which does its work as often as it is told.
private func register(_ name: String, bytes: Int = 0, iterations: Int = 2000, _ prepare: @escaping @Sendable () throws -> (Int) throws -> Void) {
    let metrics: [BenchmarkMetric] = [.wallClock, .throughput] + (allocation_counter_works() ? [mallocs] : []) + (bytes > 0 ? [byteRate] : [])
    let slot = Slot()
    Benchmark(
        name, configuration: Benchmark.Configuration(metrics: metrics, warmupIterations: 3, maxDuration: .seconds(1), maxIterations: iterations),
        closure: { benchmark in
            do {
                let work = try slot.work.get()
                let times = benchmark.scaledIterations.count
                let start = BenchmarkClock.now
                benchmark.startMeasurement()
                allocation_counter_start()
                try work(times)
                let counts = allocation_counter_stop()
                benchmark.stopMeasurement()
                let seconds = (BenchmarkClock.now - start) / .seconds(1)
                if allocation_counter_works() { benchmark.measurement(mallocs, counts.allocations) }
                if bytes > 0 { benchmark.measurement(byteRate, Int(Double(bytes * times) / seconds * 1e-6)) }
            } catch {
                benchmark.error("\(name): \(error)")
            }
        }, setup: { slot.work = Result(catching: prepare) }, teardown: { slot.work = .failure(CancellationError()) })
}

/// Holds what a benchmark works on between setup and teardown, so that only one at a time takes memory.
private final class Slot {
    var work: Result<(Int) throws -> Void, any Error> = .failure(CancellationError())
}
