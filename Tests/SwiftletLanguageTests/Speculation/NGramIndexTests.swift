import SwiftletLanguage
import TestSupport
import Testing

@Suite struct NGramIndexTests {
    /// The longest earlier occurrence of the end of `tokens`, the latest of equals, by looking at every place.
    private func naive(_ tokens: [Int32]) -> (continuation: Int, length: Int)? {
        var best: (continuation: Int, length: Int)?
        for place in stride(from: tokens.count - 2, to: 0, by: -1) {
            var length = 0
            while length <= place, length < NGramIndex.longestMatch, tokens[place - length] == tokens[tokens.count - 1 - length] { length += 1 }
            if length >= 2, length > best?.length ?? 0 { best = (place + 1, length) }
        }
        return best
    }

    @Test func matchesAreThoseOfTheNaiveSearch() {
        var random = SeededGenerator(seed: 3)
        // Few enough repetitions of each pair that the index looks at all of them.
        for alphabet: Int32 in [30, 60, 1000] {
            var index = NGramIndex(capacity: 4096)
            var tokens: [Int32] = []
            for step in 0..<300 {
                // Runs copied from earlier make long matches.
                let token = step % 40 > 25 && tokens.count > 40 ? tokens[tokens.count - 37] : Int32.random(in: 0..<alphabet, using: &random)
                tokens.append(token)
                index.append(token)
                let (found, expected) = (index.match(), naive(tokens))
                #expect(found?.length == expected?.length && found?.continuation == expected?.continuation, "\(alphabet), \(step)")
            }
        }
    }

    @Test func shortSequencesHaveNoMatch() {
        var index = NGramIndex(capacity: 4)
        #expect(index.match() == nil)
        for token: Int32 in [5, 5, 6] {
            index.append(token)
            #expect(index.match() == nil)
        }
        // 5 5 6 5 5: the pair stands at the start.
        for token: Int32 in [5, 5] { index.append(token) }
        #expect(index.match()?.continuation == 2 && index.match()?.length == 2)
    }

    /// More tokens than the capacity, tokens of any value, and one pair everywhere.
    @Test func anySequenceIsTaken() {
        var index = NGramIndex(capacity: 1)
        for token in [Int32.min, .max, -1, 0] + Array(repeating: 7, count: 3000) { index.append(token) }
        #expect(index.match()?.length == NGramIndex.longestMatch)
        #expect(index.tokens.count == 3004)
    }

    @Test func copiesGoOnInTheirPeriod() {
        var index = NGramIndex(capacity: 16)
        for token: Int32 in [9, 1, 2, 3, 1, 2, 3] { index.append(token) }
        let match = index.match()
        #expect(match?.continuation == 4 && match?.length == 3)
        var draft = [Int32](repeating: 0, count: 8)
        draft.withUnsafeMutableBufferPointer { index.copy(from: 4, to: $0) }
        #expect(draft == [1, 2, 3, 1, 2, 3, 1, 2])
    }
}
