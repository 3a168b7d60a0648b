import SwiftletLanguage
import TestSupport
import Testing

/// Text shown for a stream that arrives in `pieces`, and the stop string found.
private func shown(_ pieces: [String], stops: [String]) -> (text: String, stop: String?) {
    var matcher = StopMatcher(stops)
    var text = ""
    for piece in pieces { text += matcher.append(piece) }
    return (text + matcher.finish(), matcher.matched)
}

@Suite struct StopMatcherTests {
    @Test func cutsAtTheStopStringAcrossPieces() {
        #expect(shown(["Hello<", "|e", "nd|", "> more"], stops: ["<|end|>"]) == ("Hello", "<|end|>"))
        #expect(shown(["one\n\ntwo"], stops: ["\n\n"]) == ("one", "\n\n"))
        #expect(shown(["STOP"], stops: ["STOP"]) == ("", "STOP"))
    }

    @Test func textThatOnlyBeganLikeAStopStringComesOut() {
        #expect(shown(["a<|e", "x"], stops: ["<|end|>"]) == ("a<|ex", nil))
        #expect(shown(["a<|en"], stops: ["<|end|>"]) == ("a<|en", nil))
        // The second attempt begins inside the first: "aab" in "aaab".
        #expect(shown(["xa", "a", "a", "b"], stops: ["aab"]) == ("xa", "aab"))
    }

    @Test func holdsBackOnlyWhatMayBecomeAStopString() {
        var matcher = StopMatcher(["END", "\nUser:"])
        #expect(matcher.append("The E") == "The ")
        #expect(matcher.append("agle\n") == "Eagle")
        #expect(matcher.append("U") == "")
        #expect(matcher.append("FO") == "\nUFO")
        #expect(matcher.finish() == "")
    }

    @Test func firstCompleteStopStringWinsAndTheLongestOfThose() {
        #expect(shown(["abcd"], stops: ["abcdef", "cd", "bcd"]) == ("a", "bcd"))
        #expect(shown(["xyz!"], stops: ["z!", "y"]) == ("x", "y"))
    }

    @Test func nothingFollowsAMatchAndEmptyStopStringsAreNone() {
        var matcher = StopMatcher(["", "."])
        #expect(matcher.append("A. B.") == "A")
        #expect(matcher.append("C") == "")
        #expect(shown(["plain"], stops: [""]) == ("plain", nil))
    }

    /// Any cut of the stream into pieces gives the text and the stop of the uncut stream.
    @Test func cutsOfTheStreamDoNotMatter() {
        var random = SeededGenerator(seed: 8)
        let stops = ["aba", "bb→", "caab", "é"]
        for _ in 0..<500 {
            let characters = (0..<Int.random(in: 0...30, using: &random)).map { _ in
                ["a", "b", "c", "→", "e"].randomElement(using: &random) ?? "a"
            }
            var pieces: [String] = [""]
            for character in characters {
                if Bool.random(using: &random) { pieces.append("") }
                pieces[pieces.count - 1] += character
            }
            let whole = characters.joined()
            // By definition: the shortest start of the text that ends in a stop string, and the longest such.
            var expected = (whole, String?.none)
            search: for end in 0...characters.count {
                let start = characters[..<end].joined()
                for stop in stops.sorted(by: { $0.utf8.count > $1.utf8.count }) where start.hasSuffix(stop) {
                    expected = (String(start.dropLast(stop.count)), stop)
                    break search
                }
            }
            #expect(shown(pieces, stops: stops) == expected)
        }
    }
}
