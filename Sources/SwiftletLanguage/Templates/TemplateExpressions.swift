// Evaluates expressions: names, literals, look-ups, slices and calls. Operators are in TemplateOperators.swift.
// Each kind has its own function, so that the recursive one keeps a small stack frame even without optimisation.

import SwiftletTensor

extension TemplateEvaluator {
    func evaluate(_ expression: TemplateExpression, in scope: TemplateScope) throws -> RuntimeValue {
        try charge(16)
        position = expression.position
        switch expression.kind {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .int(value)
        case .float(let value): return .double(value)
        case .string(let value): return .string(value)
        case .name(let name): return scope.value(name) ?? .undefined("'\(name)' is undefined")
        default: return try nested { try evaluateCompound(expression, in: scope) }
        }
    }

    private func evaluateCompound(_ expression: TemplateExpression, in scope: TemplateScope) throws -> RuntimeValue {
        switch expression.kind {
        case .tuple(let elements): return try makeList(evaluate(elements, in: scope), kind: .tuple)
        case .list(let elements): return try makeList(evaluate(elements, in: scope))
        case .dictionary(let entries): return try evaluateDictionary(entries, in: scope)
        case .conditional(let condition, let then, let otherwise): return try evaluateConditional(condition, then, otherwise, in: scope)
        case .not(let operand): return .bool(try !isTrue(evaluate(operand, in: scope)))
        case .negated(let operand): return try evaluateSign(operand, isNegative: true, at: expression.position, in: scope)
        case .plus(let operand): return try evaluateSign(operand, isNegative: false, at: expression.position, in: scope)
        case .all(let operands): return try evaluateLogical(operands, stopsAt: false, in: scope)
        case .any(let operands): return try evaluateLogical(operands, stopsAt: true, in: scope)
        case .comparison(let first, let rest): return try evaluateComparison(first, rest, in: scope)
        case .arithmetic(let first, let rest): return try evaluateArithmetic(first, rest, in: scope)
        case .concatenation(let operands): return try evaluateConcatenation(operands, in: scope)
        case .postfix(let base, let steps): return try apply(steps, to: evaluate(base, in: scope), in: scope)
        case .none, .bool, .integer, .float, .string, .name: return try evaluate(expression, in: scope)
        }
    }

    private func evaluate(_ expressions: [TemplateExpression], in scope: TemplateScope) throws -> [RuntimeValue] {
        var values: [RuntimeValue] = []
        values.reserveCapacity(expressions.count)
        for expression in expressions { values.append(try evaluate(expression, in: scope)) }
        return values
    }

    private func evaluateDictionary(
        _ entries: [(key: TemplateExpression, value: TemplateExpression)], in scope: TemplateScope
    ) throws -> RuntimeValue {
        let dictionary = try makeDictionary()
        for (key, value) in entries {
            let name = try evaluate(key, in: scope)
            dictionary.set(try self.key(of: name), named: name, to: try evaluate(value, in: scope))
        }
        return .dictionary(dictionary)
    }

    private func evaluateConditional(
        _ condition: TemplateExpression, _ then: TemplateExpression, _ otherwise: TemplateExpression?, in scope: TemplateScope
    ) throws -> RuntimeValue {
        if try isTrue(evaluate(condition, in: scope)) { return try evaluate(then, in: scope) }
        guard let otherwise else { return .undefined("the inline if evaluated to false and has no else") }
        return try evaluate(otherwise, in: scope)
    }

    private func evaluateLogical(_ operands: [TemplateExpression], stopsAt stop: Bool, in scope: TemplateScope) throws -> RuntimeValue {
        var last = RuntimeValue.none
        for operand in operands {
            last = try evaluate(operand, in: scope)
            if try isTrue(last) == stop { return last }
        }
        return last
    }

    private func evaluateConcatenation(_ operands: [TemplateExpression], in scope: TemplateScope) throws -> RuntimeValue {
        var result = ""
        for operand in operands {
            let piece = try text(of: evaluate(operand, in: scope))
            try charge(piece.utf8.count)
            result += piece
        }
        return .string(result)
    }

    // MARK: What follows a value

