// How fast a model is: prompt evaluation and token generation, several times, so that the spread is known along with the median.
import SwiftletLanguage
import SwiftletRuntime
import SwiftletTensor

/// Median and extremes of repeated measurements.
public struct Spread: Sendable, Codable, Equatable {
    public let median: Double
    public let minimum: Double
    public let maximum: Double

    /// Nil when there are no values.
    public init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        minimum = first
        maximum = last
        let middle = sorted.count / 2
        median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/// Measures prefill and decode.
public struct ModelBenchmark: Sendable {
    /// Tokens of the prompt that prefill evaluates at once.
    public var promptTokens: Int
    /// Tokens that decode generates after the prompt, one at a time, each chosen greedily.
    public var generateTokens: Int
    public var repetitions: Int
    /// Sequences that decode side by side in one batch, each after its own copy of the prompt; 1 measures the ordinary loop only.
    public var sequences: Int

    public init(promptTokens: Int = 512, generateTokens: Int = 128, repetitions: Int = 5, sequences: Int = 1) {
        self.promptTokens = promptTokens
        self.generateTokens = generateTokens
        self.repetitions = repetitions
        self.sequences = sequences
    }

    /// What was measured.
    public struct Result: Sendable, Codable, Equatable {
        public var promptTokens: Int
        public var generateTokens: Int
        public var repetitions: Int
        public var prefillTokensPerSecond: Spread
        /// Of one sequence alone.
        public var decodeTokensPerSecond: Spread
        public var sequences: Int
        /// Of all sequences together, nil when there is only one.
        public var batchDecodeTokensPerSecond: Spread?
        public var loadMilliseconds: Double
        /// Of the whole process, loading included.
        public var peakResidentBytes: Int
        /// Bytes one generated token reads: the weights as the kernels hold them, and the keys and values of the tokens before it, on average.
        public var weightBytesPerToken: Int
        public var cacheBytesPerToken: Int
        /// 10⁹ bytes per second that a plain read of a buffer of the weights' size reaches on as many threads, measured after each repetition.
        public var readGigabytesPerSecond: Spread
        /// Weight bytes of the tokens of a second against that read, repetition by repetition.
        public var decodePercentOfRead: Spread
        /// The median of the same for all bytes a token reads: weights, keys and values.
        public var decodePercentOfReadWithCache: Double {
            guard weightBytesPerToken > 0 else { return decodePercentOfRead.median }
            return decodePercentOfRead.median * Double(weightBytesPerToken + cacheBytesPerToken) / Double(weightBytesPerToken)
        }
    }

    /// One repetition.
    public struct Progress: Sendable {
        public let repetition: Int
        public let repetitions: Int
        public let prefillTokensPerSecond: Double
        public let decodeTokensPerSecond: Double
        public let batchDecodeTokensPerSecond: Double?
    }

