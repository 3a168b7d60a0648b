// The JSON header of a safetensors file: {"__metadata__": {key: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}.
// A reader for exactly this shape, not for JSON at large: it knows the byte offset of everything it refuses, sees duplicate keys,
// and never nests. Source: github.com/huggingface/safetensors, README "Format".
import SwiftletTensor

struct SafetensorsHeader {
    struct Entry {
        let name: String
        let dtype: String
        let shape: [Int]
        /// Bytes from the start of the data section.
        let begin: Int
        let end: Int
        /// Where the name stands in the file.
        let offset: Int
    }

    private(set) var metadata: [(key: String, value: String)] = []
    private(set) var entries: [Entry] = []

    private let bytes: UnsafeRawBufferPointer
    private let file: String
    private var position: Int
    private let end: Int

    static let metadataKey = "__metadata__"

    /// Reads the header in `range` of the file. The caller keeps the image alive.
    init(_ image: FileImage, range: Range<Int>) throws {
        bytes = image.bytes
        file = image.name
        position = range.lowerBound
        end = range.upperBound
        var names: Set<String> = []
        guard position < end, bytes[position] == UInt8(ascii: "{") else { throw malformed("the header does not start with '{'") }
        try object { header, name, offset in
            guard names.insert(name).inserted else { throw header.malformed("the name '\(name)' appears twice", at: offset) }
            if name == Self.metadataKey { try header.readMetadata() } else { try header.readEntry(name, offset) }
        }
        // Writers pad the header with spaces.
        while position < end {
            guard bytes[position] == UInt8(ascii: " ") else { throw malformed("the header goes on after its closing brace") }
            position += 1
        }
    }

    private mutating func readMetadata() throws {
        var keys: Set<String> = []
        var pairs: [(key: String, value: String)] = []
        try object { header, key, offset in
            guard keys.insert(key).inserted else { throw header.malformed("the metadata key '\(key)' appears twice", at: offset) }
            pairs.append((key, try header.string("a metadata value")))
        }
        metadata = pairs
    }

    private mutating func readEntry(_ name: String, _ offset: Int) throws {
        var dtype: String?
        var shape: [Int]?
        var range: [Int]?
        try object { header, key, place in
            switch key {
            case "dtype" where dtype == nil: dtype = try header.string("a dtype")
            case "shape" where shape == nil: shape = try header.integers()
            case "data_offsets" where range == nil: range = try header.integers()
            default: throw header.malformed("tensor '\(name)' has the unknown or repeated key '\(key)'", at: place)
            }
        }
        guard let dtype, let shape, let range, range.count == 2, range[0] <= range[1] else {
            throw malformed("tensor '\(name)' needs a dtype, a shape and data_offsets of a start and an end not before it", at: offset)
        }
        entries.append(Entry(name: name, dtype: dtype, shape: shape, begin: range[0], end: range[1], offset: offset))
    }
}

// MARK: - The little JSON that is needed

extension SafetensorsHeader {
    /// `{ "key": value, ... }`: calls `member` with the reader standing at each value.
    private mutating func object(_ member: (inout SafetensorsHeader, String, Int) throws -> Void) throws {
        try expect("{")
        if accept("}") { return }
        repeat {
            skipSpace()
            let offset = position
            let key = try string("a key")
            try expect(":")
            try member(&self, key, offset)
        } while accept(",")
        try expect("}")
    }

    /// `[1, 2, ...]` of integers that are not negative.
    private mutating func integers() throws -> [Int] {
        try expect("[")
        if accept("]") { return [] }
        var values: [Int] = []
        repeat { values.append(try integer()) } while accept(",")
        try expect("]")
        return values
    }

    private mutating func integer() throws -> Int {
        skipSpace()
        let start = position
        var value = 0
        while position < end, case let digit = Int(bytes[position]) - 48, (0...9).contains(digit) {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(digit)
            guard !overflow, !carry else { throw malformed("a number is too large", at: start) }
            value = sum
            position += 1
        }
        guard position > start else { throw malformed("an integer that is not negative was expected") }
        guard position == start + 1 || bytes[start] != UInt8(ascii: "0") else { throw malformed("a number starts with 0", at: start) }
        return value
    }

    private mutating func string(_ what: String) throws -> String {
        try expect("\"")
        let start = position
        var text: [UInt8] = []
        while true {
            guard position < end else { throw malformed("the header ends inside \(what)") }
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else { throw malformed("\(what) is not valid UTF-8", at: start) }
                return string
            case UInt8(ascii: "\\"): text.append(contentsOf: try escape())
            case 0..<0x20: throw malformed("\(what) has a control character", at: position - 1)
            default: text.append(byte)
            }
        }
    }

    /// The UTF-8 of an escape sequence, the backslash already read.
    private mutating func escape() throws -> [UInt8] {
        let start = position - 1
        guard position < end else { throw malformed("the header ends inside a string") }
        let letter = bytes[position]
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [letter]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "u"):
            var code = try hexadecimal(start)
            if (0xD800..<0xDC00).contains(code), position + 1 < end, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            {
                position += 2
                let low = try hexadecimal(start)
                guard (0xDC00..<0xE000).contains(low) else { throw malformed("half a surrogate pair", at: start) }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw malformed("half a surrogate pair", at: start) }
            return Array(String(scalar).utf8)
        default: throw malformed("an unknown escape sequence", at: start)
        }
    }

    private mutating func hexadecimal(_ start: Int) throws -> UInt32 {
        guard end - position >= 4 else { throw malformed("the header ends inside an escape sequence", at: start) }
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue, bytes[position] < 0x80 else {
                throw malformed("an escape sequence needs four hexadecimal digits", at: start)
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    private mutating func skipSpace() {
        while position < end, case let byte = bytes[position], byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    private mutating func accept(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard position < end, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws {
        guard accept(character) else { throw malformed("'\(character)' was expected") }
    }

    private func malformed(_ reason: String, at offset: Int? = nil) -> SwiftletError {
        .malformed(file: file, offset: offset ?? position, reason: reason, remedy: "Download or export the file again.")
    }
}