    /// Applies look-ups, calls, filters and tests from left to right.
    func apply(_ steps: [TemplateExpression.Step], to base: RuntimeValue, in scope: TemplateScope) throws -> RuntimeValue {
        var value = base
        for step in steps {
            try charge(16)
            position = step.position
            value = try apply(step, to: value, in: scope)
        }
        return value
    }

    private func apply(_ step: TemplateExpression.Step, to value: RuntimeValue, in scope: TemplateScope) throws -> RuntimeValue {
        switch step.kind {
        case .attribute(let name): return try attribute(name, of: value)
        case .subscripted(let index): return try evaluateSubscript(index, of: value, at: step.position, in: scope)
        case .slice(let start, let end, let stride): return try evaluateSlice(of: value, start, end, stride, at: step.position, in: scope)
        case .call(let arguments): return try evaluateCall(of: value, arguments, at: step.position, in: scope)
        case .filter(let name, let arguments): return try evaluateFilter(name, on: value, arguments, at: step.position, in: scope)
        case .test(let name, let arguments, let negated):
            return .bool(try evaluateTest(name, on: value, arguments, at: step.position, in: scope) != negated)
        }
    }

    private func evaluateSubscript(
        _ index: TemplateExpression, of value: RuntimeValue, at place: SourcePosition, in scope: TemplateScope
    ) throws -> RuntimeValue {
        let index = try evaluate(index, in: scope)
        position = place
        return try item(index, of: value)
    }

    private func evaluateCall(
        of function: RuntimeValue, _ arguments: TemplateExpression.Arguments, at place: SourcePosition, in scope: TemplateScope
    ) throws -> RuntimeValue {
        let values = try evaluate(arguments, in: scope)
        position = place
        return try call(function, values)
    }

    private func evaluateFilter(
        _ name: String, on value: RuntimeValue, _ arguments: TemplateExpression.Arguments, at place: SourcePosition, in scope: TemplateScope
    ) throws -> RuntimeValue {
        let values = try evaluate(arguments, in: scope)
        position = place
        return try filter(name, value, values)
    }

    private func evaluateTest(
        _ name: String, on value: RuntimeValue, _ arguments: TemplateExpression.Arguments, at place: SourcePosition, in scope: TemplateScope
    ) throws -> Bool {
        let values = try evaluate(arguments, in: scope)
        position = place
        return try test(name, value, values)
    }

    func evaluate(_ arguments: TemplateExpression.Arguments, in scope: TemplateScope) throws -> CallArguments {
        var values = CallArguments(positional: try evaluate(arguments.positional, in: scope))
        for (name, value) in arguments.named {
            guard !values.named.contains(where: { $0.name == name }) else { throw failure("two arguments are named '\(name.prefix(40))'") }
            values.named.append((name, try evaluate(value, in: scope)))
        }
        if let list = arguments.unpackedList { values.positional += try elements(of: evaluate(list, in: scope)) }
        if let mapping = arguments.unpackedMapping {
            guard case .dictionary(let dictionary) = try evaluate(mapping, in: scope) else { throw failure("what follows '**' is not a mapping") }
            for (key, value) in dictionary.entries {
                guard case .string(let name) = key else { throw failure("an argument's name is not a string") }
                values.named.append((name, value))
            }
        }
        return values
    }

    func call(_ function: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        switch function {
        case .undefined(let reason): throw failure(reason)
        case .loop(let loop):
            guard let recursion = loop.recursion else { throw failure("this loop is not recursive", remedy: "Mark it with 'recursive'.") }
            let children = try bind(arguments, to: ["iterable"], required: 1, of: "loop")[0] ?? .none
            return try nested {
                .string(try capture { _ = try run(recursion.statement, over: children, in: recursion.scope, depth: loop.depth + 1) })
            }
        case .callable(let callable): return try nested { try call(callable, arguments) }
        default: throw failure("a value of type '\(function.typeName)' cannot be called")
        }
    }

