// The `--json` form of a result: one object on one line, keys in snake_case and in alphabetical order.
import Foundation

enum JSONOutput {
    /// Prints `value` to standard output.
    static func print(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A forbidden token has the log-probability −∞, which JSON numbers cannot say.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        Console.write(Array(try encoder.encode(value)) + [UInt8(ascii: "\n")])
    }
}
