// What goes into a model by name and comes out of it.
@_exported import SwiftletTensor

/// An input or output of a model.
public indirect enum ModelValue: Sendable {
    case tensor(Tensor)
    case strings(StringTensor)
    case sequence([ModelValue])
    /// An optional that holds nothing.
    case absent

    /// The tensor. Throws `SwiftletError.invalidArgument` for any other kind of value.
    public var tensor: Tensor {
        get throws {
            if case .tensor(let tensor) = self { return tensor }
            throw SwiftletError.invalidArgument(name: "value", reason: "is \(self.kind), not a tensor", remedy: "Read it as what it is.")
        }
    }

    /// In words.
    var kind: String { ValueSignature(self).description }
}

/// All of a value that an import depends on: types and shapes, and the elements where they are texts.
indirect enum ValueSignature: Sendable, Hashable, CustomStringConvertible {
    case tensor(DType, Shape)
    case strings(StringTensor)
    case sequence([ValueSignature])
    case absent

    var description: String {
        switch self {
        case .tensor(let type, let shape): "\(type) \(shape)"
        case .strings(let strings): "strings \(strings.shape)"
        case .sequence(let elements): "a sequence of \(elements.count)"
        case .absent: "an empty optional"
        }
    }

    init(_ value: ModelValue) {
        switch value {
        case .tensor(let tensor): self = .tensor(tensor.type, tensor.shape)
        case .strings(let strings): self = .strings(strings)
        case .sequence(let elements): self = .sequence(elements.map(ValueSignature.init))
        case .absent: self = .absent
        }
    }
}