    private func call(_ callable: TemplateCallable, _ arguments: CallArguments) throws -> RuntimeValue {
        switch callable {
        case .global(let global): return try call(global, arguments)
        case .macro(let macro): return try call(macro, arguments)
        case .stringMethod(let receiver, let method): return try call(method, on: receiver, arguments)
        case .listMethod(let receiver, let method): return try call(method, on: receiver, arguments)
        case .dictionaryMethod(let receiver, let method): return try call(method, on: receiver, arguments)
        case .loopCycle(let loop):
            guard !arguments.positional.isEmpty else { throw failure("loop.cycle() needs items") }
            return arguments.positional[loop.index % arguments.positional.count]
        case .loopChanged(let loop):
            defer { loop.lastChanged = arguments.positional }
            guard let last = loop.lastChanged else { return .bool(true) }
            return .bool(try !areEqual(last, arguments.positional))
        case .cyclerNext(let cycler):
            defer { cycler.index = (cycler.index + 1) % cycler.items.count }
            return cycler.items[cycler.index]
        case .cyclerReset(let cycler):
            cycler.index = 0
            return .none
        case .cycler: throw failure("a cycler is advanced with .next()")
        case .joiner(let joiner):
            defer { joiner.wasCalled = true }
            return joiner.wasCalled ? joiner.separator : .string("")
        }
    }

    /// Matches arguments with parameter names. A parameter without an argument is nil; the first `required` ones must have one.
    func bind(_ arguments: CallArguments, to parameters: [String], required: Int = 0, of function: String) throws -> [RuntimeValue?] {
        guard arguments.positional.count <= parameters.count else {
            throw failure("\(function) takes at most \(parameters.count) arguments and was given \(arguments.positional.count)")
        }
        var values: [RuntimeValue?] = arguments.positional
        values += Array(repeating: nil, count: parameters.count - values.count)
        for (name, value) in arguments.named {
            guard let index = parameters.firstIndex(of: name) else { throw failure("\(function) has no parameter '\(name.prefix(40))'") }
            guard values[index] == nil else { throw failure("\(function) got two values for '\(name)'") }
            values[index] = value
        }
        for index in 0..<required where values[index] == nil { throw failure("\(function) needs the argument '\(parameters[index])'") }
        return values
    }

    // MARK: Look-ups

    /// `value.name`: an attribute or method first, an item second, as Jinja looks them up.
    func attribute(_ name: String, of value: RuntimeValue) throws -> RuntimeValue {
        switch value {
        case .undefined(let reason): throw failure(reason, remedy: "Check that the value exists before using it.")
        case .string(let text):
            if let method = TemplateStringMethod(rawValue: name) { return .callable(.stringMethod(text, method)) }
        case .list(let list):
            if let method = TemplateListMethod(rawValue: name), list.kind == .list || !method.changesList {
                return .callable(.listMethod(list, method))
            }
        case .dictionary(let dictionary):
            if let method = TemplateDictionaryMethod(rawValue: name) { return .callable(.dictionaryMethod(dictionary, method)) }
            if let value = dictionary.value(.text(ExactText(name))) { return value }
        case .namespace(let namespace):
            if let value = namespace.attributes[ExactText(name)] { return value }
        case .loop(let loop):
            if let value = loopAttribute(name, of: loop) { return value }
        case .callable(let callable):
            if let value = try callableAttribute(name, of: callable) { return value }
        case .none, .bool, .int, .double: break
        }
        return .undefined("'\(value.typeName)' has no attribute '\(name.prefix(80))'")
    }

    private func loopAttribute(_ name: String, of loop: LoopObject) -> RuntimeValue? {
        let last = loop.items.count - 1
        return switch name {
        case "index": .int(loop.index + 1)
        case "index0": .int(loop.index)
        case "revindex": .int(last - loop.index + 1)
        case "revindex0": .int(last - loop.index)
        case "first": .bool(loop.index == 0)
        case "last": .bool(loop.index == last)
        case "length": .int(loop.items.count)
        case "depth": .int(loop.depth + 1)
        case "depth0": .int(loop.depth)
        case "previtem": loop.index > 0 ? loop.items[loop.index - 1] : .undefined("there is no previous item")
        case "nextitem": loop.index < last ? loop.items[loop.index + 1] : .undefined("there is no next item")
        case "cycle": .callable(.loopCycle(loop))
        case "changed": .callable(.loopChanged(loop))
        default: nil
        }
    }

