// Operators on texts, which are always known during the import.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let stringOperators: [String: OperatorImporter] = [
        "StringConcat": { _, call in [.strings(try Importer.joined(call))] },
        "StringSplit": { importer, call in try importer.stringSplit(call) },
        "StringNormalizer": { _, call in [.strings(try Importer.normalized(call))] },
        "RegexFullMatch": { importer, call in
            let texts = try call.texts(0)
            guard let pattern = try call.node.string("pattern") else { throw call.invalid("lacks its pattern") }
            let expression = try RegularExpression(pattern)
            let results = texts.values.map { expression.matches($0) ? 1 : 0 }
            return [.tensor(try importer.constant(results, shape: texts.shape.dimensions, .bool))]
        },
        "TfIdfVectorizer": { importer, call in
            let vectorizer = try NGramVectorizer(call)
            return try importer.hostResults(call) { [.tensor(try vectorizer.vectors($0))] }
        },
    ]

    /// The most texts an operator may make of few.
    private static let mostTexts = 1 << 24

    /// Texts end to end, shapes broadcast.
    private static func joined(_ call: OperatorCall) throws -> StringTensor {
        let (a, b) = (try call.texts(0), try call.texts(1))
        let shape = Shape(try broadcast(a.shape.dimensions, b.shape.dimensions, call))
        guard let count = shape.checkedElementCount, count <= mostTexts else { throw call.invalid("makes too many texts, \(shape)") }
        let (left, right) = (places(of: a.shape, in: shape), places(of: b.shape, in: shape))
        return StringTensor(shape: shape, values: (0..<count).map { a.values[left[$0]] + b.values[right[$0]] })
    }

    /// For each element of a shape, the element of a narrower one that is repeated there.
    private static func places(of narrow: Shape, in wide: Shape) -> [Int] {
        var places = [0]
        let missing = wide.rank - narrow.rank
        for axis in 0..<wide.rank {
            let size = axis < missing ? 1 : narrow[axis - missing]
            places = places.flatMap { place in (0..<wide[axis]).map { place * size + (size == 1 ? 0 : $0) } }
        }
        return places
    }

    /// As Python splits texts: pieces padded with empty ones to the most any text has, and how many each has.
    private mutating func stringSplit(_ call: OperatorCall) throws -> [Imported] {
        let texts = try call.texts(0)
        let delimiter = Array(try call.string("delimiter", "").unicodeScalars)
        let limit = try call.node.int("maxsplit").flatMap { $0 < 0 ? nil : $0 } ?? Int.max
        let pieces = texts.values.map { text in
            let scalars = Array(text.unicodeScalars)
            return delimiter.isEmpty ? Self.words(scalars, limit: limit) : Self.pieces(scalars, delimiter, limit: limit)
        }
        let width = pieces.map(\.count).max() ?? 0
        try call.require(pieces.count * width <= Self.mostTexts, "makes \(pieces.count) × \(width) texts")
        let padded = pieces.flatMap { $0 + [String](repeating: "", count: width - $0.count) }
        return [
            .strings(StringTensor(shape: Shape(texts.shape.dimensions + [width]), values: padded)),
            .tensor(try constant(pieces.map(\.count), shape: texts.shape.dimensions)),
        ]
    }

    private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var text = ""
        text.unicodeScalars.append(contentsOf: scalars)
        return text
    }

    /// Between blanks, however many; what follows the last split keeps its own.
    private static func words(_ scalars: [Unicode.Scalar], limit: Int) -> [String] {
        func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value) }
        var words: [String] = []
        var rest = scalars[...]
        while true {
            rest = rest.drop(while: isBlank)
            if rest.isEmpty { return words }
            guard words.count < limit else { return words + [text(rest)] }
            let word = rest.prefix { !isBlank($0) }
            words.append(text(word))
            rest = rest.dropFirst(word.count)
        }
    }

    /// Between delimiters, from the left.
    private static func pieces(_ scalars: [Unicode.Scalar], _ delimiter: [Unicode.Scalar], limit: Int) -> [String] {
        var pieces: [String] = []
        var (start, index) = (0, 0)
        while index + delimiter.count <= scalars.count, pieces.count < limit {
            if scalars[index..<index + delimiter.count].elementsEqual(delimiter) {
                pieces.append(text(scalars[start..<index]))
                index += delimiter.count
                start = index
            } else {
                index += 1
            }
        }
        return pieces + [text(scalars[start...])]
    }

    /// Texts without stop words, in another case. Languages whose case differs from Unicode's default are not told apart.
    private static func normalized(_ call: OperatorCall) throws -> StringTensor {
        let texts = try call.texts(0)
        let shape = texts.shape
        try call.require(shape.rank == 1 || (shape.rank == 2 && shape[0] == 1), "takes a row of texts, not \(shape)")
        let isExact = try call.bool("is_case_sensitive")
        func key(_ text: String) -> [UInt8] { Array((isExact ? text : text.lowercased()).utf8) }
        let stops = Set(try call.node.strings("stopwords")?.map(key) ?? [])
        var kept = texts.values.filter { !stops.contains(key($0)) }
        switch try call.string("case_change_action", "NONE") {
        case "NONE": break
        case "LOWER": kept = kept.map { $0.lowercased() }
        case "UPPER": kept = kept.map { $0.uppercased() }
        case let action: throw call.invalid("'\(action)' is no change of case")
        }
        // One empty text stands for none.
        if kept.isEmpty { kept = [""] }
        return StringTensor(shape: Shape(shape.dimensions.dropLast() + [kept.count]), values: kept)
    }
}

extension OperatorCall {
    /// A tensor of texts.
    func texts(_ index: Int) throws -> StringTensor {
        guard case .strings(let texts) = value(index) else { throw invalid("the input \(index) is no tensor of texts") }
        return texts
    }
}
