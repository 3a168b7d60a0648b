// Steps on a command line: `wanda sparsity=0.5 include=blk.*,output.weight`. Words are separated by blanks; a part in single or double quotes
// is taken as it is.
import SwiftletRuntime

extension Recipe {
    /// The steps that flags describe, one a text. `name` is what errors call it, with the number of the text as the line.
    public init(flags texts: [String], name: String = "--step") throws { try self.init(flags: texts, name: name, techniques: Techniques.all) }

    package init(flags texts: [String], name: String, techniques: [any RecipeTechnique.Type]) throws {
        self.init(steps: try texts.enumerated().map { try RecipeFlags(source: name, line: $0 + 1).source($1).step(techniques) })
    }
}

/// Reads one text.
private struct RecipeFlags {
    let source: String
    let line: Int

    private func place(_ offset: Int) -> RecipePlace { RecipePlace(source: source, line: line, column: offset + 1) }

    func source(_ text: String) throws -> RecipeStepSource {
        let words = try split(Array(text.unicodeScalars))
        guard let first = words.first else { throw place(0).error("the step is empty", "Write a technique and its parameters: wanda sparsity=0.5") }
        let technique = RecipeWord(text: RecipeStepSource.techniqueKey, isQuoted: false, place: first.place)
        var entries: [(key: RecipeWord, value: RecipeOperand)] = [(technique, .word(first))]
        for word in words.dropFirst() {
            guard let sign = word.text.firstIndex(of: "="), sign != word.text.startIndex else {
                throw word.place.error("'\(word.text)' is no parameter", "Write name=value.")
            }
            let key = RecipeWord(text: String(word.text[..<sign]), isQuoted: false, place: word.place)
            guard !entries.contains(where: { $0.key.text == key.text }) else {
                throw word.place.error("'\(key.text)' comes twice", key.text == RecipeStepSource.techniqueKey ? "The first word is the technique." : "Keep one of them.")
            }
            let value = String(word.text[word.text.index(after: sign)...])
            let valuePlace = RecipePlace(source: source, line: line, column: word.place.column + key.text.unicodeScalars.count + 1)
            if [RecipeStepSource.includeKey, RecipeStepSource.excludeKey].contains(key.text) {
                let parts = value.split(separator: ",", omittingEmptySubsequences: false)
                entries.append((key, .list(parts.map { RecipeWord(text: String($0), isQuoted: false, place: valuePlace) }, valuePlace)))
            } else {
                entries.append((key, .word(RecipeWord(text: value, isQuoted: false, place: valuePlace))))
            }
        }
        return RecipeStepSource(place: first.place, entries: entries)
    }

    private func split(_ text: [Unicode.Scalar]) throws -> [RecipeWord] {
        var words: [RecipeWord] = []
        var index = 0
        while index < text.count {
            if text[index].properties.isWhitespace {
                index += 1
                continue
            }
            let start = index
            var word = String.UnicodeScalarView()
            while index < text.count, !text[index].properties.isWhitespace {
                let quote = text[index]
                guard quote == "\"" || quote == "'" else {
                    word.append(quote)
                    index += 1
                    continue
                }
                guard let end = text[(index + 1)...].firstIndex(of: quote) else { throw place(index).error("the quote is not closed", "Close it with \(quote).") }
                word.append(contentsOf: text[(index + 1)..<end])
                index = end + 1
            }
            words.append(RecipeWord(text: String(word), isQuoted: false, place: place(start)))
        }
        return words
    }
}
