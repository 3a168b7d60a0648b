// The look-up of ai.onnx.ml LabelEncoder: numbers or texts to numbers or texts. Source: the operator's specification in ONNX.
import SwiftletFormats
import SwiftletGraph

/// Keys, the value of each, and the value of everything else.
struct LabelTable: Sendable {
    private enum Key: Hashable {
        case text([UInt8])
        case number(UInt64)
    }

    private var places: [Key: Int] = [:]
    /// The type of keys that are numbers; nil for texts.
    private let keyType: DType?
    /// One a key, and the default behind them.
    private let values: ModelValue

    /// `keys` and `values` in pairs. Of equal keys the last counts.
    init(keys: ModelValue, values: ModelValue, missing: ModelValue, _ call: OperatorCall) throws {
        let list = try Self.list(keys)
        let count = list.keys.count
        try call.require(values.shape?.checkedElementCount == count, "there are \(count) keys for \(values.kind)")
        keyType = list.type
        for (place, key) in list.keys.enumerated() { places[key] = place }
        switch (values, missing) {
        case (.strings(let texts), .strings(let rest)) where rest.values.count == 1:
            self.values = .strings(StringTensor(shape: [count + 1], values: texts.values + rest.values))
        case (.tensor(let numbers), .tensor(let rest)) where rest.elementCount == 1 && rest.type == numbers.type:
            self.values = .tensor(
                try Tensor(numbers.type, shape: [count + 1]) { target in
                    numbers.withBytes { target.copyMemory(from: $0) }
                    rest.withBytes { UnsafeMutableRawBufferPointer(rebasing: target[numbers.byteCount...]).copyMemory(from: $0) }
                })
        default: throw call.invalid("the default \(missing.kind) is no element of \(values.kind)")
        }
    }

    private static func list(_ value: ModelValue) throws -> (keys: [Key], type: DType?) {
        switch value {
        case .strings(let strings): (strings.values.map { .text(Array($0.utf8)) }, nil)
        case .tensor(let tensor): (try tensor.orderedKeys().map(Key.number), tensor.type)
        case .sequence, .absent: ([], nil)
        }
    }

    /// The value of each element, in x's shape.
    func looked(_ operands: HostOperands) throws -> ModelValue {
        guard let x = operands.value(0), let shape = x.shape else { throw operands.invalid("lacks its tensor") }
        let list = try Self.list(x)
        try operands.require(list.type == keyType, "\(x.kind) is looked up among keys that are \(keyType?.rawValue ?? "texts")")
        let missing = (values.shape?.elementCount ?? 1) - 1
        return try values.taking(list.keys.map { places[$0] ?? missing }, axis: 0).reshaped(to: shape)
    }
}
