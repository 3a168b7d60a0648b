// Runs the statements of a template. One evaluator renders once, on one thread.
//
// A template is a program somebody else wrote, so everything it does is paid from one budget, in units of about a byte touched or produced:
// a node costs 16, an object 256, text its length. The budget bounds time and memory together; nesting bounds the stack. Both end in an error.

import Foundation
import SwiftletTensor

final class TemplateEvaluator {
    /// How deeply expressions, blocks and macro calls may nest while rendering. Chosen so that the deepest render fits a thread of 512 KiB.
    static let maximumNesting = 300

    let name: String
    let clock: (now: Date, timeZone: TimeZone)
    private let workLimit: Int
    private(set) var work = 0
    private var nesting = 0
    private var kept: [TemplateObject] = []

    /// Where the template is: errors carry it.
    var position = SourcePosition()
    private(set) var output = ""

    init(name: String, workLimit: Int, clock: (now: Date, timeZone: TimeZone)) {
        self.name = name
        self.workLimit = workLimit
        self.clock = clock
    }

    /// Renders `statements` with the names in `context`.
    func render(_ statements: [TemplateStatement], context: TemplateDictionary) throws -> String {
        defer {
            for object in kept { object.drop() }
            kept = []
        }
        let globals = TemplateScope(parent: nil)
        keep(globals)
        for global in TemplateGlobal.allCases { globals.variables[global.rawValue] = .callable(.global(global)) }
        let root = TemplateScope(parent: globals)
        keep(root)
        for (key, value) in context.entries { root.variables[key] = try runtimeValue(value) }
        _ = try run(statements, in: root)
        return output
    }

    private func runtimeValue(_ value: TemplateValue) throws -> RuntimeValue {
        try nested {
            switch value {
            case .undefined: return .undefined("a value of the context is undefined")
            case .none: return .none
            case .bool(let value): return .bool(value)
            case .int(let value): return .int(value)
            case .double(let value): return .double(value)
            case .string(let value): return .string(value)
            case .list(let elements): return try makeList(elements.map { try runtimeValue($0) })
            case .dictionary(let dictionary):
                let object = try makeDictionary()
                for (key, value) in dictionary.entries { object.set(key, to: try runtimeValue(value)) }
                return .dictionary(object)
            }
        }
    }

    // MARK: Limits and errors

    func failure(_ reason: String, remedy: String = "Correct the template or the data it is given.") -> SwiftletError {
        .syntax(source: name, line: position.line, column: position.column, reason: reason, remedy: remedy)
    }

    /// Pays for work before it is done.
    func charge(_ units: Int) throws {
        let (total, overflow) = work.addingReportingOverflow(max(units, 0))
        guard !overflow, total <= workLimit else {
            throw failure("the template does more work than its limit of \(workLimit) units", remedy: "Shorten the conversation or raise the limit.")
        }
        work = total
    }

    /// Pays for `count` pieces of `size` units each.
    func charge(_ count: Int, times size: Int) throws {
        let (units, overflow) = max(count, 0).multipliedReportingOverflow(by: max(size, 0))
        try charge(overflow ? Int.max : units)
    }

    func nested<Result>(_ body: () throws -> Result) throws -> Result {
        guard nesting < Self.maximumNesting else {
            throw failure("nesting deeper than \(Self.maximumNesting)", remedy: "Look for a macro or a value that contains itself.")
        }
        nesting += 1
        defer { nesting -= 1 }
        return try body()
    }

    /// Keeps `object` until the render ends.
    func keep(_ object: TemplateObject) { kept.append(object) }

    /// Keeps `scope` and all around it, because something that outlives its block refers to it.
    func keepScopes(from scope: TemplateScope) {
        var next: TemplateScope? = scope
        while let here = next, !here.isKept {
            here.isKept = true
            keep(here)
            next = here.parent
        }
    }

    func makeList(_ elements: [RuntimeValue], kind: ListObject.Kind = .list) throws -> RuntimeValue {
        try charge(256)
        try charge(elements.count, times: 16)
        let list = ListObject(elements, kind: kind)
        keep(list)
        return .list(list)
    }

    func makeDictionary() throws -> DictionaryObject {
        try charge(256)
        let dictionary = DictionaryObject()
        keep(dictionary)
        return dictionary
    }

