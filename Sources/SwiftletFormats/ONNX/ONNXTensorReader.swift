// Tensors out of their messages: whatever way the file stores the elements, checked against type and shape before anything is reserved.
//
//   raw_data                  the layout the engine uses: a range of the mapped file
//   float_data, double_data   packed, as always: the same
//   external data             the same layout in another file: a range of that
//   int32_data, ...           one array a family of types, decoded into a store of its own, elements packed as raw_data has them
//   string_data               strings
// Source: onnx-ml.proto, message TensorProto.
import SwiftletTensor

/// Reads the tensors of one model.
struct ONNXTensorReader {
    let image: FileImage
    var external: ONNXExternalFiles

    init(_ image: FileImage) {
        self.image = image
        external = ONNXExternalFiles(model: image)
    }

    /// `owner` names the tensor in errors: its own name, or the node and attribute it is a constant of.
    mutating func tensor(_ message: Onnx_TensorProto, owner: String) throws -> ONNXTensor {
        guard let type = ONNXElementType(rawValue: message.dataType) else {
            throw unsupported(
                owner, "the element type \(message.dataType) is unknown", "Export the model with types of ONNX 1.23 or older.")
        }
        guard !message.hasSegment else { throw unsupported(owner, "the tensor is stored in segments", "Save the model with onnx.save.") }
        let dimensions = try message.dims.map { dimension in
            guard dimension >= 0, let size = Int(exactly: dimension) else {
                throw invalid(owner, "the tensor has the dimension \(dimension)")
            }
            return size
        }
        let shape = Shape(dimensions)
        guard let elements = shape.checkedElementCount else { throw invalid(owner, "the shape \(shape) is absurdly large") }

        let isExternal = message.dataLocation == .external
        let mapped = message.hasRawData ? ONNXSkeleton.Place(message.rawData, in: image) : nil
        let arrays = message.filledArrays
        guard (isExternal ? 1 : 0) + (mapped == nil ? 0 : 1) + arrays.count <= 1 else {
            throw invalid(owner, "the elements are stored in more than one way")
        }
        if type == .string {
            guard !isExternal, mapped == nil, message.stringData.count == elements else {
                throw invalid(owner, "the tensor of strings \(shape) has \(message.stringData.count) of them")
            }
            return ONNXTensor(
                name: message.name, type: type, shape: shape, content: .strings(message.stringData.map { Array($0) }), place: nil)
        }
        guard let byteCount = type.byteCount(elements: elements) else { throw invalid(owner, "the shape \(shape) is absurdly large") }
        func made(_ store: WeightStore, _ place: ONNXTensor.Place?) -> ONNXTensor {
            ONNXTensor(name: message.name, type: type, shape: shape, content: .elements(store), place: place)
        }
        if isExternal {
            let (store, place) = try external.store(message.externalData, byteCount: byteCount, owner: owner)
            return made(store, place)
        }
        if let mapped {
            try check(mapped, type, shape, byteCount: byteCount, owner)
            return made(image.store(mapped.range), ONNXTensor.Place(path: image.name, offset: mapped.range.lowerBound))
        }
        return made(try decoded(message, type, elements: elements, byteCount: byteCount, owner), nil)
    }

    /// Throws unless the bytes in the file are those of the tensor.
    private func check(_ mapped: ONNXSkeleton.Place, _ type: ONNXElementType, _ shape: Shape, byteCount: Int, _ owner: String) throws {
        switch mapped.field {
        case ONNXSkeleton.Place.floatData: try require(type, in: .float, owner)
        case ONNXSkeleton.Place.doubleData: try require(type, in: .double, owner)
        default: break
        }
        guard mapped.range.count == byteCount else {
            throw SwiftletError.malformed(
                file: image.name, offset: mapped.range.lowerBound,
                reason: "'\(owner)' has \(mapped.range.count) bytes where \(type) \(shape) takes \(byteCount)", remedy: Self.remedy)
        }
    }

    // MARK: - Typed arrays

    private func require(_ type: ONNXElementType, in array: TypedArray, _ owner: String) throws {
        guard type.array == array else {
            throw invalid(owner, "the elements of the \(type) tensor are in \(array.rawValue); \(type.array.rawValue) is their place")
        }
    }

