// Symbolic dimensions: a size known only when the graph runs (tokens in a batch, context length) is a name; sizes derived from it
// are sums of multiples of names. Binding the names to numbers turns every shape of a graph into a concrete one.

/// The name of a size bound at run time, for example `tokens`.
public struct Symbol: Sendable, Hashable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let name: String

    public init(_ name: String) { self.name = name }
    public init(stringLiteral name: String) { self.init(name) }

    public static func < (left: Symbol, right: Symbol) -> Bool { left.name < right.name }
    public var description: String { name }
}

/// One dimension: `constant + Σ factor·symbol`, in elements.
public struct Dimension: Sendable, Hashable, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, CustomStringConvertible {
    public let constant: Int
    /// Factors by symbol, sorted by symbol, never zero: equal dimensions compare equal.
    public let terms: [Term]

    public struct Term: Sendable, Hashable {
        public let symbol: Symbol
        public let factor: Int
    }

    /// The two simple forms are built directly: loading a model makes and compares thousands of them.
    public init(_ constant: Int) {
        self.constant = constant
        terms = []
    }
    public init(integerLiteral value: Int) { self.init(value) }
    /// A symbol alone: `["tokens", 64]` is a shape.
    public init(stringLiteral name: String) { self.init(Symbol(name)) }
    public init(_ symbol: Symbol) {
        constant = 0
        terms = [Term(symbol: symbol, factor: 1)]
    }

    private init(constant: Int, factors: [Symbol: Int]) {
        self.constant = constant
        terms = factors.filter { $0.value != 0 }.sorted { $0.key < $1.key }.map { Term(symbol: $0.key, factor: $0.value) }
    }

    private var factors: [Symbol: Int] { Dictionary(uniqueKeysWithValues: terms.map { ($0.symbol, $0.factor) }) }

    /// The number when no symbol is involved.
    public var fixed: Int? { terms.isEmpty ? constant : nil }

    /// The sum. Like the product, it stops at the largest `Int` instead of trapping: no memory holds such a size, so resolving it or
    /// counting its elements is what fails, with an error.
    public static func + (left: Dimension, right: Dimension) -> Dimension {
        Dimension(
            constant: left.constant.clampedSum(right.constant), factors: left.factors.merging(right.factors) { $0.clampedSum($1) })
    }

    public static func * (left: Dimension, factor: Int) -> Dimension {
        Dimension(constant: left.constant.clampedProduct(factor), factors: left.factors.mapValues { $0.clampedProduct(factor) })
    }

    /// The product when at least one side is a number; nil for a product of symbols, which is no linear expression.
    public func multiplied(by other: Dimension) -> Dimension? {
        if let number = other.fixed { return self * number }
        if let number = fixed { return other * number }
        return nil
    }

    /// The value under `binding`. Throws when a symbol is unbound or the result is negative or too large.
    public func resolved(_ binding: Binding) throws -> Int {
        var total = constant
        for term in terms {
            guard let value = binding[term.symbol] else {
                throw SwiftletError.invalidArgument(
                    name: term.symbol.name, reason: "the size has no value", remedy: "Bind it before running the graph.")
            }
            let (product, overflowProduct) = value.multipliedReportingOverflow(by: term.factor)
            let (sum, overflowSum) = total.addingReportingOverflow(product)
            guard !overflowProduct, !overflowSum else { throw Self.tooLarge(self) }
            total = sum
        }
        guard total >= 0 else { throw Self.tooLarge(self) }
        return total
    }

    private static func tooLarge(_ dimension: Dimension) -> SwiftletError {
        .invalidArgument(name: "\(dimension)", reason: "the size is negative or overflows", remedy: "Bind smaller, positive sizes.")
    }

    public var description: String {
        var parts = terms.map { $0.factor == 1 ? $0.symbol.name : "\($0.factor)·\($0.symbol.name)" }
        if constant != 0 || parts.isEmpty { parts.append(String(constant)) }
        return parts.joined(separator: "+")
    }
}

extension [Dimension] {
    /// The sizes when all are numbers.
    package var fixedSizes: [Int]? {
        let sizes = compactMap(\.fixed)
        return sizes.count == count ? sizes : nil
    }
}

/// Numbers for the symbols of a graph: one binding is one set of concrete shapes, and one memory plan.
public struct Binding: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    private var entries: [Symbol: Int]

    public init(_ entries: [Symbol: Int] = [:]) { self.entries = entries }
    public init(dictionaryLiteral elements: (Symbol, Int)...) {
        entries = Dictionary(elements, uniquingKeysWith: { _, last in last })
    }

    public subscript(symbol: Symbol) -> Int? {
        get { entries[symbol] }
        set { entries[symbol] = newValue }
    }
}

extension Int {
    fileprivate func clampedSum(_ other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }

    fileprivate func clampedProduct(_ other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? ((self < 0) == (other < 0) ? .max : .min) : product
    }
}
