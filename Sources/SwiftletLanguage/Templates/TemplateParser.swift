// Statements of a chat template: blocks, loops, assignments, macros. Recursive descent over the tokens of `TemplateLexer`.
// Source: the statement list of the Jinja 3.1 template documentation, plus `break`, `continue` and `generation`, which Hugging Face adds.
// Tags that load other templates (`include`, `extends`, `import`, `block`) have nothing to load here and are refused by name.

import SwiftletTensor

struct TemplateParser {
    /// How deeply brackets, operators and blocks may nest. Real chat templates stay below 30; the limit protects the stack.
    static let maximumNesting = 150

    let name: String
    private let tokens: [TemplateToken]
    private var index = 0
    private var nesting = 0
    private var loopNesting = 0
    /// Names read inside each macro being parsed, innermost last.
    private var mentions: [Set<String>] = []

    init(source: String, name: String) throws {
        var lexer = TemplateLexer(source: source, name: name)
        tokens = try lexer.tokenize()
        self.name = name
    }

    /// The statements of the whole template.
    mutating func parseTemplate() throws -> [TemplateStatement] {
        try parseBody(until: [], openedBy: nil)
    }

    // MARK: Tokens

    var current: TemplateToken { tokens[min(index, tokens.count - 1)] }
    var following: TemplateToken { tokens[min(index + 1, tokens.count - 1)] }

    mutating func advance() { index += 1 }

    func failure(_ reason: String, at position: SourcePosition? = nil, remedy: String = "Correct the template.") -> SwiftletError {
        let place = position ?? current.position
        return .syntax(source: name, line: place.line, column: place.column, reason: reason, remedy: remedy)
    }

