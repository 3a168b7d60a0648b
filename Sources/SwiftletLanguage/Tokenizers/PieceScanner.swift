// Cuts text into the pieces that byte-pair merges never cross, one hand-written scanner for each family of published patterns.
//
// The patterns (tokenizer.json of the models; llama.cpp names them with `tokenizer.ggml.pre`) are regular expressions over Unicode
// classes. Here each is a function over UTF-8 with a table look-up a scalar and no backtracking: where the expression would backtrack
// (`\s+(?!\S)`, `\s*[\r\n]+`) the scanner remembers the last place where it could stop. Every scan is linear.

/// One pattern. Where it matches the text is cut out; what lies between matches is a piece too.
enum PieceRule: Sendable, Equatable {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` (GPT-2).
    case gpt2
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+` (cl100k).
    case words(WordRule)
    /// `[^\r\n\p{L}\p{N}]?U*V+c?|[^\r\n\p{L}\p{N}]?U+V*c?|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+` (o200k), where
    /// U is `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, V is `[\p{Ll}\p{Lm}\p{Lo}\p{M}]` and c, when wanted, the contractions of GPT-2 in any case.
    case casedWords(maximumDigits: Int, contractions: Bool)
    /// ``[!-/:-@[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`` (DeepSeek V3).
    case deepSeekWords
    /// `\p{N}{1,n}`, or `\p{N}+` for nil.
    case numbers(maximum: Int?)
    /// `[0-9][0-9][0-9]`
    case digitTriples
    /// `[\r\n]`
    case newline
    /// ``[\p{P}$+<=>^~|`]+``; the oldest pattern has no backtick.
    case punctuation(backtick: Bool)
    /// `\s?C+` for a set of classes.
    case spacedRun(UnicodeClassSet)
    /// `\s?[...]+` or `[...]+` for a set of scalars.
    case ranges(ScalarRanges, spaced: Bool)
    /// `\s+$`
    case trailingWhitespace
    /// ` ?[^(\s|.,!?…。，、।۔،)]+` (BLOOM).
    case bloomWords
}

/// The parts in which the patterns of the cl100k family differ.
struct WordRule: Sendable, Equatable {
    var contractions = true
    var maximumDigits = 3
    /// Words are `[\p{L}\p{M}]+`, and marks no longer count as punctuation (Qwen 3.5).
    var marksInWords = false
    /// Line ends after punctuation belong to it.
    var newlinesAfterPunctuation = true
}

/// Sendable spelling of a class set, for rules that are stored.
struct UnicodeClassSet: Sendable, Equatable {
    let rawValue: UInt16
    static let letters = UnicodeClassSet(rawValue: UnicodeClasses.letter.rawValue)
    static let punctuation = UnicodeClassSet(rawValue: UnicodeClasses.punctuation.rawValue)
}

/// Finds the next piece in a run of UTF-8. Indices are bytes from `base`; nothing outside `..<end` is read.
struct PieceScanner {
    let base: UnsafePointer<UInt8>
    private let table: UnicodeClassTable
    private let ascii: UnsafePointer<UnicodeClasses>

    init(base: UnsafePointer<UInt8>) {
        self.base = base
        table = .shared
        ascii = table.ascii
    }

    /// The end of the piece that starts at `start`, which is below `end`; always beyond `start`.
    func pieceEnd(_ rule: PieceRule, from start: Int, to end: Int) -> Int {
        switch rule {
        case .gpt2: return gpt2(start, end)
        case .words(let rule): return words(rule, start, end)
        case .casedWords(let maximumDigits, let contractions): return casedWords(maximumDigits, contractions, start, end)
        case .deepSeekWords: return gapOrMatch(start, end, startsWith: .any) { deepSeekWords($0, end) }
        case .numbers(let maximum):
            return gapOrMatch(start, end, startsWith: .number) { numbers($0, end, maximum: maximum ?? .max) }
        case .digitTriples: return gapOrMatch(start, end, startsWith: .number) { digitTriple($0, end) }
        case .newline: return gapOrMatch(start, end, startsWith: .newline) { $0 + 1 }
        case .punctuation(let backtick):
            return gapOrMatch(start, end, startsWith: [.punctuation, .symbol]) { punctuation($0, end, backtick: backtick) }
        case .spacedRun(let set):
            let classes = UnicodeClasses(rawValue: set.rawValue)
            return gapOrMatch(start, end, startsWith: classes.union(.whitespace)) { spacedRun($0, end, classes) }
        case .ranges(let ranges, let spaced):
            return gapOrMatch(start, end, startsWith: .any) { rangesRun($0, end, ranges, spaced: spaced) }
        case .trailingWhitespace:
            return gapOrMatch(start, end, startsWith: .whitespace) { position in
                let stop = run(position, end, .whitespace)
                // Without a match here none starts inside this run either: the gap takes all of it.
                return stop == end ? stop : -stop
            }
        case .bloomWords: return gapOrMatch(start, end, startsWith: .any) { bloomWord($0, end) }
        }
    }

