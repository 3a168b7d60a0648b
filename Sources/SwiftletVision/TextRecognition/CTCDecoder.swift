// From probabilities per column to a text: of each column the most probable class; repetitions count once, the blank class not at all.
import SwiftletTensor

package struct CTCDecoder: Sendable {
    /// Class 0 is the blank, the last one the space, which the dictionary does not list.
    private let characters: [String]

    package var classCount: Int { characters.count }

    /// - Parameter dictionary: a character a line.
    package init(dictionary: String) {
        // By scalars: a combining mark after a line feed is a line of its own.
        var lines = dictionary.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            var text = String.UnicodeScalarView(line)
            if text.last == "\r" { text.removeLast() }
            return String(text)
        }
        if lines.last == "" { lines.removeLast() }
        characters = [""] + lines + [" "]
    }

    /// - Parameter probabilities: f32 `[1, columns, classes]`.
    /// - Returns: the text, and the mean of its characters' probabilities; 0 when it is empty.
    package func decode(_ probabilities: Tensor) throws -> (text: String, confidence: Double) {
        try probabilities.withElements(as: Float.self) { values in
            var (text, sum, count) = ("", 0.0, 0)
            var previous = 0
            for start in stride(from: 0, to: values.count, by: classCount) {
                var best = 0
                for index in 1..<classCount where values[start + index] > values[start + best] { best = index }
                if best != previous, best != 0 {
                    text += characters[best]
                    sum += Double(values[start + best])
                    count += 1
                }
                previous = best
            }
            return (text, count == 0 ? 0 : sum / Double(count))
        }
    }
}
