// The key-value pairs of a GGUF file, in file order, with accessors that say which key is missing or of the wrong type.
import SwiftletTensor

/// Metadata of a GGUF file: keys such as `llama.block_count` and their values, in file order.
public struct GGUFMetadata: Sendable {
    /// One pair. `offset` is where its key starts in the file, in bytes.
    public struct Entry: Sendable, Equatable {
        public let key: String
        public let value: GGUFValue
        public let offset: Int

        public init(key: String, value: GGUFValue, offset: Int = 0) {
            self.key = key
            self.value = value
            self.offset = offset
        }
    }

    public private(set) var entries: [Entry]
    private var indices: [String: Int]
    /// The file named in errors.
    private let file: String

    /// Metadata in memory, for a writer or a test. When a key appears twice the first one counts.
    public init(_ pairs: [(key: String, value: GGUFValue)], file: String = "metadata in memory") {
        self.init(file: file)
        for pair in pairs { _ = append(Entry(key: pair.key, value: pair.value)) }
    }

    init(file: String) {
        entries = []
        indices = [:]
        self.file = file
    }

    /// Appends a pair; returns false, and changes nothing, when the key is there already.
    mutating func append(_ entry: Entry) -> Bool {
        guard indices.updateValue(entries.count, forKey: entry.key) == nil else { return false }
        entries.append(entry)
        return true
    }

    /// The value of `key`, or nil.
    public subscript(key: String) -> GGUFValue? { indices[key].map { entries[$0].value } }

    public func contains(_ key: String) -> Bool { indices[key] != nil }
}

// Each type has three forms: `x(key)` is nil when the key is missing, `x(key, default:)` gives the default, `requiredX(key)` throws.
// All three throw `SwiftletError.malformed`, naming the key, when the value is of another type.
extension GGUFMetadata {
    /// An integer of any width.
    public func int(_ key: String) throws -> Int? { try value(key, "an integer", \.int) }
    public func int(_ key: String, default fallback: Int) throws -> Int { try int(key) ?? fallback }
    public func requiredInt(_ key: String) throws -> Int { try required(key, int(key)) }

    /// A number: f32, f64 (rounded to f32) or an integer.
    public func float(_ key: String) throws -> Float? { try value(key, "a number", \.float) }
    public func float(_ key: String, default fallback: Float) throws -> Float { try float(key) ?? fallback }
    public func requiredFloat(_ key: String) throws -> Float { try required(key, float(key)) }

    public func bool(_ key: String) throws -> Bool? { try value(key, "a boolean", \.bool) }
    public func bool(_ key: String, default fallback: Bool) throws -> Bool { try bool(key) ?? fallback }
    public func requiredBool(_ key: String) throws -> Bool { try required(key, bool(key)) }

    public func string(_ key: String) throws -> String? { try value(key, "a string", \.string) }
    public func string(_ key: String, default fallback: String) throws -> String { try string(key) ?? fallback }
    public func requiredString(_ key: String) throws -> String { try required(key, string(key)) }

    /// An array of strings, decoded on demand.
    public func strings(_ key: String) throws -> GGUFStrings? { try value(key, "an array of strings") { $0.array?.strings } }
    public func requiredStrings(_ key: String) throws -> GGUFStrings { try required(key, strings(key)) }

    /// An array of integers of any width.
    public func ints(_ key: String) throws -> [Int]? { try value(key, "an array of integers") { $0.array?.ints } }
    public func requiredInts(_ key: String) throws -> [Int] { try required(key, ints(key)) }

    /// An array of numbers.
    public func floats(_ key: String) throws -> [Float]? { try value(key, "an array of numbers") { $0.array?.floats } }
    public func requiredFloats(_ key: String) throws -> [Float] { try required(key, floats(key)) }

    /// An array of booleans.
    public func bools(_ key: String) throws -> [Bool]? { try value(key, "an array of booleans") { $0.array?.bools } }
    public func requiredBools(_ key: String) throws -> [Bool] { try required(key, bools(key)) }

    /// One integer for each of `count` layers: an array of that length, or a single integer that holds for all
    /// (files write `attention.head_count_kv` both ways).
    public func ints(_ key: String, perLayer count: Int) throws -> [Int]? {
        guard let index = indices[key] else { return nil }
        if let single = entries[index].value.int { return Array(repeating: single, count: count) }
        guard let values = entries[index].value.array?.ints, values.count == count else {
            throw wrongType(entries[index], "an integer or an array of \(count) integers")
        }
        return values
    }

    private func value<Value>(_ key: String, _ wanted: String, _ convert: (GGUFValue) -> Value?) throws -> Value? {
        guard let index = indices[key] else { return nil }
        guard let result = convert(entries[index].value) else { throw wrongType(entries[index], wanted) }
        return result
    }

    private func required<Value>(_ key: String, _ value: Value?) throws -> Value {
        if let value { return value }
        throw SwiftletError.malformed(
            file: file, offset: GGUFFile.headerBytes, reason: "the metadata has no key '\(key)'",
            remedy: "Convert the model again with a current converter.")
    }

    private func wrongType(_ entry: Entry, _ wanted: String) -> SwiftletError {
        let length = entry.value.array.map { " of \($0.count)" } ?? ""
        return .malformed(
            file: file, offset: entry.offset,
            reason: "the metadata key '\(entry.key)' is \(entry.value.typeName)\(length), not \(wanted)",
            remedy: "Convert the model again with a current converter.")
    }
}