    /// Measures after one unmeasured repetition with few generated tokens, which plans memory and wakes the threads.
    ///
    /// `progress` is called after each repetition; what it throws ends the measurement. Throws `SwiftletError.invalidArgument` for a count
    /// that is not positive and when the tokens exceed the model's context.
    public func measure(model: LanguageModel, progress: (Progress) throws -> Void = { _ in }) throws -> Result {
        for (name, value) in [("prompt-tokens", promptTokens), ("generate-tokens", generateTokens), ("repetitions", repetitions), ("sequences", sequences)]
        where value < 1 {
            throw SwiftletError.invalidArgument(name: name, reason: "\(value) is not positive", remedy: "Give at least 1.")
        }
        let (total, overflow) = promptTokens.addingReportingOverflow(generateTokens)
        guard !overflow, total <= model.context else {
            throw SwiftletError.contextOverflow(
                needed: overflow ? .max : total, available: model.context, excess: overflow ? .max : total - model.context)
        }
        let decoder = try Decoder(model: model, context: total, slots: sequences)
        var sampler = try Sampler(.greedy, vocabularyCount: model.vocabularyCount)
        let prompt = BenchmarkPrompt.tokens(promptTokens, of: model)
        var prefill: [Double] = []
        var decode: [Double] = []
        var batch: [Double] = []
        var reads: [Double] = []
        var shares: [Double] = []
        let traffic = DecodeTraffic(model.graph)
        var peakResidentBytes = 0
        var reader: MemoryReader?
        _ = try run(decoder, &sampler, prompt, generate: min(generateTokens, 4))
        for repetition in 1...repetitions {
            let speeds = try run(decoder, &sampler, prompt, generate: generateTokens)
            prefill.append(speeds.prefill)
            decode.append(speeds.decode)
            let together = sequences > 1 ? try runTogether(decoder, &sampler, prompt, generate: generateTokens) : nil
            if let together { batch.append(together) }
            // The buffer to compare with comes after the first repetition, so that the memory reported is the model's.
            if repetition == 1 { peakResidentBytes = ProcessMemory.current().peakResidentBytes }
            let reading = try reader ?? MemoryReader(bytes: max(traffic.weightBytes, Self.leastReadBytes), threads: model.threads)
            reader = reading
            let read = (0..<Self.readPasses).map { _ in reading.pass(threads: model.threads) }.max() ?? 0
            reads.append(read)
            shares.append(100 * speeds.decode * Double(traffic.weightBytes) * 1e-9 / read)
            try progress(
                Progress(
                    repetition: repetition, repetitions: repetitions, prefillTokensPerSecond: speeds.prefill,
                    decodeTokensPerSecond: speeds.decode, batchDecodeTokensPerSecond: together))
        }
        guard let prefillSpread = Spread(prefill), let decodeSpread = Spread(decode), let readSpread = Spread(reads),
            let shareSpread = Spread(shares)
        else {
            throw SwiftletError.invalidArgument(name: "repetitions", reason: "nothing was measured", remedy: "Give at least 1.")
        }
        return Result(
            promptTokens: promptTokens, generateTokens: generateTokens, repetitions: repetitions, prefillTokensPerSecond: prefillSpread,
            decodeTokensPerSecond: decodeSpread, sequences: sequences, batchDecodeTokensPerSecond: Spread(batch), loadMilliseconds: model.loadMilliseconds,
            peakResidentBytes: peakResidentBytes, weightBytesPerToken: traffic.weightBytes,
            cacheBytesPerToken: traffic.cacheBytes(positions: promptTokens..<total), readGigabytesPerSecond: readSpread,
            decodePercentOfRead: shareSpread)
    }

    /// Passes over the buffer after each repetition, of which the best counts.
    private static let readPasses = 3
    /// The least buffer: below it a pass is too short to time, and a model's weights stay in caches like the buffer.
    private static let leastReadBytes = 1 << 20

    private func run(
        _ decoder: Decoder, _ sampler: inout Sampler, _ prompt: [Int32], generate: Int
    ) throws -> (prefill: Double, decode: Double) {
        let clock = ContinuousClock()
        let (start, best) = (clock.now, sampler.logitsWanted)
        var token = try sampler.sample(try decoder.evaluate(prompt, at: 0, best: best)[0])
        let middle = clock.now
        for index in 0..<generate { token = try sampler.sample(try decoder.evaluate([token], at: prompt.count + index, best: best)[0]) }
        let end = clock.now
        return (Double(prompt.count) / ((middle - start) / .seconds(1)), Double(generate) / ((end - middle) / .seconds(1)))
    }

    /// Tokens a second of all sequences together: each step evaluates the next token of every one, and draws for every one.
    private func runTogether(_ decoder: Decoder, _ sampler: inout Sampler, _ prompt: [Int32], generate: Int) throws -> Double {
        var batch: [(token: Int32, position: Int, slot: Int)] = []
        for slot in 0..<sequences {
            batch.append((try sampler.sample(try decoder.evaluate(prompt, at: 0, slot: slot)[0]), prompt.count, slot))
        }
        func step() throws {
            let rows = try decoder.evaluate(batch, best: sampler.logitsWanted)
            for index in batch.indices {
                batch[index].token = try sampler.sample(rows[index])
                batch[index].position += 1
            }
        }
        if generate > 1 { try step() }  // plans the batch's memory
        let count = max(1, generate - 1)
        let clock = ContinuousClock()
        let start = clock.now
        for _ in 0..<count { try step() }
        return Double(count * sequences) / ((clock.now - start) / .seconds(1))
    }
}
