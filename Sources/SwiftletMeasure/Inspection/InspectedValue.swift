// A metadata value as JSON shows it: numbers are numbers, text is text, and an array of a hundred thousand tokens is its length and its start.
import SwiftletFormats

/// One value of a model file's metadata.
public enum InspectedValue: Sendable, Equatable {
    case integer(Int)
    case number(Double)
    case bool(Bool)
    case string(String)
    /// The number of elements, and the first few.
    case array(count: Int, first: [InspectedValue])

    /// Elements kept of an array.
    static let shownElements = 6

    /// A value of a GGUF file.
    public init(_ value: GGUFValue) {
        switch value {
        case .uint8, .int8, .uint16, .int16, .uint32, .int32, .int64, .uint64:
            // Only an unsigned integer above Int.max has no `int`.
            if let int = value.int { self = .integer(int) } else { self = .string(String(describing: value)) }
        case .float32(let float): self = .number(Double(float))
        case .float64(let double): self = .number(double)
        case .bool(let bool): self = .bool(bool)
        case .string(let string): self = .string(string)
        case .array(let array): self = .array(count: array.count, first: Self.start(of: array))
        }
    }

    private static func start(of array: GGUFArray) -> [InspectedValue] {
        switch array {
        case .float32(let values): values.prefix(shownElements).map { .number(Double($0)) }
        case .float64(let values): values.prefix(shownElements).map { .number($0) }
        case .bool(let values): values.prefix(shownElements).map { .bool($0) }
        case .string(let values): values.prefix(shownElements).map { .string($0) }
        case .array(let values): values.prefix(shownElements).map { .array(count: $0.count, first: start(of: $0)) }
        case .uint8, .int8, .uint16, .int16, .uint32, .int32, .uint64, .int64: (array.ints ?? []).prefix(shownElements).map { .integer($0) }
        }
    }
}

extension InspectedValue: CustomStringConvertible {
    public var description: String {
        switch self {
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .bool(let value): "\(value)"
        case .string(let value): value
        case .array(let count, let first):
            "[" + first.map { if case .string(let text) = $0 { "\"\(text)\"" } else { $0.description } }.joined(separator: ", ")
                + (count > first.count ? ", … \(count) in all]" : "]")
        }
    }
}

extension InspectedValue: Codable {
    private struct Start: Codable {
        let count: Int
        let first: [InspectedValue]
    }

    public init(from decoder: any Swift.Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else {
            let start = try container.decode(Start.self)
            self = .array(count: start.count, first: start.first)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .bool(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let count, let first): try container.encode(Start(count: count, first: first))
        }
    }
}
