// The tests of `is`. Source: the list of built-in tests in the Jinja 3.1 template documentation.

import Foundation
import SwiftletTensor

enum TemplateTest: String {
    case boolean, callable, defined, divisibleby, equalto, eq, escaped, even, `false`, filter, float, ge, greaterthan, gt, `in`, integer, iterable, le
    case lessthan, lower, lt, mapping, ne, none, number, odd, sameas, sequence, string, test, `true`, undefined, upper
}

extension TemplateEvaluator {
    /// Whether `value` passes the test `name`.
    func test(_ name: String, _ value: RuntimeValue, _ arguments: CallArguments) throws -> Bool {
        guard let test = TemplateTest(rawValue: name) else {
            guard let comparison = Self.comparisonsBySymbol[name] else {
                throw failure("no test named '\(name.prefix(40))'", remedy: "Use one of Jinja's tests.")
            }
            return try holds(comparison, value, bind(arguments, to: ["other"], required: 1, of: name)[0] ?? .none)
        }
        switch test {
        case .divisibleby, .equalto, .eq, .ne, .ge, .greaterthan, .gt, .le, .lessthan, .lt, .in, .sameas:
            let other = try bind(arguments, to: ["other"], required: 1, of: name)[0] ?? .none
            return try comparisonTest(test, value, other)
        default:
            _ = try bind(arguments, to: [], of: name)
            return try kindTest(test, value)
        }
    }

    private static let comparisonsBySymbol: [String: TemplateExpression.Comparison] = [
        "==": .equal, "!=": .notEqual, "<": .less, "<=": .lessOrEqual, ">": .greater, ">=": .greaterOrEqual,
    ]

    private func comparisonTest(_ test: TemplateTest, _ value: RuntimeValue, _ other: RuntimeValue) throws -> Bool {
        switch test {
        case .ne: return try !areEqual(value, other)
        case .ge: return try holds(.greaterOrEqual, value, other)
        case .greaterthan, .gt: return try isLess(other, value)
        case .le: return try holds(.lessOrEqual, value, other)
        case .lessthan, .lt: return try isLess(value, other)
        case .in: return try contains(other, value)
        case .sameas: return try isSame(value, other)
        case .divisibleby:
            guard let number = integer(value), let divisor = integer(other), divisor != 0 else {
                throw failure("divisibleby takes integers and a divisor other than zero")
            }
            return divisor == -1 || number % divisor == 0
        default: return try areEqual(value, other)
        }
    }

    private func kindTest(_ test: TemplateTest, _ value: RuntimeValue) throws -> Bool {
        switch (test, value) {
        case (.defined, _): return !value.isUndefined
        case (.undefined, _): return value.isUndefined
        case (.none, _): return value.isNone
        case (.boolean, .bool), (.string, .string), (.integer, .int), (.float, .double), (.mapping, .dictionary): return true
        case (.number, .int), (.number, .double), (.number, .bool): return true
        case (.true, .bool(let value)): return value
        case (.false, .bool(let value)): return !value
        case (.sequence, .string), (.sequence, .list), (.sequence, .dictionary), (.sequence, .undefined): return true
        case (.iterable, .string), (.iterable, .list), (.iterable, .dictionary), (.iterable, .loop), (.iterable, .undefined): return true
        case (.callable, .callable): return true
        case (.callable, .loop), (.callable, .undefined): return true
        case (.even, _), (.odd, _):
            guard let number = double(value) else { throw failure("\(test.rawValue) takes a number, not '\(value.typeName)'") }
            // An integer beyond 2^53 must not lose its last bit.
            let remainder = integer(value).map { Double($0 & 1) } ?? abs(fmod(number, 2))
            return remainder == (test == .even ? 0 : 1)
        case (.lower, _), (.upper, _):
            let text = try self.text(of: value)
            try charge(text.utf8.count)
            return isCased(text, upper: test == .upper)
        case (.filter, .string(let name)): return TemplateFilter(rawValue: name) != nil
        case (.test, .string(let name)): return TemplateTest(rawValue: name) != nil || Self.comparisonsBySymbol[name] != nil
        default: return false
        }
    }

    /// Python's `islower` and `isupper`: at least one cased character, and none of the other case.
    func isCased(_ text: String, upper: Bool) -> Bool {
        var hasCase = false
        for scalar in text.unicodeScalars where scalar.properties.isCased {
            guard upper ? scalar.properties.isUppercase : scalar.properties.isLowercase else { return false }
            hasCase = true
        }
        return hasCase
    }
}
