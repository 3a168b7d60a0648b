// Operators of ai.onnx.ml, ONNX's set for classical models.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let classicalOperators: [String: OperatorImporter] = [
        "ai.onnx.ml.LabelEncoder": { importer, call in
            let table = try importer.labelTable(call)
            return try importer.hostResults(call) { [try table.looked($0)] }
        },
        "ai.onnx.ml.Binarizer": { importer, call in
            let x = try call.tensor(0)
            let isAbove = try importer.binary(.less, importer.scalar(Double(call.float("threshold", 0)), importer.element(x)), x)
            return [.tensor(try importer.cast(isAbove, importer.element(x)))]
        },
        "ai.onnx.ml.ArrayFeatureExtractor": { try $0.features($1) },
    ]

    /// The columns an operand names; of a row they make a batch of one.
    private mutating func features(_ call: OperatorCall) throws -> [Imported] {
        let places = try call.tensor(1)
        let count = count(places)
        if case .strings(let texts) = call.value(0) {
            let wanted = try integers(places)
            try call.require(texts.shape.rank >= 1, "the texts have no columns")
            let axis = texts.shape.rank - 1
            try call.require(wanted.allSatisfy { (0..<texts.shape[axis]).contains($0) }, "\(wanted) are not columns of \(texts.shape)")
            let taken = texts.taking(wanted, axis: axis)
            return [.strings(axis == 0 ? StringTensor(shape: [1, count], values: taken.values) : taken)]
        }
        let x = try call.tensor(0)
        try call.require(rank(x) >= 1, "the tensor has no columns")
        let taken = try apply(.gather(axis: rank(x) - 1), [x, reshape(places, [count])])
        return [.tensor(rank(x) == 1 ? try reshape(taken, [1, count]) : taken)]
    }

    private mutating func labelTable(_ call: OperatorCall) throws -> LabelTable {
        // Version 1: classes by their number, in the direction that the input asks for.
        if let classes = try call.node.strings("classes_strings") {
            let texts = ModelValue.strings(StringTensor(shape: [classes.count], values: classes))
            let numbers = ModelValue.tensor(try Tensor((0..<classes.count).map(Int64.init), shape: [classes.count]))
            let (noNumber, noText) = (try missingNumber(call), try missingText(call))
            if case .strings = call.value(0) { return try LabelTable(keys: texts, values: numbers, missing: noNumber, call) }
            return try LabelTable(keys: numbers, values: texts, missing: noText, call)
        }
        guard let keys = try list(call, "keys"), let values = try list(call, "values") else { throw call.invalid("lacks its keys or values") }
        let missing: ModelValue
        if let tensor = try call.node.tensor("default_tensor") {
            missing = try value(tensor)
        } else {
            switch values {
            case .strings: missing = try missingText(call)
            case .tensor(let numbers) where numbers.type == .i64: missing = try missingNumber(call)
            case .tensor(let numbers) where numbers.type.isFloat:
                missing = .tensor(try Tensor([Double(call.float("default_float", -0.0))], shape: [1], as: numbers.type))
            case .tensor(let numbers): missing = .tensor(try Tensor([-1], shape: [1], as: numbers.type))
            case .sequence, .absent: missing = .absent
            }
        }
        return try LabelTable(keys: keys, values: values, missing: missing, call)
    }

    private func missingNumber(_ call: OperatorCall) throws -> ModelValue { .tensor(try Tensor([Int64(call.int("default_int64", -1))], shape: [1])) }

    private func missingText(_ call: OperatorCall) throws -> ModelValue {
        .strings(StringTensor(shape: [1], values: [try call.string("default_string", "_Unused")]))
    }

    /// The attribute of that name in whichever type it is given.
    private mutating func list(_ call: OperatorCall, _ name: String) throws -> ModelValue? {
        if let tensor = try call.node.tensor("\(name)_tensor") { return try value(tensor) }
        if let texts = try call.node.strings("\(name)_strings") { return .strings(StringTensor(shape: [texts.count], values: texts)) }
        if let numbers = try call.node.ints("\(name)_int64s") { return .tensor(try Tensor(numbers.map(Int64.init), shape: [numbers.count])) }
        return try call.node.floats("\(name)_floats").map { .tensor(try Tensor($0, shape: [$0.count])) }
    }
}