    private func decoded(_ message: Onnx_TensorProto, _ type: ONNXElementType, elements: Int, byteCount: Int, _ owner: String) throws
        -> WeightStore
    {
        let array = type.array
        if let other = message.filledArrays.first { try require(type, in: other, owner) }
        // Elements of four and two bits come as the bytes they are packed into, those of six bits one by one; complex ones as pairs.
        let expected =
            switch type {
            case .u4, .i4, .f4e2m1, .u2, .i2: byteCount
            case .c64, .c128: 2 * elements  // elements × 16 bytes did not overflow
            default: elements
            }
        let count = message.count(of: array)
        guard count == expected else { throw invalid(owner, "\(array.rawValue) has \(count) elements where the shape takes \(expected)") }
        switch array {
        case .float: return try WeightStore(message.floatData)
        case .double: return try WeightStore(message.doubleData)
        case .int64: return try WeightStore(message.int64Data)
        case .uint64:
            return type == .u64
                ? try WeightStore(message.uint64Data) : try WeightStore(narrowed(message.uint64Data, to: UInt32.self, owner))
        case .string: throw invalid(owner, "string_data is for strings")
        case .int32: return try small(message.int32Data, type, byteCount: byteCount, owner)
        }
    }

    /// Elements of 32 bits and fewer, each in an integer of its own.
    private func small(_ values: [Int32], _ type: ONNXElementType, byteCount: Int, _ owner: String) throws -> WeightStore {
        switch type {
        case .i32: return try WeightStore(values)
        case .i16: return try WeightStore(narrowed(values, to: Int16.self, owner))
        case .u16, .f16, .bf16: return try WeightStore(narrowed(values, to: UInt16.self, owner))
        case .i8: return try WeightStore(narrowed(values, to: Int8.self, owner))
        case .bool:
            try require(values, in: 0...1, owner)
            return try WeightStore(narrowed(values, to: UInt8.self, owner))
        case .f6e2m3, .f6e3m2:
            try require(values, in: 0...63, owner)
            var bytes = [UInt8](repeating: 0, count: byteCount)
            for (index, value) in values.enumerated() {
                let bit = 6 * index
                let wide = UInt16(value) << UInt16(bit % 8)
                bytes[bit / 8] |= UInt8(truncatingIfNeeded: wide)
                if wide > 0xFF { bytes[bit / 8 + 1] |= UInt8(wide >> 8) }
            }
            return try WeightStore(bytes)
        default: return try WeightStore(narrowed(values, to: UInt8.self, owner))
        }
    }

    private func narrowed<Wide: FixedWidthInteger, Narrow: FixedWidthInteger & BitwiseCopyable>(
        _ values: [Wide], to narrow: Narrow.Type, _ owner: String
    ) throws -> [Narrow] {
        try values.map { value in
            guard let result = Narrow(exactly: value) else { throw invalid(owner, "the element \(value) is out of the range of its type") }
            return result
        }
    }

    private func require(_ values: [Int32], in range: ClosedRange<Int32>, _ owner: String) throws {
        if let value = values.first(where: { !range.contains($0) }) {
            throw invalid(owner, "the element \(value) is out of the range of its type")
        }
    }

    // MARK: - Errors

    static let remedy = "Export the model again, or check it with onnx.checker."

    private func invalid(_ owner: String, _ reason: String) -> SwiftletError {
        .invalidGraph(node: owner, reason: "\(reason), in \(image.name)", remedy: Self.remedy)
    }

    private func unsupported(_ owner: String, _ reason: String, _ remedy: String) -> SwiftletError {
        .unsupported(file: image.name, place: "'\(owner)'", reason: reason, remedy: remedy)
    }
}

/// The arrays a tensor's elements can be in.
private enum TypedArray: String {
    case float = "float_data"
    case int32 = "int32_data"
    case int64 = "int64_data"
    case double = "double_data"
    case uint64 = "uint64_data"
    case string = "string_data"
}

extension ONNXElementType {
    /// The array for elements of this type.
    fileprivate var array: TypedArray {
        switch self {
        case .f32, .c64: .float
        case .f64, .c128: .double
        case .i64: .int64
        case .u32, .u64: .uint64
        case .string: .string
        case .i32, .i16, .i8, .u16, .u8, .bool, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .u4, .i4, .f4e2m1, .u2,
            .i2,
            .f6e2m3, .f6e3m2:
            .int32
        }
    }
}

extension Onnx_TensorProto {
    fileprivate func count(of array: TypedArray) -> Int {
        switch array {
        case .float: floatData.count
        case .int32: int32Data.count
        case .int64: int64Data.count
        case .double: doubleData.count
        case .uint64: uint64Data.count
        case .string: stringData.count
        }
    }

    fileprivate var filledArrays: [TypedArray] {
        [.float, .int32, .int64, .double, .uint64, .string].filter { count(of: $0) > 0 }
    }
}
