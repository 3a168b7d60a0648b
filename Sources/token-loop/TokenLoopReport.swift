// The figures of token-loop, and how they are printed.
import Foundation
import SwiftletLanguage
import SwiftletMeasure

/// What was counted and timed.
struct TokenLoopReport: Codable {
    /// Whether this system's allocations can be counted.
    let isCounted: Bool
    let threads: Int
    var model: String?
    var counted: [CountedCase] = []
    var pool: [PoolLatency] = []
    var sampling: [SamplingTime] = []
    var steps: [StepCosts.Cost] = []
    /// Megabytes (10⁶ bytes) of text a second that one thread turns into tokens.
    var encodedMegabytesPerSecond: Double?

    init(isCounted: Bool, threads: Int) {
        self.isCounted = isCounted
        self.threads = threads
    }

    struct SamplingTime: Codable {
        let name: String
        let vocabulary: Int
        /// Of one token, a median.
        let microseconds: Double
    }

    /// Words, numbers, code, other scripts.
    static let text = String(
        repeating: "In 1874 the bridge over the Ouse cost £41,300 — a fortune! let total = values.reduce(0, +) // 合計 Ünïcödé 🦊\n", count: 40)

    mutating func time(threads: Int) throws {
        for count in Set([1, threads]).sorted() { pool.append(try PoolLatency.measure(threads: count)) }
        for vocabulary in [49_152, 262_144] {
            for (name, options) in SamplerCase.settings {
                var sampler = try SamplerCase(name: name, options: options, vocabularyCount: vocabulary)
                sampling.append(SamplingTime(name: name, vocabulary: vocabulary, microseconds: try Self.microseconds { try sampler.draw() }))
            }
        }
    }

    mutating func time(_ model: LanguageModel) throws {
        steps = try StepCosts(widths: [1, 2, 3, 4, 5, 6, 8, 12, 16], contextTokens: min(256, model.context / 2)).measure(model: model)
        var count = 0
        let time = Self.microseconds { count += model.tokenizer.encode(Self.text).count }
        if count > 0 { encodedMegabytesPerSecond = Double(Self.text.utf8.count) / time }
    }

    /// The median of `body`'s time.
    private static func microseconds(_ body: () throws -> Void) rethrows -> Double {
        let clock = ContinuousClock()
        var times: [Double] = []
        for _ in 0..<301 {
            let start = clock.now
            try body()
            times.append((clock.now - start) / .microseconds(1))
        }
        return times.sorted()[times.count / 2]
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    }

    var text: String {
        var lines = [[model, "\(threads) threads"].compactMap(\.self).joined(separator: ", ")]
        lines.append("")
        if isCounted {
            lines.append("Each time       allocations   objects   retains  releases")
            for entry in counted {
                let counts = entry.counts
                lines.append(
                    String(format: "            %14.2f%10.2f%10.2f%10.2f   ", counts.allocations, counts.objects, counts.retains, counts.releases) + entry.name)
            }
        } else {
            lines.append("Allocations are not counted on this system.")
        }
        if !pool.isEmpty { lines += ["", "The thread pool, when all threads meet in each step:"] }
        for latency in pool {
            lines.append(String(format: "  %d threads: %6.0f ns a step, %6.0f ns a program", latency.threads, latency.stepNanoseconds, latency.runNanoseconds))
        }
        if !sampling.isEmpty { lines += ["", "Sampling a token:"] }
        for time in sampling { lines.append(String(format: "  %8.1f µs  of %6d  ", time.microseconds, time.vocabulary) + time.name) }
        if !steps.isEmpty { lines += ["", "Steps of several tokens, each with logits:"] }
        for cost in steps { lines.append(String(format: "  %2d tokens %8.3f ms, %.2f times one", cost.width, cost.milliseconds.median, cost.ratio)) }
        if let encodedMegabytesPerSecond { lines += ["", String(format: "Text to tokens: %.1f MB/s", encodedMegabytesPerSecond)] }
        return lines.joined(separator: "\n") + "\n"
    }
}
