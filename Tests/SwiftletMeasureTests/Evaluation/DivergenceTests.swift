// Divergence against the same figure computed token by token in Double, and the pieces windows are cut into.
import Foundation
import SwiftletCompress
import SwiftletGraph
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

import SwiftletMeasure

private let text = String(
    repeating: "Once upon a time there was a little girl named Lily. She loved to play outside in the park with her big red ball. One day, Tim came. ", count: 5)

/// A file of the stories model whose feed-forward layers are `factor` of what they were.
func weakenedStories(_ factor: Float) throws -> String {
    let model = try GGUFModel(path: try #require(SharedData.storiesModel))
    var graph = model.graph
    for layer in graph.layers(in: Scope(include: ["*ffn_down.weight"])) {
        graph.replaceWeight(layer.weightID, with: try Weight(name: layer.name, shape: layer.weight.shape, floats: layer.weight.floats().map { $0 * factor }))
    }
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).gguf").path
    try model.write(graph, to: path)
    return path
}

/// Rows of ln p, evaluated token by token.
private func naiveRows(_ tokens: [Int32], _ model: LanguageModel) throws -> [[Double]] {
    let decoder = try Decoder(model: model, context: 512)
    return try tokens.indices.map { index in
        let row = Array(try decoder.evaluate([tokens[index]], at: index)[0]).map(Double.init)
        let largest = row.max() ?? 0
        let total = log(row.reduce(0) { $0 + exp($1 - largest) }) + largest
        return row.map { $0 - total }
    }
}

@Suite struct DivergenceTests {
    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"), arguments: [16, 33])
    func agreesWithTokenByTokenEvaluation(context: Int) throws {
        let path = try weakenedStories(0.6)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let parent = try storiesModel(), model = try LanguageModel(path: path, options: ModelOptions(threads: 2, context: 512))
        var seen: [Double] = []
        let result = try Divergence(context: context, chunks: 3).measure(Array(text.utf8), parent: parent, model: model) { seen.append($0.meanDivergence) }
        let tokens = parent.tokenizer.encode(text)
        var (divergences, agreements, before, after) = ([Double](), 0, 0.0, 0.0)
        for chunk in 0..<3 {
            var window = Array(tokens[chunk * context..<(chunk + 1) * context])
            window[0] = try #require(parent.tokenizer.bos)
            let (p, q) = (try naiveRows(window, parent), try naiveRows(window, model))
            for row in context / 2..<context - 1 {
                divergences.append(zip(p[row], q[row]).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) })
                if p[row].indices.max(by: { p[row][$0] < p[row][$1] }) == q[row].indices.max(by: { q[row][$0] < q[row][$1] }) { agreements += 1 }
                before -= p[row][Int(window[row + 1])]
                after -= q[row][Int(window[row + 1])]
            }
        }
        let count = Double(divergences.count), mean = divergences.reduce(0, +) / count
        #expect(mean > 0.01, "the models must differ for the test to mean something")
        #expect(abs(result.meanDivergence - mean) < 1e-3 * mean)
        let variance = divergences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
        #expect(abs(result.divergenceError - (variance / count).squareRoot()) < 1e-3 * mean)
        #expect(abs(result.maximumDivergence - (divergences.max() ?? 0)) < 1e-3 * result.maximumDivergence)
        #expect(abs(result.medianDivergence - divergences.sorted()[Int((0.5 * count).rounded(.up)) - 1]) < 1e-3 * mean)
        #expect(result.topTokenAgreementPercent == 100 * Double(agreements) / count)
        #expect(abs(result.parentPerplexity - exp(before / count)) < 1e-3 * result.parentPerplexity)
        #expect(abs(result.perplexity - exp(after / count)) < 1e-3 * result.perplexity)
        #expect(abs(result.perplexityRisePercent - 100 * (exp((after - before) / count) - 1)) < 0.1)
        #expect(result.scoredTokens == divergences.count && seen.count == 3 && seen.last == result.meanDivergence)
        // The perplexities are those of the other measurement.
        #expect(abs(try Perplexity(context: context, chunks: 3).measure(Array(text.utf8), model: model).perplexity - result.perplexity) < 1e-4 * result.perplexity)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"))
    func aModelDoesNotDivergeFromItself() throws {
        let model = try storiesModel()
        let result = try Divergence(context: 32, chunks: 2).measure(Array(text.utf8), parent: model, model: model)
        #expect(result.meanDivergence < 1e-12 && result.topTokenAgreementPercent == 100 && result.perplexityRisePercent == 0)
        #expect(throws: SwiftletError.self) { try Divergence(context: 512).measure(Array("short".utf8), parent: model, model: model) }
    }

    @Test func rowsOfLogitsAreComparedAsDistributions() throws {
        func pair(_ p: [Float], _ q: [Float]) throws -> LogitPair {
            try p.withUnsafeBufferPointer { p in try q.withUnsafeBufferPointer { q in try LogitPair(p, q) } }
        }
        // p = (1/2, 1/2), q = (3/4, 1/4): ln(1/2) − (ln 3 − 2 ln 4) / 2.
        let halves = try pair([3, 3], [5 + log(3), 5])
        #expect(abs(halves.divergence - (log(0.5) - (log(3) - 2 * log(4)) / 2)) < 1e-6)
        #expect(try !pair([1, 2], [2, 1]).agrees && pair([1, 2, 2], [0, 1, 1]).agrees)
        // What the parent forbids does not count; what only the model forbids is infinitely wrong.
        #expect(try pair([0, -.infinity], [0, 0]).divergence == log(2))
        #expect(try pair([0, 0], [0, -.infinity]).divergence == .infinity)
        #expect(throws: SwiftletError.self) { try pair([0, .nan], [0, 0]) }
    }

    @Test func piecesHaveEveryRowOnceAndFit() {
        for count in 2..<40 {
            for first in 0..<count {
                for (limit, batch) in [(1, 1), (3, 4), (4, 4), (7, 16), (100, 100)] {
                    let pieces = LogitPieces(count: count, from: first, rowLimit: limit, batch: batch).pieces
                    let rows = pieces.flatMap { ($0.firstRow..<$0.firstRow + $0.rows) }
                    #expect(rows == Array(first..<count - 1))
                    if first < count - 1 { #expect(pieces.flatMap { Array($0.tokens) } == Array(0..<count - 1)) }
                    #expect(pieces.allSatisfy { $0.rows <= limit && ($0.rows == 0 || $0.tokens.count <= batch) })
                }
            }
        }
    }
}