    /// A string the template produced, paid for by its length.
    func makeString(_ text: String) throws -> RuntimeValue {
        try charge(text.utf8.count)
        return .string(text)
    }

    // MARK: Statements

    enum Flow {
        case onward, leaveLoop, nextTurn
    }

    func write(_ text: String) throws {
        try charge(text.utf8.count)
        output += text
    }

    /// What `body` writes, as text.
    func capture(_ body: () throws -> Void) throws -> String {
        let outside = output
        output = ""
        defer { output = outside }
        try body()
        return output
    }

    func run(_ body: [TemplateStatement], in scope: TemplateScope) throws -> Flow {
        try nested {
            for statement in body {
                let flow = try run(statement, in: scope)
                if flow != .onward { return flow }
            }
            return .onward
        }
    }

    private func run(_ statement: TemplateStatement, in scope: TemplateScope) throws -> Flow {
        try charge(16)
        position = statement.position
        switch statement.kind {
        case .text(let text): try write(text)
        case .output(let expression): try write(text(of: evaluate(expression, in: scope)))
        case .branches(let branches, let otherwise): return try runBranches(branches, otherwise: otherwise, in: scope)
        case .loop(let loop): return try run(loop, over: evaluate(loop.iterable, in: scope), in: scope, depth: 0)
        case .breakLoop: return .leaveLoop
        case .continueLoop: return .nextTurn
        case .assign(let target, let expression): try assign(evaluate(expression, in: scope), to: target, in: scope)
        case .assignBlock(let target, let filters, let body): try runAssignBlock(target, filters: filters, body: body, in: scope)
        case .macro(let definition): scope.variables[definition.name] = try makeMacro(definition, in: scope)
        case .call(let callee, let arguments, let caller): try runCall(callee, arguments, caller: caller, in: scope)
        case .filterBlock(let filters, let body): try write(filtered(body, by: filters, in: scope))
        case .with(let assignments, let body): return try runWith(assignments, body: body, in: scope)
        case .scoped(let body): return try run(body, in: innerScope(of: scope))
        }
        return .onward
    }

    private func innerScope(of scope: TemplateScope) throws -> TemplateScope {
        try charge(64)
        return TemplateScope(parent: scope)
    }

