import Foundation
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

@Suite struct LogProbabilityTests {
    @Test func agreesWithASoftmaxInDouble() throws {
        var random = SeededGenerator(seed: 21)
        let logits = random.floats(1000, in: -20...20)
        let largest = logits.max().map(Double.init) ?? 0
        let total = log(logits.reduce(0.0) { $0 + exp(Double($1) - largest) }) + largest
        var log = try LogProbabilities()
        try logits.withUnsafeBufferPointer { row in
            let (value, top) = try log.logProbabilities(of: 17, top: 5, in: row)
            #expect(abs(Double(value) - (Double(logits[17]) - total)) < 1e-5)
            #expect(try log.logProbability(of: 17, in: row) == value)
            let order = logits.indices.sorted { logits[$0] > logits[$1] }.prefix(5)
            #expect(top.map { Int($0.token) } == Array(order))
            for entry in top { #expect(abs(Double(entry.logProbability) - (Double(logits[Int(entry.token)]) - total)) < 1e-5) }
            #expect(throws: SwiftletError.self) { try log.logProbability(of: 1000, in: row) }
            #expect(throws: SwiftletError.self) { try log.logProbability(of: -1, in: row) }
        }
    }

    @Test func moreAlternativesThanTokensGiveAllInOrder() throws {
        var log = try LogProbabilities()
        try [Float(1), 3, 2, 3].withUnsafeBufferPointer { row in
            let (_, top) = try log.logProbabilities(of: 0, top: 10, in: row)
            #expect(top.map(\.token) == [1, 3, 2, 0])
            #expect(abs(top.reduce(0) { $0 + exp(Double($1.logProbability)) } - 1) < 1e-6)
            #expect(try log.logProbabilities(of: 0, top: 0, in: row).alternatives.isEmpty)
        }
    }
}
