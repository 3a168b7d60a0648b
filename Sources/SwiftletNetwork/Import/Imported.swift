// What an ONNX name stands for while a model is imported.
import SwiftletGraph

/// The value behind an ONNX name.
enum Imported: Sendable {
    /// A value of the graph being built; constants are its weights.
    case tensor(ValueID)
    /// Text is never computed with by a graph, so it is always known.
    case strings(StringTensor)
    /// The elements of a sequence, which there are as many of as the import knows.
    case sequence([Imported])
    /// An optional that holds nothing.
    case absent
}

/// A tensor of texts, row-major. Texts are equal when they have the same bytes: Swift's own equality takes é for e and an accent.
public struct StringTensor: Sendable, Hashable {
    public var shape: Shape
    /// UTF-8 by ONNX's specification.
    public var values: [String]

    public init(shape: Shape, values: [String]) {
        self.shape = shape
        self.values = values
    }

    public static func == (left: StringTensor, right: StringTensor) -> Bool {
        left.shape == right.shape && left.values.elementsEqual(right.values) { $0.utf8.elementsEqual($1.utf8) }
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(shape)
        for text in values {
            for byte in text.utf8 { hasher.combine(byte) }
            // No byte of UTF-8: texts do not run into each other.
            hasher.combine(UInt8.max)
        }
    }
}

extension Imported {
    /// Every graph value in it.
    var tensors: [ValueID] {
        switch self {
        case .tensor(let id): [id]
        case .sequence(let elements): elements.flatMap(\.tensors)
        case .strings, .absent: []
        }
    }

    /// The same with other graph values.
    func mapped(_ transform: (ValueID) throws -> ValueID) rethrows -> Imported {
        switch self {
        case .tensor(let id): .tensor(try transform(id))
        case .sequence(let elements): .sequence(try elements.map { try $0.mapped(transform) })
        case .strings, .absent: self
        }
    }
}

/// Ends an import for now: what follows depends on numbers that only a run has.
enum ImportPause: Error {
    /// The elements of a tensor decide shapes, or which branch is taken.
    case contents(ValueID)
    /// An operation whose results have shapes that depend on elements.
    case host(HostOperation, [Imported])
}

/// An operation on values in memory that no graph expresses: its results have shapes, or are texts, that depend on what the operands hold.
struct HostOperation: Sendable {
    let name: String
    let run: @Sendable ([ModelValue]) throws -> [ModelValue]
}
