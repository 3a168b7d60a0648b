// The evaluations against the same figures computed the slow way: one token at a time, softmax in Double.
import Foundation
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

import SwiftletMeasure

private let needsModel = "needs ../shared/data/models/stories260k-f32.gguf"

func storiesModel() throws -> LanguageModel {
    try LanguageModel(path: try #require(SharedData.storiesModel), options: ModelOptions(threads: 2, context: 512))
}

/// ln p of `tokens[index + 1]` for every index, evaluated token by token.
private func naiveLogProbabilities(_ tokens: [Int32], _ model: LanguageModel) throws -> [Double] {
    let decoder = try Decoder(model: model, context: 512)
    return try tokens.indices.dropLast().map { index in
        let row = Array(try decoder.evaluate([tokens[index]], at: index)[0]).map(Double.init)
        let largest = row.max() ?? 0
        let total = log(row.reduce(0) { $0 + exp($1 - largest) }) + largest
        return row[Int(tokens[index + 1])] - total
    }
}

private let story = String(
    repeating: "Once upon a time there was a little girl named Lily. She loved to play outside in the park with her big red ball. ",
    count: 6)

@Suite struct PerplexityTests {
    @Test(.enabled(if: SharedData.storiesModel != nil, Comment(rawValue: needsModel)), arguments: [8, 33, 64])
    func agreesWithTokenByTokenEvaluation(context: Int) throws {
        let model = try storiesModel()
        let tokens = model.tokenizer.encode(story)
        var seen: [Double] = []
        let result = try Perplexity(context: context, chunks: 3).measure(Array(story.utf8), model: model) { seen.append($0.perplexity) }
        var values: [Double] = []
        for chunk in 0..<3 {
            var window = Array(tokens[chunk * context..<(chunk + 1) * context])
            window[0] = try #require(model.tokenizer.bos)
            values += try naiveLogProbabilities(window, model)[(context / 2)...].map { -$0 }
        }
        let mean = values.reduce(0, +) / Double(values.count)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
        #expect(abs(result.negativeLogLikelihood - mean) < 1e-4)
        #expect(abs(result.perplexity - exp(mean)) < 1e-3 * exp(mean))
        // The standard error of the mean, carried over to the exponential: the variance of llama.cpp divides by n first, then by n − 1.
        #expect(abs(result.standardError - exp(mean) * (variance / Double(values.count)).squareRoot()) < 1e-3 * exp(mean))
        #expect(result.scoredTokens == 3 * (context - context / 2 - 1))
        #expect(result.textTokens == tokens.count)
        #expect(seen.count == 3)
        #expect(seen.last == result.perplexity)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, Comment(rawValue: needsModel)))
    func textsThatAreTooShortAreErrors() throws {
        let model = try storiesModel()
        #expect(throws: SwiftletError.self) { try Perplexity(context: 512).measure(Array("short".utf8), model: model) }
        #expect(throws: SwiftletError.self) { try Perplexity(context: 2).measure(Array(story.utf8), model: model) }
        #expect(throws: SwiftletError.self) { try Perplexity(context: 16, chunks: 0).measure(Array(story.utf8), model: model) }
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, Comment(rawValue: needsModel)))
    func windowsLongerThanABatchAgreeWithShortRows() throws {
        // 700 tokens: the unscored half and the scored half do not fit into one batch of the decoder.
        let model = try LanguageModel(path: try #require(SharedData.storiesModel), options: ModelOptions(threads: 2, context: 1400))
        let tokens = Array(repeating: model.tokenizer.encode(story), count: 8).flatMap { $0 }
        let scorer = try TokenScorer(try Decoder(model: model, context: 1400))
        var whole: [Double] = []
        try scorer.score(Array(tokens[..<1400]), at: 0, from: 700) { whole.append($0) }
        var parts: [Double] = []
        try scorer.score(Array(tokens[..<701]), at: 0, from: 700) { parts.append($0) }
        for position in stride(from: 700, to: 1399, by: 100) {
            let end = min(position + 101, 1400)
            try scorer.score(Array(tokens[position..<end]), at: position) { parts.append($0) }
        }
        #expect(whole.count == 699)
        #expect(whole.count == parts.count)
        for (left, right) in zip(whole, parts) { #expect(abs(left - right) < 1e-3) }
    }
}

@Suite struct HellaSwagTests {
    private static let text = """
        Lily: Lily went to the park with her mom. She
        2
        eat red the of.
        jump ball was in.
        saw a big tree and wanted to play.
        saw
        Tim: One day, Tim found a
        0
        big red ball.
        the and of was.
        ball red big ball red.
        zzz.

        """

    @Test func readsTheSixLineForm() throws {
        let evaluation = try HellaSwag(Self.text, name: "text")
        #expect(evaluation.tasks.count == 2)
        #expect(evaluation.tasks[0].context == "Lily: Lily went to the park with her mom. She")
        #expect(evaluation.tasks[0].right == 2)
        #expect(evaluation.tasks[1].endings == ["big red ball.", "the and of was.", "ball red big ball red.", "zzz."])
        #expect(try HellaSwag(Self.text, name: "text", limit: 1).tasks.count == 1)
        #expect(try HellaSwag(Self.text.replacingOccurrences(of: "\n", with: "\r\n"), name: "text").tasks == evaluation.tasks)
    }

    @Test(arguments: ["", "a\n0\nb\nc\nd", "a\n4\nb\nc\nd\ne", "a\nx\nb\nc\nd\ne"])
    func filesOfAnotherFormAreErrors(text: String) {
        #expect(throws: SwiftletError.self) { try HellaSwag(text, name: "text") }
    }

    /// Published values of Wilson's interval: 8 of 10 at 95 % is 0.4902 to 0.9433.
    @Test func intervalIsWilsons() {
        let interval = HellaSwag.wilsonInterval(correct: 8, of: 10)
        #expect(abs(interval.lowerBound - 0.4902) < 5e-5)
        #expect(abs(interval.upperBound - 0.9433) < 5e-5)
        #expect(HellaSwag.wilsonInterval(correct: 0, of: 5).lowerBound < 1e-12)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, Comment(rawValue: needsModel)))
    func agreesWithScoringEachTextAlone() throws {
        let model = try storiesModel()
        // Right indices are set to the answers of the slow way, so that one wrong answer shows.
        let tasks = try HellaSwag(Self.text, name: "text").tasks.map { task in
            let texts = task.endings.map { model.tokenizer.encode(task.context + " " + $0) }
            var common = 0
            let shortest = texts.map(\.count).min() ?? 0
            while common < shortest - 1, Set(texts.map { $0[common] }).count == 1 { common += 1 }
            let scores = try texts.map { tokens in
                let scored = try naiveLogProbabilities(tokens, model)[(common - 1)...]
                return scored.reduce(0, +) / Double(scored.count)
            }
            var task = task
            task.right = scores.indices.max { scores[$0] < scores[$1] } ?? 0
            return task
        }
        var calls = 0
        let result = try HellaSwag(tasks: tasks).measure(model: model) { _ in calls += 1 }
        #expect(result.correct == 2)
        #expect(result.accuracyPercent == 100)
        #expect(calls == 2)
        let wrong = tasks.map { HellaSwag.Task(context: $0.context, endings: $0.endings, right: ($0.right + 1) % 4) }
        #expect(try HellaSwag(tasks: wrong).measure(model: model).correct == 0)
    }
}

@Suite struct ModelBenchmarkTests {
    @Test func spreadIsMedianAndExtremes() throws {
        #expect(try #require(Spread([3, 1, 2])).median == 2)
        let even = try #require(Spread([4, 1, 3, 2]))
        #expect((even.minimum, even.median, even.maximum) == (1, 2.5, 4))
        #expect(Spread([]) == nil)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, Comment(rawValue: needsModel)))
    func measuresEveryRepetition() throws {
        let model = try storiesModel()
        var prefill: [Double] = []
        let result = try ModelBenchmark(promptTokens: 32, generateTokens: 8, repetitions: 3).measure(model: model) {
            prefill.append($0.prefillTokensPerSecond)
        }
        #expect(prefill.count == 3)
        #expect(result.prefillTokensPerSecond == Spread(prefill))
        #expect(result.decodeTokensPerSecond.minimum > 0)
        #expect(result.loadMilliseconds == model.loadMilliseconds)
        #expect(result.peakResidentBytes > 1 << 20)
        #expect(result.weightBytesPerToken == DecodeTraffic(model.graph).weightBytes)
        #expect(result.cacheBytesPerToken == DecodeTraffic(model.graph).cacheBytes(positions: 32..<40))
        let read = result.readGigabytesPerSecond, share = result.decodePercentOfRead
        #expect(read.minimum > 0)
        // The share of a repetition is its own rate against its own read.
        let bytes = Double(result.weightBytesPerToken) * 1e-7, decode = result.decodeTokensPerSecond
        #expect(share.minimum >= decode.minimum * bytes / read.maximum * 0.999 && share.maximum <= decode.maximum * bytes / read.minimum * 1.001)
        let whole = Double(result.weightBytesPerToken + result.cacheBytesPerToken) / Double(result.weightBytesPerToken)
        #expect(abs(result.decodePercentOfReadWithCache / share.median - whole) < 1e-9)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, Comment(rawValue: needsModel)))
    func countsThatDoNotFitAreErrors() throws {
        let model = try storiesModel()
        for (prompt, generate, repetitions) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (500, 13, 1), (.max, 1, 1)] {
            #expect(throws: SwiftletError.self) {
                try ModelBenchmark(promptTokens: prompt, generateTokens: generate, repetitions: repetitions).measure(model: model)
            }
        }
    }
}