    func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }
    func isName(_ name: String) -> Bool { current.kind == .name(name) }

    mutating func skipSymbol(_ symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func skipName(_ name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func expectSymbol(_ symbol: String) throws {
        guard skipSymbol(symbol) else { throw failure("expected '\(symbol)' but found \(current.description)") }
    }

    mutating func expectName() throws -> String {
        guard case .name(let name) = current.kind else { throw failure("expected a name but found \(current.description)") }
        advance()
        return name
    }

    mutating func expect(_ kind: TemplateToken.Kind, _ description: String) throws {
        guard current.kind == kind else { throw failure("expected \(description) but found \(current.description)") }
        advance()
    }

    mutating func nested<Result>(_ parse: (inout Self) throws -> Result) throws -> Result {
        guard nesting < Self.maximumNesting else { throw failure("nesting deeper than \(Self.maximumNesting)", remedy: "Simplify the template.") }
        nesting += 1
        defer { nesting -= 1 }
        return try parse(&self)
    }

    mutating func mention(_ name: String) {
        if !mentions.isEmpty { mentions[mentions.count - 1].insert(name) }
    }

    // MARK: Statements

    /// Statements up to a tag named in `ends`, whose name is then the current token; with no `ends`, up to the end of the template.
    private mutating func parseBody(until ends: Set<String>, openedBy opening: TemplateToken?) throws -> [TemplateStatement] {
        var body: [TemplateStatement] = []
        while true {
            let token = current
            switch token.kind {
            case .text(let text):
                advance()
                body.append(TemplateStatement(kind: .text(text), position: token.position))
            case .variableBegin:
                advance()
                let expression = try parseTuple()
                try expect(.variableEnd, "'}}'")
                body.append(TemplateStatement(kind: .output(expression), position: token.position))
            case .blockBegin:
                advance()
                if case .name(let tag) = current.kind, ends.contains(tag) { return body }
                let statement = try nested { try $0.parseStatement(at: token.position) }
                try expect(.blockEnd, "'%}'")
                body.append(statement)
            case .end:
                guard let opening else { return body }
                throw failure("\(opening.description) is never closed", at: opening.position, remedy: "Add the closing tag.")
            default: throw failure("unexpected \(token.description)")
            }
        }
    }

    /// The body of a tag opened by `opening`: from the end of its tag to the matching end tag, which is consumed up to its own `%}`.
    private mutating func parseBlock(closedBy end: String, openedBy opening: TemplateToken) throws -> [TemplateStatement] {
        try expect(.blockEnd, "'%}'")
        let body = try parseBody(until: [end], openedBy: opening)
        advance()
        return body
    }

    private mutating func parseStatement(at position: SourcePosition) throws -> TemplateStatement {
        let tag = current
        let name = try expectName()
        let kind: TemplateStatement.Kind
        switch name {
        case "if": kind = try parseIf(tag)
        case "for": kind = try parseFor(tag)
        case "set": kind = try parseSet(tag)
        case "macro": kind = .macro(try parseMacro(tag))
        case "call": kind = try parseCall(tag)
        case "with": kind = try parseWith(tag)
        case "generation": kind = .scoped(try parseBlock(closedBy: "endgeneration", openedBy: tag))
        case "filter":
            let filters = try parseFilterChain()
            kind = .filterBlock(filters: filters, body: try parseBlock(closedBy: "endfilter", openedBy: tag))
        case "break", "continue":
            guard loopNesting > 0 else { throw failure("'\(name)' outside a loop", at: tag.position) }
            kind = name == "break" ? .breakLoop : .continueLoop
        case "include", "import", "from", "extends", "block":
            throw SwiftletError.unsupported(
                file: self.name, place: "line \(position.line), tag '\(name)'", reason: "a chat template stands alone and loads no other template",
                remedy: "Put the text of the other template in this one.")
        default: throw failure("unknown tag '\(name.prefix(40))'", at: tag.position)
        }
        return TemplateStatement(kind: kind, position: position)
    }

    private mutating func parseIf(_ tag: TemplateToken) throws -> TemplateStatement.Kind {
        var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
        while true {
            let condition = try parseTuple(withConditional: false)
            try expect(.blockEnd, "'%}'")
            let body = try parseBody(until: ["elif", "else", "endif"], openedBy: tag)
            branches.append((condition, body))
            switch try expectName() {
            case "elif": continue
            case "else": return .branches(branches, otherwise: try parseBlock(closedBy: "endif", openedBy: tag))
            default: return .branches(branches, otherwise: [])
            }
        }
    }

    private mutating func parseFor(_ tag: TemplateToken) throws -> TemplateStatement.Kind {
        let target = try parseTarget(allowsAttribute: false)
        guard skipName("in") else { throw failure("expected 'in' but found \(current.description)") }
        let iterable = try parseTuple(withConditional: false, endsAt: "recursive")
        let condition = skipName("if") ? try parseExpression() : nil
        let isRecursive = skipName("recursive")
        try expect(.blockEnd, "'%}'")
        loopNesting += 1
        let body = try parseBody(until: ["else", "endfor"], openedBy: tag)
        loopNesting -= 1
        var otherwise: [TemplateStatement] = []
        if try expectName() == "else" { otherwise = try parseBlock(closedBy: "endfor", openedBy: tag) }
        return .loop(
            TemplateStatement.Loop(
                target: target, iterable: iterable, condition: condition, body: body, otherwise: otherwise, isRecursive: isRecursive))
    }

    private mutating func parseSet(_ tag: TemplateToken) throws -> TemplateStatement.Kind {
        let target = try parseTarget(allowsAttribute: true)
        if skipSymbol("=") { return .assign(target, try parseTuple()) }
        let filters = isSymbol("|") ? try parseFilterSteps() : []
        return .assignBlock(target, filters: filters, body: try parseBlock(closedBy: "endset", openedBy: tag))
    }

    /// A name, `name.attribute`, or several of them separated by commas.
    private mutating func parseTarget(allowsAttribute: Bool) throws -> TemplateStatement.Target {
        var targets: [TemplateStatement.Target] = []
        var isTuple = false
        while true {
            if skipSymbol("(") {
                targets.append(try nested { try $0.parseTarget(allowsAttribute: allowsAttribute) })
                try expectSymbol(")")
            } else if case .name = current.kind, !isName("in") {
                let position = current.position
                let name = try expectName()
                guard !Self.reserved.contains(name) else { throw failure("'\(name)' cannot be assigned", at: position) }
                if allowsAttribute, skipSymbol(".") {
                    mention(name)
                    targets.append(.attribute(of: name, name: try expectName(), position: position))
                } else {
                    targets.append(.name(name))
                }
            } else {
                break
            }
            guard skipSymbol(",") else { break }
            isTuple = true
        }
        guard let first = targets.first else { throw failure("expected a name to assign but found \(current.description)") }
        return isTuple ? .tuple(targets) : first
    }

    private static let reserved: Set<String> = ["true", "false", "none", "True", "False", "None", "and", "or", "not", "if", "else", "in", "is"]

    private mutating func parseMacro(_ tag: TemplateToken) throws -> TemplateStatement.Macro {
        let name = try expectName()
        return try parseMacroBody(named: name, closedBy: "endmacro", openedBy: tag) { try $0.parseParameters() }
    }

    /// A macro's parameters (by `signature`) and body; collects the names it mentions.
    private mutating func parseMacroBody(
        named name: String, closedBy end: String, openedBy tag: TemplateToken,
        signature: (inout Self) throws -> [(name: String, fallback: TemplateExpression?)]
    ) throws -> TemplateStatement.Macro {
        let outerLoops = loopNesting
        loopNesting = 0
        mentions.append([])
        let parameters = try signature(&self)
        let body = try parseBlock(closedBy: end, openedBy: tag)
        loopNesting = outerLoops
        return TemplateStatement.Macro(name: name, parameters: parameters, body: body, mentions: mentions.popLast() ?? [])
    }

    private mutating func parseParameters() throws -> [(name: String, fallback: TemplateExpression?)] {
        try expectSymbol("(")
        var parameters: [(name: String, fallback: TemplateExpression?)] = []
        while !isSymbol(")") {
            if !parameters.isEmpty { try expectSymbol(",") }
            let position = current.position
            let name = try expectName()
            let fallback = skipSymbol("=") ? try parseExpression() : nil
            if fallback == nil, parameters.last?.fallback != nil {
                throw failure("parameter '\(name.prefix(40))' without a default follows one with a default", at: position)
            }
            guard !parameters.contains(where: { $0.name == name }) else {
                throw failure("parameter '\(name.prefix(40))' appears twice", at: position)
            }
            parameters.append((name, fallback))
        }
        try expectSymbol(")")
        return parameters
    }

    private mutating func parseCall(_ tag: TemplateToken) throws -> TemplateStatement.Kind {
        var callee: (TemplateExpression, TemplateExpression.Arguments)?
        let caller = try parseMacroBody(named: "caller", closedBy: "endcall", openedBy: tag) { parser in
            let parameters = parser.isSymbol("(") ? try parser.parseParameters() : []
            let position = parser.current.position
            let expression = try parser.parseExpression()
            guard case .postfix(let base, let steps) = expression.kind, case .call(let arguments) = steps.last?.kind else {
                throw parser.failure("a call block needs a call", at: position)
            }
            let rest = Array(steps.dropLast())
            callee = (rest.isEmpty ? base : TemplateExpression(kind: .postfix(base, rest), position: position), arguments)
            return parameters
        }
        guard let callee else { throw failure("a call block needs a call", at: tag.position) }
        return .call(callee: callee.0, arguments: callee.1, caller: caller)
    }

    private mutating func parseWith(_ tag: TemplateToken) throws -> TemplateStatement.Kind {
        var assignments: [(target: TemplateStatement.Target, value: TemplateExpression)] = []
        while current.kind != .blockEnd {
            if !assignments.isEmpty { try expectSymbol(",") }
            guard case .name = current.kind else { throw failure("expected a name but found \(current.description)") }
            let target = TemplateStatement.Target.name(try expectName())
            try expectSymbol("=")
            assignments.append((target, try parseExpression()))
        }
        return .with(assignments, body: try parseBlock(closedBy: "endwith", openedBy: tag))
    }

    /// The filters of a `filter` block: a name, then more after bars.
    private mutating func parseFilterChain() throws -> [TemplateExpression.Step] {
        let first = try parseFilter()
        return [first] + (isSymbol("|") ? try parseFilterSteps() : [])
    }

    private mutating func parseFilterSteps() throws -> [TemplateExpression.Step] {
        var steps: [TemplateExpression.Step] = []
        while skipSymbol("|") { steps.append(try parseFilter()) }
        return steps
    }
}