    // MARK: - Building blocks

    /// The classes at `index` and the bytes of the scalar; no class and length 0 at the end.
    @inline(__always)
    private func classes(_ index: Int, _ end: Int) -> (classes: UnicodeClasses, length: Int) {
        guard index < end else { return ([], 0) }
        let byte = base[index]
        if byte < 0x80 { return (ascii[Int(byte)], 1) }
        let (scalar, length) = UTF8Reader.scalar(base, at: index, end: end)
        return (table.classes(of: scalar), length)
    }

    /// Where the run of scalars of `wanted` classes that starts at `index` ends.
    @inline(__always)
    private func run(_ index: Int, _ end: Int, _ wanted: UnicodeClasses) -> Int {
        var index = index
        while index < end {
            let byte = base[index]
            if byte < 0x80 {
                if ascii[Int(byte)].isDisjoint(with: wanted) { break }
                index += 1
            } else {
                let (scalar, length) = UTF8Reader.scalar(base, at: index, end: end)
                if table.classes(of: scalar).isDisjoint(with: wanted) { break }
                index += length
            }
        }
        return index
    }

    /// The match of `match` at `start`, or else the gap up to the next place where it matches. `match` gives the end of a match, nil for
    /// none, or minus the end of a stretch in which none starts. It is tried only at scalars of the classes `startsWith`.
    @inline(__always)
    private func gapOrMatch(_ start: Int, _ end: Int, startsWith: UnicodeClasses, _ match: (Int) -> Int?) -> Int {
        var index = start
        while true {
            if startsWith != .any { index = skip(index, end, until: startsWith) }
            guard index < end else { return end }
            var skip = classes(index, end).length
            if let stop = match(index) {
                if stop > 0 { return index == start ? stop : index }
                skip = -stop - index
            }
            index += skip
        }
    }

    /// The first scalar from `index` on that has one of the classes `wanted`.
    @inline(__always)
    private func skip(_ index: Int, _ end: Int, until wanted: UnicodeClasses) -> Int {
        var index = index
        while index < end {
            let byte = base[index]
            if byte < 0x80 {
                if !ascii[Int(byte)].isDisjoint(with: wanted) { break }
                index += 1
            } else {
                let (scalar, length) = UTF8Reader.scalar(base, at: index, end: end)
                if !table.classes(of: scalar).isDisjoint(with: wanted) { break }
                index += length
            }
        }
        return index
    }

    /// Length in bytes of a contraction at `index`, which holds an apostrophe, or 0.
    @inline(__always)
    private func contraction(_ index: Int, _ end: Int, anyCase: Bool) -> Int {
        guard index + 1 < end else { return 0 }
        let fold: UInt8 = anyCase ? 0x20 : 0
        let next = base[index + 1] | fold
        switch next {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"): return index + 2 < end && base[index + 2] | fold == UInt8(ascii: "e") ? 3 : 0
        case UInt8(ascii: "l"): return index + 2 < end && base[index + 2] | fold == UInt8(ascii: "l") ? 3 : 0
        default: return 0
        }
    }

