// Counts that multiply dimensions (elements of a tensor, operations of a node): polynomials of symbols with checked arithmetic.

/// A polynomial of symbols with integer factors, in one normal form: equal counts compare equal.
package struct SymbolicCount: Sendable, Hashable, CustomStringConvertible {
    /// Factors by the sorted symbols of the product they belong to; never zero. The constant belongs to the empty product.
    private var factors: [[Symbol]: Int]

    /// The number zero.
    package init() { factors = [:] }

    private init(_ dimension: Dimension) {
        factors = Dictionary(uniqueKeysWithValues: dimension.terms.map { ([$0.symbol], $0.factor) })
        if dimension.constant != 0 { factors[[]] = dimension.constant }
    }

    /// The product of `dimensions` (1 when there is none), or nil when a factor overflows.
    package init?(productOf dimensions: [Dimension]) {
        var product = SymbolicCount(1)
        for dimension in dimensions {
            guard let next = product.multiplied(by: SymbolicCount(dimension)) else { return nil }
            product = next
        }
        self = product
    }

    /// The sum, or nil when a factor overflows.
    package func adding(_ other: SymbolicCount) -> SymbolicCount? {
        var sum = self
        for (symbols, factor) in other.factors { guard sum.add(factor, for: symbols) else { return nil } }
        return sum
    }

    /// The product, or nil when a factor overflows.
    private func multiplied(by other: SymbolicCount) -> SymbolicCount? {
        var product = SymbolicCount()
        for (left, a) in factors {
            for (right, b) in other.factors {
                let (factor, overflow) = a.multipliedReportingOverflow(by: b)
                guard !overflow, product.add(factor, for: (left + right).sorted()) else { return nil }
            }
        }
        return product
    }

    private mutating func add(_ factor: Int, for symbols: [Symbol]) -> Bool {
        let (sum, overflow) = (factors[symbols] ?? 0).addingReportingOverflow(factor)
        factors[symbols] = sum == 0 ? nil : sum
        return !overflow
    }

    /// The number under `binding`. Throws `SwiftletError.invalidArgument` when a symbol is unbound or the result overflows.
    package func resolved(_ binding: Binding) throws -> Int {
        try factors.reduce(0) { total, entry in
            var (product, overflow) = (entry.value, false)
            for symbol in entry.key where !overflow {
                (product, overflow) = product.multipliedReportingOverflow(by: try Dimension(symbol).resolved(binding))
            }
            let (sum, sumOverflow) = total.addingReportingOverflow(product)
            guard !overflow, !sumOverflow else {
                throw SwiftletError.invalidArgument(name: "\(self)", reason: "the count overflows", remedy: "Bind smaller sizes.")
            }
            return sum
        }
    }

    /// Highest degree first, then by symbol: `64·context·tokens + 1024·tokens + 3`.
    package var description: String {
        let sorted = factors.sorted {
            $0.key.count != $1.key.count ? $0.key.count > $1.key.count : $0.key.lexicographicallyPrecedes($1.key)
        }
        let parts = sorted.map { ([String($0.value)] + $0.key.map(\.name)).joined(separator: "·") }
        return parts.isEmpty ? "0" : parts.joined(separator: " + ")
    }
}
