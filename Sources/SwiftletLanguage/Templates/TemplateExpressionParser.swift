// Expressions of a chat template, by precedence climbing: one Swift frame for each level that really nests.
//
// Loosest to tightest, as in Jinja 3.1: `x if c else y`, `or`, `and`, `not`, comparisons and `in`, `+ -`, `~`, `* / // %`, `**`, unary sign,
// then what follows a value: `.name`, `[…]`, `(…)`, and after those `|filter` and `is test`.

extension TemplateParser {
    private enum Level: Int {
        case or = 1
        case and, not, comparison, sum, concatenation, product, power
    }

    /// One expression, `x if c else y` included.
    mutating func parseExpression() throws -> TemplateExpression {
        try nested { parser in
            var expression = try parser.parseOperators(from: .or)
            var conditions = 0
            while parser.skipName("if") {
                // Each further `if` puts the expression so far one level deeper.
                conditions += 1
                guard conditions <= Self.maximumNesting else { throw parser.failure("too many conditions", remedy: "Simplify the template.") }
                let condition = try parser.parseOperators(from: .or)
                let otherwise = parser.skipName("else") ? try parser.parseExpression() : nil
                expression = TemplateExpression(
                    kind: .conditional(condition: condition, then: expression, otherwise: otherwise), position: expression.position)
            }
            return expression
        }
    }

    /// An expression, or several separated by commas, which make a tuple. `endsAt` is a word that ends the tuple after a comma.
    mutating func parseTuple(withConditional: Bool = true, endsAt word: String? = nil) throws -> TemplateExpression {
        let position = current.position
        var elements: [TemplateExpression] = []
        var isTuple = false
        while true {
            if isTuple, endsTuple || (word.map { isName($0) } ?? false) { break }
            elements.append(withConditional ? try parseExpression() : try nested { try $0.parseOperators(from: .or) })
            guard skipSymbol(",") else { break }
            isTuple = true
        }
        if !isTuple, let only = elements.first { return only }
        return TemplateExpression(kind: .tuple(elements), position: position)
    }