    /// `\s+(?!\S)|\s+` at white space: all of the run at the end of the text, else all but its last scalar, or that one when it is alone.
    @inline(__always)
    private func whitespace(_ start: Int, _ end: Int) -> Int {
        var index = start
        var last = start
        while true {
            let (found, length) = classes(index, end)
            if found.isDisjoint(with: .whitespace) { break }
            last = index
            index += length
        }
        return index == end || last == start ? index : last
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` at white space: up to the last line end of the run when it has one.
    @inline(__always)
    private func whitespaceWithLines(_ start: Int, _ end: Int) -> Int {
        var index = start
        var last = start
        var lineEnd = 0
        while true {
            let (found, length) = classes(index, end)
            if found.isDisjoint(with: .whitespace) { break }
            last = index
            index += length
            if found.contains(.newline) { lineEnd = index }
        }
        if lineEnd > 0 { return lineEnd }
        return index == end || last == start ? index : last
    }

    @inline(__always)
    private func numbers(_ start: Int, _ end: Int, maximum: Int) -> Int {
        var index = start
        var count = 0
        while count < maximum {
            let (found, length) = classes(index, end)
            if found.isDisjoint(with: .number) { break }
            index += length
            count += 1
        }
        return index
    }

    private enum Tail { case nothing, newlines, newlinesAndSlashes }

    @inline(__always)
    private func tail(_ index: Int, _ end: Int, _ tail: Tail) -> Int {
        if tail == .nothing { return index }
        var index = index
        while index < end, base[index] == 0x0A || base[index] == 0x0D || (tail == .newlinesAndSlashes && base[index] == UInt8(ascii: "/")) {
            index += 1
        }
        return index
    }

    // MARK: - Patterns that match at every scalar

    @inline(__always)
    private func gpt2(_ start: Int, _ end: Int) -> Int {
        let byte = base[start]
        if byte == UInt8(ascii: "'") {
            let length = contraction(start, end, anyCase: false)
            if length > 0 { return start + length }
        }
        let index = byte == 0x20 ? start + 1 : start
        let (found, length) = classes(index, end)
        if length > 0, found.isDisjoint(with: .whitespace) {
            if !found.isDisjoint(with: .letter) { return run(index + length, end, .letter) }
            if !found.isDisjoint(with: .number) { return run(index + length, end, .number) }
            return run(index + length, end, Self.rest)
        }
        return whitespace(start, end)
    }

    /// `[^\s\p{L}\p{N}]`
    private static let rest = UnicodeClasses.any.subtracting([.whitespace, .newline, .letter, .number])

    @inline(__always)
    private func words(_ rule: WordRule, _ start: Int, _ end: Int) -> Int {
        let byte = base[start]
        if rule.contractions, byte == UInt8(ascii: "'") {
            let length = contraction(start, end, anyCase: true)
            if length > 0 { return start + length }
        }
        let word = rule.marksInWords ? UnicodeClasses.letter.union(.mark) : .letter
        let (found, length) = classes(start, end)
        if !found.isDisjoint(with: word) { return run(start + length, end, word) }
        if found.isDisjoint(with: [.number, .newline]) {
            let (next, nextLength) = classes(start + length, end)
            if !next.isDisjoint(with: word) { return run(start + length + nextLength, end, word) }
        }
        let rest = rule.marksInWords ? Self.rest.subtracting(.mark) : Self.rest
        return remainder(
            found, start, end, rest: rest, maximumDigits: rule.maximumDigits, tail: rule.newlinesAfterPunctuation ? .newlines : .nothing)
    }

    /// What cl100k and o200k share after the words: numbers, punctuation, white space.
    @inline(__always)
    private func remainder(
        _ found: UnicodeClasses, _ start: Int, _ end: Int, rest: UnicodeClasses, maximumDigits: Int, tail kind: Tail
    ) -> Int {
        if !found.isDisjoint(with: .number) { return numbers(start, end, maximum: maximumDigits) }
        let index = base[start] == 0x20 ? start + 1 : start
        let stop = run(index, end, rest)
        if stop > index { return tail(stop, end, kind) }
        return whitespaceWithLines(start, end)
    }

    // MARK: - Words by case (o200k)

    private func casedWords(_ maximumDigits: Int, _ contractions: Bool, _ start: Int, _ end: Int) -> Int {
        let (found, length) = classes(start, end)
        let prefix = found.isDisjoint(with: [.letter, .number, .newline]) ? length : 0
        // In the order of the alternatives and of the greedy optional prefix.
        var stop = prefix > 0 ? lowerWord(start + prefix, end) : nil
        stop = stop ?? lowerWord(start, end)
        if stop == nil, prefix > 0 { stop = upperWord(start + prefix, end) }
        stop = stop ?? upperWord(start, end)
        if let stop {
            guard contractions, stop < end, base[stop] == UInt8(ascii: "'") else { return stop }
            return stop + contraction(stop, end, anyCase: true)
        }
        return remainder(found, start, end, rest: Self.rest, maximumDigits: maximumDigits, tail: .newlinesAndSlashes)
    }

    private static let upperLike: UnicodeClasses = [.upper, .uncased, .nonspacingMark, .otherMark]
    private static let lowerLike: UnicodeClasses = [.lower, .uncased, .nonspacingMark, .otherMark]

    /// `U*V+`: the upper run gives scalars back until one of them is in V too.
    private func lowerWord(_ start: Int, _ end: Int) -> Int? {
        var index = start
        var sharedEnd: Int?
        while true {
            let (found, length) = classes(index, end)
            if found.contains(.lower) { return run(index, end, Self.lowerLike) }
            if found.isDisjoint(with: Self.upperLike) { return sharedEnd }
            index += length
            if !found.contains(.upper) { sharedEnd = index }
        }
    }

    /// `U+V*`
    private func upperWord(_ start: Int, _ end: Int) -> Int? {
        let stop = run(start, end, Self.upperLike)
        return stop > start ? run(stop, end, Self.lowerLike) : nil
    }

    // MARK: - Patterns that leave gaps

    private func deepSeekWords(_ start: Int, _ end: Int) -> Int? {
        let byte = base[start]
        let (found, length) = classes(start, end)
        if byte < 0x80, !found.isDisjoint(with: [.punctuation, .symbol]), start + 1 < end {
            var index = start + 1
            while index < end, case let letter = base[index] | 0x20, letter >= UInt8(ascii: "a"), letter <= UInt8(ascii: "z") { index += 1 }
            if index > start + 1 { return index }
        }
        let word = UnicodeClasses.letter.union(.mark)
        if found.isDisjoint(with: [.newline, .letter, .punctuation, .symbol]) {
            let stop = run(start + length, end, word)
            if stop > start + length { return stop }
        }
        if !found.isDisjoint(with: word) { return run(start, end, word) }
        let index = byte == 0x20 ? start + 1 : start
        let stop = run(index, end, [.punctuation, .symbol])
        if stop > index { return tail(stop, end, .newlines) }
        return found.contains(.whitespace) ? whitespaceWithLines(start, end) : nil
    }

    private func digitTriple(_ start: Int, _ end: Int) -> Int? {
        guard start + 3 <= end else { return nil }
        for index in start..<start + 3 where base[index] &- UInt8(ascii: "0") > 9 { return nil }
        return start + 3
    }

    private func punctuation(_ start: Int, _ end: Int, backtick: Bool) -> Int? {
        var index = start
        while true {
            let (found, length) = classes(index, end)
            // Among ASCII scalars the listed symbols are all there are, but for the backtick.
            let listed = found.contains(.symbol) && base[index] < 0x80 && (backtick || base[index] != UInt8(ascii: "`"))
            guard listed || found.contains(.punctuation) else { break }
            index += length
        }
        return index > start ? index : nil
    }

    private func spacedRun(_ start: Int, _ end: Int, _ wanted: UnicodeClasses) -> Int? {
        let (found, length) = classes(start, end)
        let index = found.contains(.whitespace) ? start + length : start
        let stop = run(index, end, wanted)
        return stop > index ? stop : nil
    }

    private func rangesRun(_ start: Int, _ end: Int, _ ranges: ScalarRanges, spaced: Bool) -> Int? {
        let (found, length) = classes(start, end)
        if spaced, found.contains(.whitespace) {
            let stop = ranges.runEnd(base, start + length, end)
            if stop > start + length { return stop }
        }
        let stop = ranges.runEnd(base, start, end)
        return stop > start ? stop : nil
    }

    private func bloomWord(_ start: Int, _ end: Int) -> Int? {
        let index = base[start] == 0x20 ? start + 1 : start
        var stop = index
        while true {
            let (found, length) = classes(stop, end)
            if length == 0 || found.contains(.whitespace) || isBloomSeparator(UTF8Reader.scalar(base, at: stop, end: end).scalar) { break }
            stop += length
        }
        return stop > index ? stop : nil
    }

    private func isBloomSeparator(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x28, 0x29, 0x7C, 0x2E, 0x2C, 0x21, 0x3F: true  // ( ) | . , ! ?
        case 0x2026, 0x3002, 0xFF0C, 0x3001, 0x0964, 0x06D4, 0x060C: true  // … 。 ， 、 । ۔ ،
        default: false
        }
    }
}
