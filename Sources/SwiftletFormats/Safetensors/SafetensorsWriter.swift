// safetensors, written: the same bytes as the Python library makes for the same content.
import SwiftletTensor

/// Collects tensors, then writes one file. Bytes are not copied before they are written.
public struct SafetensorsWriter {
    private struct Tensor {
        let name: String
        let shape: Shape
        let type: DType
        let store: WeightStore
    }

    /// The texts of `__metadata__`, in the order they are written.
    public var metadata: [(key: String, value: String)]
    private var tensors: [Tensor] = []
    private var names: Set<String> = [SafetensorsHeader.metadataKey]

    public init(metadata: [(key: String, value: String)] = []) { self.metadata = metadata }

    /// Adds a tensor.
    ///
    /// - Parameter shape: row-major, outermost dimension first.
    /// - Throws: `SwiftletError.invalidArgument` when the name is taken or the bytes do not suit shape and type.
    public mutating func add(name: String, shape: Shape, type: DType, store: WeightStore) throws {
        guard let elements = shape.checkedElementCount, WeightFormat.dense(type).rowBytes(elements: elements) == store.byteCount else {
            throw SwiftletError.invalidArgument(
                name: "store", reason: "tensor '\(name)' \(shape) of \(type.safetensorsName) does not take \(store.byteCount) bytes",
                remedy: "Pass the bytes of the whole tensor.")
        }
        guard names.insert(name).inserted else {
            throw SwiftletError.invalidArgument(
                name: "name", reason: "the tensor name '\(name)' is taken", remedy: "Give each tensor its own name.")
        }
        tensors.append(Tensor(name: name, shape: shape, type: type, store: store))
    }

    /// Writes the file; it appears under its name only when it is complete. Tensors lie in the order of falling alignment, then by name,
    /// so that each is aligned.
    public func write(to path: String) throws {
        let ordered = tensors.sorted { left, right in
            let (first, second) = (Self.rank(left.type), Self.rank(right.type))
            return first != second ? first < second : Array(left.name.utf8).lexicographicallyPrecedes(Array(right.name.utf8))
        }
        let header = try header(ordered)
        let file = try OutputFile(path: path)
        try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try file.write($0) }
        try file.write(header)
        for tensor in ordered { try tensor.store.withBytes { try file.write($0) } }
        try file.commit()
    }

    private func header(_ tensors: [Tensor]) throws -> [UInt8] {
        var members: [String] = []
        if !metadata.isEmpty {
            guard Set(metadata.map(\.key)).count == metadata.count else {
                throw SwiftletError.invalidArgument(name: "metadata", reason: "a key appears twice", remedy: "Remove one.")
            }
            let pairs = metadata.map { "\(Self.quoted($0.key)):\(Self.quoted($0.value))" }
            members.append("\(Self.quoted(SafetensorsHeader.metadataKey)):{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for tensor in tensors {
            let (end, overflow) = offset.addingReportingOverflow(tensor.store.byteCount)
            guard !overflow else {
                throw SwiftletError.invalidArgument(
                    name: "tensors", reason: "they take more bytes than a file can have", remedy: "Split the model.")
            }
            let shape = tensor.shape.dimensions.map(String.init).joined(separator: ",")
            members.append(
                "\(Self.quoted(tensor.name)):{\"dtype\":\"\(tensor.type.safetensorsName)\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}"
            )
            offset = end
        }
        var bytes = Array("{\(members.joined(separator: ","))}".utf8)
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - bytes.count % 8) % 8))
        return bytes
    }

    /// The place of a type among the tensors: the widest first.
    private static func rank(_ type: DType) -> Int {
        let order: [DType] = [.u64, .i64, .f64, .f32, .u32, .i32, .bf16, .f16, .u16, .i16, .i8, .u8, .bool]
        return order.firstIndex(of: type) ?? order.count
    }

    /// A JSON string.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{C}": result += "\\f"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