    private var endsTuple: Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .symbol(")"), .end: true
        default: false
        }
    }

    // MARK: Operators

    private var binaryLevel: Level? {
        switch current.kind {
        case .name("or"): .or
        case .name("and"): .and
        case .name("in"): .comparison
        case .name("not"): following.kind == .name("in") ? .comparison : nil
        case .symbol(let symbol):
            switch symbol {
            case "==", "!=", "<", "<=", ">", ">=": .comparison
            case "+", "-": .sum
            case "~": .concatenation
            case "*", "/", "//", "%": .product
            case "**": .power
            default: nil
            }
        default: nil
        }
    }

    /// Operators of `lowest` and every tighter level.
    private mutating func parseOperators(from lowest: Level) throws -> TemplateExpression {
        let position = current.position
        var left: TemplateExpression
        if lowest.rawValue <= Level.not.rawValue, skipName("not") {
            left = TemplateExpression(kind: .not(try nested { try $0.parseOperators(from: .not) }), position: position)
        } else {
            left = try parseSigned(withFilters: true)
        }
        // Operands take everything tighter than their operator, so what follows here is only ever looser than the last chain.
        while let level = binaryLevel, level.rawValue >= lowest.rawValue {
            left = TemplateExpression(kind: try parseChain(after: left, at: level), position: position)
        }
        return left
    }

    /// All operators of one level, and their operands, after the first operand.
    private mutating func parseChain(after first: TemplateExpression, at level: Level) throws -> TemplateExpression.Kind {
        guard let tighter = Level(rawValue: level.rawValue + 1) else {
            return .arithmetic(first, try parseArithmeticOperands(at: level) { try $0.parseSigned(withFilters: true) })
        }
        switch level {
        case .or, .and, .concatenation:
            var operands = [first]
            while binaryLevel == level {
                advance()
                operands.append(try nested { try $0.parseOperators(from: tighter) })
            }
            return level == .or ? .any(operands) : level == .and ? .all(operands) : .concatenation(operands)
        case .comparison:
            var operands: [(operation: TemplateExpression.Comparison, operand: TemplateExpression)] = []
            while binaryLevel == .comparison {
                let operation = parseComparison()
                operands.append((operation, try nested { try $0.parseOperators(from: tighter) }))
            }
            return .comparison(first, operands)
        case .sum, .product, .not, .power:
            return .arithmetic(first, try parseArithmeticOperands(at: level) { parser in try parser.nested { try $0.parseOperators(from: tighter) } })
        }
    }

    private mutating func parseComparison() -> TemplateExpression.Comparison {
        defer { advance() }
        switch current.kind {
        case .symbol("=="): return .equal
        case .symbol("!="): return .notEqual
        case .symbol("<"): return .less
        case .symbol("<="): return .lessOrEqual
        case .symbol(">"): return .greater
        case .symbol(">="): return .greaterOrEqual
        case .name("not"):
            advance()
            return .notContained
        default: return .contained
        }
    }

    private mutating func parseArithmeticOperands(
        at level: Level, operand: (inout Self) throws -> TemplateExpression
    ) throws -> [(operation: TemplateExpression.Arithmetic, operand: TemplateExpression, position: SourcePosition)] {
        var operands: [(operation: TemplateExpression.Arithmetic, operand: TemplateExpression, position: SourcePosition)] = []
        while binaryLevel == level, case .symbol(let symbol) = current.kind, let operation = TemplateExpression.Arithmetic(rawValue: symbol) {
            let position = current.position
            advance()
            operands.append((operation, try operand(&self), position))
        }
        return operands
    }

    // MARK: Values

    /// A value with its signs, and what follows it. A sign binds tighter than a filter: `-1|abs` is 1.
    private mutating func parseSigned(withFilters: Bool) throws -> TemplateExpression {
        let position = current.position
        var steps: [TemplateExpression.Step] = []
        var value: TemplateExpression
        if isSymbol("-") || isSymbol("+") {
            let isNegative = isSymbol("-")
            advance()
            let operand = try nested { try $0.parseSigned(withFilters: false) }
            value = TemplateExpression(kind: isNegative ? .negated(operand) : .plus(operand), position: position)
        } else {
            value = try parsePrimary()
            try parsePostfix(into: &steps)
        }
        if withFilters { try parseFiltersAndTests(into: &steps) }
        if !steps.isEmpty { value = TemplateExpression(kind: .postfix(value, steps), position: position) }
        return value
    }

    private mutating func parsePrimary() throws -> TemplateExpression {
        let token = current
        advance()
        let kind: TemplateExpression.Kind
        switch token.kind {
        case .name("true"), .name("True"): kind = .bool(true)
        case .name("false"), .name("False"): kind = .bool(false)
        case .name("none"), .name("None"): kind = .none
        case .name(let name):
            guard !["and", "or", "not", "if", "else", "in", "is"].contains(name) else {
                throw failure("expected a value but found '\(name)'", at: token.position)
            }
            mention(name)
            kind = .name(name)
        case .string(var text):
            while case .string(let more) = current.kind {
                text += more
                advance()
            }
            kind = .string(text)
        case .integer(let value): kind = .integer(value)
        case .float(let value): kind = .float(value)
        case .symbol("("):
            if skipSymbol(")") {
                kind = .tuple([])
            } else {
                let inner = try parseTuple()
                try expectSymbol(")")
                // Kept as it is: brackets only group.
                return inner
            }
        case .symbol("["):
            var elements: [TemplateExpression] = []
            while !isSymbol("]") {
                if !elements.isEmpty { try expectSymbol(",") }
                if isSymbol("]") { break }
                elements.append(try parseExpression())
            }
            try expectSymbol("]")
            kind = .list(elements)
        case .symbol("{"): kind = .dictionary(try parseDictionaryEntries())
        default: throw failure("expected a value but found \(token.description)", at: token.position)
        }
        return TemplateExpression(kind: kind, position: token.position)
    }

    private mutating func parseDictionaryEntries() throws -> [(key: TemplateExpression, value: TemplateExpression)] {
        var entries: [(key: TemplateExpression, value: TemplateExpression)] = []
        while !isSymbol("}") {
            if !entries.isEmpty { try expectSymbol(",") }
            if isSymbol("}") { break }
            let key = try parseExpression()
            try expectSymbol(":")
            entries.append((key, try parseExpression()))
        }
        try expectSymbol("}")
        return entries
    }

    // MARK: What follows a value

    private mutating func parsePostfix(into steps: inout [TemplateExpression.Step]) throws {
        while true {
            let position = current.position
            let kind: TemplateExpression.Step.Kind
            if skipSymbol(".") {
                if case .integer(let number) = current.kind {
                    advance()
                    kind = .subscripted(TemplateExpression(kind: .integer(number), position: position))
                } else {
                    kind = .attribute(try expectName())
                }
            } else if skipSymbol("[") {
                kind = try parseSubscript(at: position)
                try expectSymbol("]")
            } else if isSymbol("(") {
                kind = .call(try parseArguments())
            } else {
                return
            }
            steps.append(TemplateExpression.Step(kind: kind, position: position))
        }
    }

    private mutating func parseSubscript(at position: SourcePosition) throws -> TemplateExpression.Step.Kind {
        var parts: [TemplateExpression?] = [nil]
        while true {
            if skipSymbol(":") {
                parts.append(nil)
                guard parts.count <= 3 else { throw failure("a slice has at most three parts") }
            } else if isSymbol("]") {
                break
            } else {
                guard parts[parts.count - 1] == nil else { throw failure("expected ']' but found \(current.description)") }
                parts[parts.count - 1] = try parseExpression()
            }
        }
        if parts.count > 1 { return .slice(start: parts[0], end: parts[1], stride: parts.count == 3 ? parts[2] : nil) }
        guard let only = parts[0] else { throw failure("expected an index but found ']'") }
        return .subscripted(only)
    }

    mutating func parseArguments() throws -> TemplateExpression.Arguments {
        try expectSymbol("(")
        var arguments = TemplateExpression.Arguments()
        var isFirst = true
        while !isSymbol(")") {
            if !isFirst { try expectSymbol(",") }
            isFirst = false
            if isSymbol(")") { break }
            if skipSymbol("**") {
                guard arguments.unpackedMapping == nil else { throw failure("a second '**' argument") }
                arguments.unpackedMapping = try parseExpression()
            } else if skipSymbol("*") {
                guard arguments.unpackedList == nil, arguments.unpackedMapping == nil else { throw failure("'*' argument in the wrong place") }
                arguments.unpackedList = try parseExpression()
            } else if case .name(let name) = current.kind, following.kind == .symbol("=") {
                advance()
                advance()
                arguments.named.append((name, try parseExpression()))
            } else {
                guard arguments.named.isEmpty, arguments.unpackedList == nil, arguments.unpackedMapping == nil else {
                    throw failure("an argument without a name follows one with a name")
                }
                arguments.positional.append(try parseExpression())
            }
        }
        try expectSymbol(")")
        return arguments
    }

    /// A filter's name and arguments, after its bar.
    mutating func parseFilter() throws -> TemplateExpression.Step {
        let position = current.position
        let name = try expectName()
        let arguments = isSymbol("(") ? try parseArguments() : TemplateExpression.Arguments()
        return TemplateExpression.Step(kind: .filter(name, arguments), position: position)
    }

    private mutating func parseFiltersAndTests(into steps: inout [TemplateExpression.Step]) throws {
        while true {
            let position = current.position
            if skipSymbol("|") {
                steps.append(try parseFilter())
            } else if skipName("is") {
                steps.append(try parseTest(at: position))
            } else if isSymbol("(") {
                steps.append(TemplateExpression.Step(kind: .call(try parseArguments()), position: position))
            } else {
                return
            }
        }
    }

    private mutating func parseTest(at position: SourcePosition) throws -> TemplateExpression.Step {
        let negated = skipName("not")
        let name = try expectName()
        var arguments = TemplateExpression.Arguments()
        if isSymbol("(") {
            arguments = try parseArguments()
        } else if startsBareArgument {
            // One argument may follow without brackets: `x is divisibleby 3`.
            var steps: [TemplateExpression.Step] = []
            let start = current.position
            let value = try nested { try $0.parsePrimary() }
            try parsePostfix(into: &steps)
            arguments.positional = [steps.isEmpty ? value : TemplateExpression(kind: .postfix(value, steps), position: start)]
        }
        return TemplateExpression.Step(kind: .test(name, arguments, negated: negated), position: position)
    }

    private var startsBareArgument: Bool {
        switch current.kind {
        case .name(let name): !["else", "or", "and", "is", "if", "in", "not"].contains(name)
        case .string, .integer, .float, .symbol("["), .symbol("{"): true
        default: false
        }
    }
}
