// Concrete shapes: dimensions in row-major order, outermost first (a GGUF file stores the reverse order).

/// The dimensions of a tensor, outermost first; the last one is contiguous in memory.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
    public let dimensions: [Int]

    public init(_ dimensions: [Int]) { self.dimensions = dimensions }
    public init(arrayLiteral elements: Int...) { self.init(elements) }

    public var rank: Int { dimensions.count }
    public subscript(axis: Int) -> Int { dimensions[axis] }

    /// The product of the dimensions (1 for a scalar), or nil when a dimension is negative or the product overflows `Int`.
    public var checkedElementCount: Int? {
        var product = 1
        for dimension in dimensions {
            guard dimension >= 0 else { return nil }
            let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
            if overflow { return nil }
            product = next
        }
        return product
    }

    /// The product of the dimensions. The shape must have been validated with `checkedElementCount`.
    public var elementCount: Int { dimensions.reduce(1, *) }

    public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}
