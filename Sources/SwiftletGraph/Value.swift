// Values: what flows between nodes. A value is an input, a weight, a state that outlives a run, or the output of a node.
@_exported import SwiftletTensor

/// The place of a value in `Graph.values`.
public struct ValueID: Sendable, Hashable, CustomStringConvertible {
    public let index: Int
    package init(_ index: Int) { self.index = index }
    public var description: String { "%\(index)" }
}

/// Element type and symbolic shape (outermost first).
public struct ValueType: Sendable, Hashable, CustomStringConvertible {
    public var element: DType
    public var shape: [Dimension]

    public init(_ element: DType, _ shape: [Dimension]) {
        self.element = element
        self.shape = shape
    }

    /// The concrete shape under `binding`; throws when a symbol is unbound or the element count overflows.
    public func shape(under binding: Binding) throws -> Shape {
        let shape = Shape(try shape.map { try $0.resolved(binding) })
        guard shape.checkedElementCount != nil else {
            throw SwiftletError.invalidArgument(name: "\(self)", reason: "the tensor is too large", remedy: "Bind smaller sizes.")
        }
        return shape
    }

    public var description: String { "\(element)[" + shape.map(\.description).joined(separator: ", ") + "]" }
}

/// Constant data: described, not converted. A matrix `[rows, columns]` multiplies from the right as its transpose (`linear`).
public struct Weight: Sendable {
    public let shape: Shape
    public let format: WeightFormat
    public let store: WeightStore

    /// Throws when the bytes of `store` are not exactly those of `shape` in `format`.
    public init(name: String, shape: Shape, format: WeightFormat, store: WeightStore) throws {
        let columns = shape.dimensions.last ?? 1
        let rows = Shape(shape.dimensions.dropLast())
        guard let rowCount = rows.checkedElementCount, let rowBytes = format.rowBytes(elements: columns),
            !rowCount.multipliedReportingOverflow(by: rowBytes).overflow, rowCount * rowBytes == store.byteCount
        else {
            throw SwiftletError.invalidGraph(
                node: name, reason: "\(store.byteCount) bytes do not hold \(shape) in \(format)",
                remedy: "Check the shape and the format of the weight.")
        }
        self.shape = shape
        self.format = format
        self.store = store
    }

    /// The rows `range` of a matrix as a weight of its own, on the same bytes (a fused QKV matrix splits this way).
    public func rows(_ range: Range<Int>, name: String) throws -> Weight {
        guard shape.rank == 2, range.lowerBound >= 0, range.upperBound <= shape[0], let rowBytes = format.rowBytes(elements: shape[1]) else {
            throw SwiftletError.invalidGraph(
                node: name, reason: "rows \(range) are not inside a matrix of shape \(shape)", remedy: "Check the model's dimensions.")
        }
        return try Weight(
            name: name, shape: [range.count, shape[1]], format: format,
            store: store.slice(range.lowerBound * rowBytes..<range.upperBound * rowBytes))
    }

    /// The type other nodes see: blocks read as f32.
    public var type: ValueType {
        let element: DType = if case .dense(let type) = format { type } else { .f32 }
        return ValueType(element, shape.dimensions.map { Dimension($0) })
    }
}

/// Memory that outlives a run: the key/value cache, recurrent state. Its sizes may be symbols bound when a session starts.
public struct StateSpec: Sendable, Hashable {
    public let shape: [Dimension]
    public let format: WeightFormat

    public init(shape: [Dimension], format: WeightFormat) {
        self.shape = shape
        self.format = format
    }
}

/// One value of a graph.
public struct Value: Sendable {
    public let name: String
    public var type: ValueType
    public var origin: Origin
    /// For a constant that was made by taking the quantisation off another one: which.
    public var quantized: QuantizedSource?

    public enum Origin: Sendable {
        case input
        case weight(Weight)
        case state(StateSpec)
        /// The output of the node that lists the value among its outputs.
        case node
    }

    package init(name: String, type: ValueType, origin: Origin) {
        self.name = name
        self.type = type
        self.origin = origin
    }

    public var weight: Weight? { if case .weight(let weight) = origin { weight } else { nil } }
    public var state: StateSpec? { if case .state(let state) = origin { state } else { nil } }
}