    private func callableAttribute(_ name: String, of callable: TemplateCallable) throws -> RuntimeValue? {
        switch (callable, name) {
        case (.macro(let macro), "name"): .string(macro.definition.name)
        case (.macro(let macro), "arguments"): try makeList(macro.definition.parameters.map { .string($0.name) }, kind: .tuple)
        case (.cycler(let cycler), "next"): .callable(.cyclerNext(cycler))
        case (.cycler(let cycler), "reset"): .callable(.cyclerReset(cycler))
        case (.cycler(let cycler), "current"): cycler.items[cycler.index]
        default: nil
        }
    }

    /// `value[index]`: an item first, an attribute second.
    func item(_ index: RuntimeValue, of value: RuntimeValue) throws -> RuntimeValue {
        switch (value, index) {
        case (.undefined(let reason), _): throw failure(reason, remedy: "Check that the value exists before using it.")
        case (.dictionary(let dictionary), _):
            if let value = dictionary.value(try key(of: index)) { return value }
        case (.list(let list), .int), (.list(let list), .bool):
            if let place = place(of: integer(index) ?? 0, count: list.elements.count) { return list.elements[place] }
            return .undefined("the list has no item \(integer(index) ?? 0)")
        case (.string(let text), .int), (.string(let text), .bool):
            try charge(text.utf8.count)
            let scalars = text.unicodeScalars
            guard let place = place(of: integer(index) ?? 0, count: scalars.count) else {
                return .undefined("the string has no character \(integer(index) ?? 0)")
            }
            return .string(String(scalars[scalars.index(scalars.startIndex, offsetBy: place)]))
        default: break
        }
        if case .string(let name) = index { return try attribute(name, of: value) }
        return .undefined("'\(value.typeName)' has no item \(try representation(of: index).prefix(80))")
    }

    /// The place of a Python index, which counts from the end when negative.
    private func place(of index: Int, count: Int) -> Int? {
        let place = index < 0 ? index + count : index
        return (0..<count).contains(place) ? place : nil
    }

    private func evaluateSlice(
        of value: RuntimeValue, _ start: TemplateExpression?, _ end: TemplateExpression?, _ stride: TemplateExpression?, at place: SourcePosition,
        in scope: TemplateScope
    ) throws -> RuntimeValue {
        let bounds = try [start, end, stride].map { part in try part.map { try evaluate($0, in: scope) } }
        position = place
        let numbers = try bounds.map { bound -> Int? in
            guard let bound, !bound.isNone else { return nil }
            guard let number = integer(bound) else { throw failure("a slice takes integers, not '\(bound.typeName)'") }
            return number
        }
        switch value {
        case .undefined(let reason): throw failure(reason, remedy: "Check that the value exists before using it.")
        case .list(let list):
            try charge(list.elements.count, times: 16)
            return try makeList(slice(list.elements, numbers), kind: list.kind)
        case .string(let text):
            try charge(text.utf8.count, times: 4)
            var view = String.UnicodeScalarView()
            view.append(contentsOf: try slice(Array(text.unicodeScalars), numbers))
            return .string(String(view))
        default: throw failure("a value of type '\(value.typeName)' cannot be sliced")
        }
    }

    /// Python's slice of `elements` by [start, end, stride].
    private func slice<Element>(_ elements: [Element], _ bounds: [Int?]) throws -> [Element] {
        let count = elements.count
        let stride = bounds[2] ?? 1
        guard stride != 0 else { throw failure("a slice's step cannot be zero") }
        func clamped(_ bound: Int, _ low: Int, _ high: Int) -> Int { min(max(bound < 0 ? bound + count : bound, low), high) }
        if stride > 0 {
            let start = bounds[0].map { clamped($0, 0, count) } ?? 0
            let end = bounds[1].map { clamped($0, 0, count) } ?? count
            if start >= end { return [] }
            return stride == 1 ? Array(elements[start..<end]) : Swift.stride(from: start, to: end, by: min(stride, count)).map { elements[$0] }
        }
        let start = bounds[0].map { clamped($0, -1, count - 1) } ?? count - 1
        let end = bounds[1].map { clamped($0, -1, count - 1) } ?? -1
        return Swift.stride(from: start, to: end, by: max(stride, -max(count, 1))).map { elements[$0] }
    }
}
