// What Python's operators mean for template values: truth, equality, order, membership and arithmetic. Integers have 64 bits: a result that
// does not fit is an error, never a wrong number.

import Foundation
import SwiftletTensor

extension TemplateEvaluator {
    // MARK: Truth, numbers, elements

    func isTrue(_ value: RuntimeValue) throws -> Bool {
        switch value {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .double(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let list): !list.elements.isEmpty
        case .dictionary(let dictionary): !dictionary.entries.isEmpty
        case .namespace, .loop, .callable: true
        }
    }

    /// The value as an integer when it is one: True is 1.
    func integer(_ value: RuntimeValue) -> Int? {
        switch value {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// The value as a floating-point number when it is any number.
    func double(_ value: RuntimeValue) -> Double? {
        if case .double(let value) = value { return value }
        return integer(value).map(Double.init)
    }

    /// What a loop over `value` visits.
    func elements(of value: RuntimeValue) throws -> [RuntimeValue] {
        switch value {
        case .undefined: return []
        case .list(let list):
            try charge(list.elements.count, times: 16)
            return list.elements
        case .dictionary(let dictionary):
            try charge(dictionary.entries.count, times: 16)
            return dictionary.entries.map(\.key)
        case .string(let text):
            try charge(text.utf8.count, times: 16)
            return text.unicodeScalars.map { .string(String($0)) }
        case .loop(let loop):
            try charge(loop.items.count, times: 16)
            return Array(loop.items[loop.index...])
        default: throw failure("a value of type '\(value.typeName)' cannot be iterated over")
        }
    }

    /// The key `value` is in a dictionary.
    func key(of value: RuntimeValue) throws -> DictionaryKey {
        switch value {
        case .undefined: return .undefined
        case .none: return .none
        case .bool(let value): return .integer(value ? 1 : 0)
        case .int(let value): return .integer(value)
        case .double(let value): return Int(exactly: value).map { .integer($0) } ?? .fraction(value)
        case .string(let text):
            try charge(text.utf8.count)
            return .text(ExactText(text))
        case .list(let list) where list.kind == .tuple: return .tuple(try nested { try list.elements.map { try key(of: $0) } })
        default: throw failure("a value of type '\(value.typeName)' cannot be a key")
        }
    }

    // MARK: Equality and order

    func areEqual(_ left: [RuntimeValue], _ right: [RuntimeValue]) throws -> Bool {
        guard left.count == right.count else { return false }
        for (left, right) in zip(left, right) where try !areEqual(left, right) { return false }
        return true
    }

    func areEqual(_ left: RuntimeValue, _ right: RuntimeValue) throws -> Bool {
        try charge(16)
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let left), .string(let right)):
            guard left.utf8.count == right.utf8.count else { return false }
            try charge(left.utf8.count)
            return left.utf8.elementsEqual(right.utf8)
        case (.list(let left), .list(let right)):
            guard left.kind == right.kind else { return false }
            return try left === right || nested { try areEqual(left.elements, right.elements) }
        case (.dictionary(let left), .dictionary(let right)):
            guard left !== right else { return true }
            guard left.entries.count == right.entries.count else { return false }
            return try nested {
                for (key, value) in left.entries {
                    guard let other = right.value(try self.key(of: key)), try areEqual(value, other) else { return false }
                }
                return true
            }
        default:
            if let left = integer(left), let right = integer(right) { return left == right }
            if let left = double(left), let right = double(right) { return left == right }
            return try isSame(left, right)
        }
    }

    /// Whether two values are one object, or the same constant.
    func isSame(_ left: RuntimeValue, _ right: RuntimeValue) throws -> Bool {
        switch (left, right) {
        case (.list(let left), .list(let right)): left === right
        case (.dictionary(let left), .dictionary(let right)): left === right
        case (.namespace(let left), .namespace(let right)): left === right
        case (.loop(let left), .loop(let right)): left === right
        case (.callable(.macro(let left)), .callable(.macro(let right))): left === right
        case (.callable(.global(let left)), .callable(.global(let right))): left == right
        case (.none, .none): true
        case (.bool(let left), .bool(let right)): left == right
        case (.int(let left), .int(let right)): left == right
        case (.string(let left), .string(let right)): try areEqual(.string(left), .string(right))
        default: false
        }
    }

    /// Whether `left` comes before `right`; text by code point, lists element by element.
    func isLess(_ left: RuntimeValue, _ right: RuntimeValue) throws -> Bool {
        try charge(16)
        switch (left, right) {
        case (.undefined(let reason), _), (_, .undefined(let reason)): throw failure(reason, remedy: "Check that the value exists before using it.")
        case (.string(let left), .string(let right)):
            try charge(min(left.utf8.count, right.utf8.count))
            return left.utf8.lexicographicallyPrecedes(right.utf8)
        case (.list(let left), .list(let right)) where left.kind == right.kind:
            return try nested {
                for (left, right) in zip(left.elements, right.elements) where try !areEqual(left, right) { return try isLess(left, right) }
                return left.elements.count < right.elements.count
            }
        default:
            if let left = integer(left), let right = integer(right) { return left < right }
            if let left = double(left), let right = double(right) { return left < right }
            throw failure("values of types '\(left.typeName)' and '\(right.typeName)' have no order")
        }
    }

    func evaluateComparison(
        _ first: TemplateExpression, _ rest: [(operation: TemplateExpression.Comparison, operand: TemplateExpression)], in scope: TemplateScope
    ) throws -> RuntimeValue {
        var left = try evaluate(first, in: scope)
        for (operation, operand) in rest {
            let right = try evaluate(operand, in: scope)
            position = operand.position
            guard try holds(operation, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    func holds(_ operation: TemplateExpression.Comparison, _ left: RuntimeValue, _ right: RuntimeValue) throws -> Bool {
        switch operation {
        case .equal: try areEqual(left, right)
        case .notEqual: try !areEqual(left, right)
        case .less: try isLess(left, right)
        case .greater: try isLess(right, left)
        case .lessOrEqual: try isLess(left, right) || areEqual(left, right)
        case .greaterOrEqual: try isLess(right, left) || areEqual(left, right)
        case .contained: try contains(right, left)
        case .notContained: try !contains(right, left)
        }
    }

    /// `value in container`.
    func contains(_ container: RuntimeValue, _ value: RuntimeValue) throws -> Bool {
        switch container {
        case .undefined: return false
        case .string(let text):
            guard case .string(let part) = value else { throw failure("only a string can be in a string, not '\(value.typeName)'") }
            return try firstIndex(of: Array(part.utf8), in: Array(text.utf8)) != nil
        case .list(let list):
            for element in list.elements where try areEqual(element, value) { return true }
            return false
        case .dictionary(let dictionary): return dictionary.value(try key(of: value)) != nil
        default: throw failure("a value of type '\(container.typeName)' contains nothing")
        }
    }

    // MARK: Arithmetic

    func evaluateSign(_ operand: TemplateExpression, isNegative: Bool, at place: SourcePosition, in scope: TemplateScope) throws -> RuntimeValue {
        let value = try evaluate(operand, in: scope)
        position = place
        if let number = integer(value) { return .int(isNegative ? try checked(0.subtractingReportingOverflow(number)) : number) }
        if case .double(let number) = value { return .double(isNegative ? -number : number) }
        if case .undefined(let reason) = value { throw failure(reason, remedy: "Check that the value exists before using it.") }
        throw failure("a value of type '\(value.typeName)' has no sign")
    }

    func evaluateArithmetic(
        _ first: TemplateExpression, _ rest: [(operation: TemplateExpression.Arithmetic, operand: TemplateExpression, position: SourcePosition)],
        in scope: TemplateScope
    ) throws -> RuntimeValue {
        var left = try evaluate(first, in: scope)
        for (operation, operand, place) in rest {
            let right = try evaluate(operand, in: scope)
            position = place
            left = try compute(operation, left, right)
        }
        return left
    }

    private func checked(_ result: (partialValue: Int, overflow: Bool)) throws -> Int {
        guard !result.overflow else { throw failure("the result does not fit 64 bits") }
        return result.partialValue
    }

    func add(_ left: RuntimeValue, _ right: RuntimeValue) throws -> RuntimeValue { try compute(.add, left, right) }

    private func compute(_ operation: TemplateExpression.Arithmetic, _ left: RuntimeValue, _ right: RuntimeValue) throws -> RuntimeValue {
        switch (operation, left, right) {
        case (_, .undefined(let reason), _): throw failure(reason, remedy: "Check that the value exists before using it.")
        case (.modulo, .string(let format), _): return try percentFormat(format, right)
        case (_, _, .undefined(let reason)): throw failure(reason, remedy: "Check that the value exists before using it.")
        case (.add, .string(let left), .string(let right)):
            try charge(left.utf8.count + right.utf8.count)
            return .string(left + right)
        case (.add, .list(let left), .list(let right)) where left.kind == right.kind:
            try charge(left.elements.count + right.elements.count, times: 16)
            return try makeList(left.elements + right.elements, kind: left.kind)
        case (.multiply, .string(let text), let count), (.multiply, let count, .string(let text)):
            if let count = integer(count) { return .string(try repeated(text, count)) }
        case (.multiply, .list(let list), let count), (.multiply, let count, .list(let list)):
            if let count = integer(count) {
                try charge(list.elements.count * 16, times: count)
                return try makeList(Array(repeatElement(list.elements, count: max(count, 0)).joined()), kind: list.kind)
            }
        default: break
        }
        if let left = integer(left), let right = integer(right) { return try compute(operation, left, right) }
        if let left = double(left), let right = double(right) { return try compute(operation, left, right) }
        throw failure("operator '\(operation.rawValue)' does not work on '\(left.typeName)' and '\(right.typeName)'")
    }

    private func compute(_ operation: TemplateExpression.Arithmetic, _ left: Int, _ right: Int) throws -> RuntimeValue {
        switch operation {
        case .add: return .int(try checked(left.addingReportingOverflow(right)))
        case .subtract: return .int(try checked(left.subtractingReportingOverflow(right)))
        case .multiply: return .int(try checked(left.multipliedReportingOverflow(by: right)))
        case .divide: return try compute(.divide, Double(left), Double(right))
        case .floorDivide, .modulo:
            guard right != 0 else { throw failure("division by zero") }
            if right == -1 { return operation == .modulo ? .int(0) : .int(try checked(0.subtractingReportingOverflow(left))) }
            // Python rounds down and gives the remainder the divisor's sign; Swift rounds towards zero.
            let (quotient, remainder) = left.quotientAndRemainder(dividingBy: right)
            let roundsDown = remainder != 0 && (remainder < 0) != (right < 0)
            return .int(operation == .modulo ? (roundsDown ? remainder + right : remainder) : (roundsDown ? quotient - 1 : quotient))
        case .power:
            guard right >= 0 else { return try compute(.power, Double(left), Double(right)) }
            var (base, exponent, result) = (left, right, 1)
            while exponent > 0 {
                if exponent & 1 == 1 { result = try checked(result.multipliedReportingOverflow(by: base)) }
                exponent >>= 1
                if exponent > 0 {
                    // 0, 1 and -1 never overflow, however large the exponent; everything else ends after a few turns.
                    base = try checked(base.multipliedReportingOverflow(by: base))
                }
            }
            return .int(result)
        }
    }

    private func compute(_ operation: TemplateExpression.Arithmetic, _ left: Double, _ right: Double) throws -> RuntimeValue {
        switch operation {
        case .add: return .double(left + right)
        case .subtract: return .double(left - right)
        case .multiply: return .double(left * right)
        case .divide:
            guard right != 0 else { throw failure("division by zero") }
            return .double(left / right)
        case .floorDivide, .modulo:
            guard right != 0 else { throw failure("division by zero") }
            var remainder = fmod(left, right)
            var quotient = (left - remainder) / right
            if remainder != 0, (remainder < 0) != (right < 0) {
                remainder += right
                quotient -= 1
            } else if remainder == 0 {
                remainder = Double(signOf: right, magnitudeOf: 0)
            }
            return .double(operation == .modulo ? remainder : quotient.rounded())
        case .power:
            let result = pow(left, right)
            guard !result.isNaN || left.isNaN || right.isNaN, result.isFinite || !left.isFinite || !right.isFinite else {
                throw failure("the power has no real, finite result")
            }
            return .double(result)
        }
    }

    /// `text` `count` times; a negative count gives nothing.
    func repeated(_ text: String, _ count: Int) throws -> String {
        try charge(text.utf8.count, times: count)
        return String(repeating: text, count: max(count, 0))
    }
}
