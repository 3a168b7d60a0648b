// The syntax tree of a chat template. Immutable and Sendable: one parsed template renders on many threads at once.
//
// Chains (`a + b + c`, `x.y|f(1).z`, `elif` ladders) are flat arrays, not left-leaning trees: a long chain then costs no stack, neither to
// evaluate nor to free, and only brackets and blocks nest. The parser bounds that nesting.

/// An expression and where it starts.
struct TemplateExpression: Sendable {
    let kind: Kind
    let position: SourcePosition

    indirect enum Kind: Sendable {
        case none
        case bool(Bool)
        case integer(Int)
        case float(Double)
        case string(String)
        case name(String)
        case tuple([TemplateExpression])
        case list([TemplateExpression])
        case dictionary([(key: TemplateExpression, value: TemplateExpression)])
        /// `then if condition else otherwise`; without `else` the value is undefined.
        case conditional(condition: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
        case not(TemplateExpression)
        case negated(TemplateExpression)
        case plus(TemplateExpression)
        case all([TemplateExpression])
        case any([TemplateExpression])
        case comparison(TemplateExpression, [(operation: Comparison, operand: TemplateExpression)])
        case arithmetic(TemplateExpression, [(operation: Arithmetic, operand: TemplateExpression, position: SourcePosition)])
        case concatenation([TemplateExpression])
        case postfix(TemplateExpression, [Step])
    }

    enum Comparison: Sendable {
        case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, contained, notContained
    }

    enum Arithmetic: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case modulo = "%"
        case power = "**"
    }

    /// One thing applied to the value on its left.
    struct Step: Sendable {
        let kind: Kind
        let position: SourcePosition

        enum Kind: Sendable {
            case attribute(String)
            case subscripted(TemplateExpression)
            case slice(start: TemplateExpression?, end: TemplateExpression?, stride: TemplateExpression?)
            case call(Arguments)
            case filter(String, Arguments)
            case test(String, Arguments, negated: Bool)
        }
    }

    /// The arguments of a call as written.
    struct Arguments: Sendable {
        var positional: [TemplateExpression] = []
        var named: [(name: String, value: TemplateExpression)] = []
        /// `*list` and `**mapping`.
        var unpackedList: TemplateExpression?
        var unpackedMapping: TemplateExpression?
    }
}

/// A statement and where its tag starts.
struct TemplateStatement: Sendable {
    let kind: Kind
    let position: SourcePosition

    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateExpression)
        case branches([(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(Loop)
        case breakLoop
        case continueLoop
        case assign(Target, TemplateExpression)
        /// `{% set name %}…{% endset %}`, with the filters the text goes through.
        case assignBlock(Target, filters: [TemplateExpression.Step], body: [TemplateStatement])
        case macro(Macro)
        /// `{% call(parameters) callee(…) %}…{% endcall %}`: the body becomes the argument `caller`.
        case call(callee: TemplateExpression, arguments: TemplateExpression.Arguments, caller: Macro)
        case filterBlock(filters: [TemplateExpression.Step], body: [TemplateStatement])
        case with([(target: Target, value: TemplateExpression)], body: [TemplateStatement])
        /// A body with its own scope and no other effect: `{% generation %}`, which marks text for training masks.
        case scoped([TemplateStatement])
    }

    struct Loop: Sendable {
        let target: Target
        let iterable: TemplateExpression
        let condition: TemplateExpression?
        let body: [TemplateStatement]
        let otherwise: [TemplateStatement]
        let isRecursive: Bool
    }

    /// A macro, or the anonymous one of a `call` block. Which implicit variables it may receive follows from which it mentions.
    struct Macro: Sendable {
        let name: String
        let parameters: [(name: String, fallback: TemplateExpression?)]
        let body: [TemplateStatement]
        let mentions: Set<String>
    }

    /// What an assignment or a loop writes to.
    indirect enum Target: Sendable {
        case name(String)
        case attribute(of: String, name: String, position: SourcePosition)
        case tuple([Target])
    }
}