    private func runBranches(
        _ branches: [(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement], in scope: TemplateScope
    ) throws -> Flow {
        for (condition, body) in branches where try isTrue(evaluate(condition, in: scope)) { return try run(body, in: scope) }
        return try run(otherwise, in: scope)
    }

    /// Runs a loop over `iterable`. `depth` counts the recursive calls around it.
    func run(_ loop: TemplateStatement.Loop, over iterable: RuntimeValue, in scope: TemplateScope, depth: Int) throws -> Flow {
        var items = try elements(of: iterable)
        if let condition = loop.condition {
            items = try items.filter { item in
                let turn = try innerScope(of: scope)
                try assign(item, to: loop.target, in: turn)
                return try isTrue(evaluate(condition, in: turn))
            }
        }
        guard !items.isEmpty else {
            return try run(loop.otherwise, in: innerScope(of: scope))
        }
        try charge(256)
        if loop.isRecursive { keepScopes(from: scope) }
        let state = LoopObject(items: items, depth: depth, recursion: loop.isRecursive ? (loop, scope) : nil)
        keep(state)
        for index in items.indices {
            state.index = index
            let turn = try innerScope(of: scope)
            turn.variables["loop"] = .loop(state)
            try assign(items[index], to: loop.target, in: turn)
            if try nested({ try run(loop.body, in: turn) }) == .leaveLoop { break }
        }
        return .onward
    }

    private func assign(_ value: RuntimeValue, to target: TemplateStatement.Target, in scope: TemplateScope) throws {
        switch target {
        case .name(let name): scope.variables[name] = value
        case .attribute(let owner, let name, let place):
            guard case .namespace(let namespace) = scope.value(owner) else {
                position = place
                throw failure("cannot assign an attribute of '\(owner)', which is not a namespace", remedy: "Make it with namespace().")
            }
            namespace.attributes[ExactText(name)] = value
        case .tuple(let targets):
            let values = try elements(of: value)
            guard values.count == targets.count else {
                throw failure("cannot unpack \(values.count) values into \(targets.count) names")
            }
            for (target, value) in zip(targets, values) { try nested { try assign(value, to: target, in: scope) } }
        }
    }

    private func runAssignBlock(
        _ target: TemplateStatement.Target, filters: [TemplateExpression.Step], body: [TemplateStatement], in scope: TemplateScope
    ) throws {
        try assign(filteredValue(body, by: filters, in: scope), to: target, in: scope)
    }

    private func filteredValue(_ body: [TemplateStatement], by filters: [TemplateExpression.Step], in scope: TemplateScope) throws -> RuntimeValue {
        let inner = try innerScope(of: scope)
        let text = try capture { _ = try run(body, in: inner) }
        return try apply(filters, to: .string(text), in: inner)
    }

    private func filtered(_ body: [TemplateStatement], by filters: [TemplateExpression.Step], in scope: TemplateScope) throws -> String {
        try text(of: filteredValue(body, by: filters, in: scope))
    }

    private func runWith(
        _ assignments: [(target: TemplateStatement.Target, value: TemplateExpression)], body: [TemplateStatement], in scope: TemplateScope
    ) throws -> Flow {
        let inner = try innerScope(of: scope)
        // The values see the names outside, not each other.
        for (target, value) in assignments { try assign(evaluate(value, in: scope), to: target, in: inner) }
        return try run(body, in: inner)
    }

    // MARK: Macros

    private func makeMacro(_ definition: TemplateStatement.Macro, in scope: TemplateScope) throws -> RuntimeValue {
        try charge(256)
        keepScopes(from: scope)
        let macro = MacroObject(definition, scope: scope)
        keep(macro)
        return .callable(.macro(macro))
    }

    private func runCall(
        _ callee: TemplateExpression, _ arguments: TemplateExpression.Arguments, caller: TemplateStatement.Macro, in scope: TemplateScope
    ) throws {
        let function = try evaluate(callee, in: scope)
        var values = try evaluate(arguments, in: scope)
        values.named.append(("caller", try makeMacro(caller, in: scope)))
        position = callee.position
        try write(text(of: call(function, values)))
    }

    func call(_ macro: MacroObject, _ arguments: CallArguments) throws -> RuntimeValue {
        let definition = macro.definition
        guard let outside = macro.scope else { throw failure("macro '\(definition.name)' is called outside its render") }
        let scope = try innerScope(of: outside)
        let parameters = definition.parameters
        for (parameter, value) in zip(parameters, arguments.positional) { scope.variables[parameter.name] = value }
        let extra = Array(arguments.positional.dropFirst(parameters.count))
        if definition.mentions.contains("varargs") {
            scope.variables["varargs"] = try makeList(extra, kind: .tuple)
        } else if !extra.isEmpty {
            throw failure("macro '\(definition.name)' takes at most \(parameters.count) arguments and was given \(arguments.positional.count)")
        }
        try bindNamed(arguments, of: definition, in: scope)
        for parameter in parameters where scope.variables[parameter.name] == nil {
            if let fallback = parameter.fallback {
                scope.variables[parameter.name] = try evaluate(fallback, in: scope)
            } else {
                scope.variables[parameter.name] = .undefined("parameter '\(parameter.name)' was not provided")
            }
        }
        return .string(try capture { _ = try run(definition.body, in: scope) })
    }

    private func bindNamed(_ arguments: CallArguments, of definition: TemplateStatement.Macro, in scope: TemplateScope) throws {
        let rest = definition.mentions.contains("kwargs") ? try makeDictionary() : nil
        if let rest { scope.variables["kwargs"] = .dictionary(rest) }
        if definition.mentions.contains("caller") { scope.variables["caller"] = .undefined("no caller is defined: the macro was not called by a call block") }
        for (name, value) in arguments.named {
            if let place = definition.parameters.firstIndex(where: { $0.name == name }) {
                guard place >= arguments.positional.count else { throw failure("macro '\(definition.name)' got two values for '\(name)'") }
                scope.variables[name] = value
            } else if name == "caller", definition.mentions.contains("caller") {
                scope.variables["caller"] = value
            } else if let rest {
                rest.set(name, to: value)
            } else {
                throw failure("macro '\(definition.name)' has no parameter '\(name.prefix(40))'")
            }
        }
    }
}
