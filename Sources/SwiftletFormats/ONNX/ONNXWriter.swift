// ONNX, written: a graph as a model that onnxruntime and every other reader of ONNX loads.
//
//     ONNXWriter                 the public surface; the bytes of the file
//     ONNXGraphEncoder           names, constants, shapes; one operator after another
//     ONNXGraphEncoder+…         what each operation comes down to in operators of ONNX
//
// The file is the serialised model without its graph, then the graph without its initialisers, then the initialisers one after the other, each a
// small message and the elements as `raw_data`: fields of a message may come in any order, so nothing is copied to be written, and a model of
// gigabytes needs no second one in memory. Source of the format: docs/IR.md and onnx-ml.proto of github.com/onnx/onnx.
internal import SwiftProtobuf
import SwiftletGraph

/// Writes a graph as an ONNX model.
///
/// Inputs, outputs, weights and nodes keep their names (a number is added where two are equal); symbolic sizes become named dimensions. What
/// Swiftlet fuses is written as the operators it was fused from.
public struct ONNXWriter: Sendable {
    public struct Options: Sendable {
        public enum ExternalData: Sendable {
            /// In a file beside the model when the model would have more than 1.5 GB: no reader takes more than 2 GiB in one file.
            case whenLarge
            case always
        }

        public var externalData: ExternalData
        /// ONNX has no blocks of quantised weights: whether they are written as f32, or are an error.
        public var dequantisesBlocks: Bool

        public init(externalData: ExternalData = .whenLarge, dequantisesBlocks: Bool = false) {
            self.externalData = externalData
            self.dequantisesBlocks = dequantisesBlocks
        }
    }

    /// The version of ONNX's operator set the model needs: 21, or a later one when an operation or an element type asks for it.
    public var operatorSetVersion: Int { encoder.version }

    private let encoder: ONNXGraphEncoder
    private let options: Options

    /// Bytes of weights beyond which they go to a file of their own.
    private static let largestInline = 1_500_000_000
    /// Tensors smaller than this stay in the model: readers look into them for shapes and axes.
    private static let smallestExternal = 1024
    /// Elements in an external file start at multiples of a page, so that readers can map them.
    private static let externalAlignment = 4096

    /// Translates a graph.
    ///
    /// Throws `SwiftletError.unsupported` naming the node that ONNX has no operators for (key/value caches), or the weight that is stored in
    /// blocks when they may not be dequantised, and `.invalidGraph` when the graph does not verify.
    public init(_ graph: Graph, options: Options = Options()) throws {
        try graph.verify()
        var encoder = ONNXGraphEncoder(graph, dequantisesBlocks: options.dequantisesBlocks)
        try encoder.encode()
        self.encoder = encoder
        self.options = options
    }

    /// Writes the model, and its weights to `path` + `.data` where they go there. Both appear under their names only when they are complete.
    ///
    /// Throws `SwiftletError.io`.
    public func write(to path: String) throws {
        let bytes = encoder.initializers.reduce(0) { $0 + $1.byteCount }
        let isExternal = options.externalData == .always || bytes > Self.largestInline
        var places: [Int: Int] = [:]
        var data: OutputFile?
        if isExternal {
            let file = try OutputFile(path: path + ".data")
            for (index, tensor) in encoder.initializers.enumerated() where tensor.byteCount >= Self.smallestExternal {
                try file.pad(to: Self.externalAlignment)
                places[index] = file.offset
                try tensor.withBytes { try file.write($0) }
            }
            data = file
        }
        let file = try OutputFile(path: path)
        let location = String((path + ".data").split(separator: "/").last ?? "")
        try write(to: file, places: places, location: location)
        // The data first: a model never names a file that is not there.
        try data?.commit()
        try file.commit()
    }

    private func write(to file: OutputFile, places: [Int: Int], location: String) throws {
        var model = Onnx_ModelProto()
        model.irVersion = Int64(Self.irVersion(of: encoder.version))
        model.producerName = "swiftlet"
        model.producerVersion = "0.1.0"
        var operators = Onnx_OperatorSetIdProto()
        operators.domain = ""
        operators.version = Int64(encoder.version)
        model.opsetImport = [operators]

        let graph: [UInt8] = try Self.serialised(encoder.message)
        let headers = try encoder.initializers.enumerated().map { index, tensor in
            try Self.header(tensor, external: places[index].map { (location, $0) })
        }
        let sizes = zip(headers, encoder.initializers).enumerated().map { index, pair in
            places[index] == nil ? pair.0.count + Self.fieldSize(of: pair.1.byteCount) : pair.0.count
        }
        let graphBytes = graph.count + sizes.reduce(0) { $0 + Self.fieldSize(of: $1) }

        try file.write(Self.serialised(model))
        try file.write(Self.field(7, length: graphBytes))
        try file.write(graph)
        for (index, tensor) in encoder.initializers.enumerated() {
            try file.write(Self.field(5, length: sizes[index]))
            try file.write(headers[index])
            if places[index] != nil { continue }
            try file.write(Self.field(9, length: tensor.byteCount))
            try tensor.withBytes { try file.write($0) }
        }
    }

    /// All of a tensor but its elements.
    private static func header(_ tensor: ONNXInitializer, external: (location: String, offset: Int)?) throws -> [UInt8] {
        var message = Onnx_TensorProto()
        message.name = tensor.name
        message.dims = tensor.shape.map(Int64.init)
        message.dataType = tensor.type.rawValue
        if let external {
            message.dataLocation = .external
            message.externalData = [
                ("location", external.location), ("offset", "\(external.offset)"), ("length", "\(tensor.byteCount)"),
            ].map { key, value in
                var entry = Onnx_StringStringEntryProto()
                entry.key = key
                entry.value = value
                return entry
            }
        }
        return try serialised(message)
    }

    private static func serialised(_ message: some SwiftProtobuf.Message) throws -> [UInt8] {
        do { return try message.serializedBytes() } catch {
            throw SwiftletError.outOfMemory(bytes: Int(Int32.max), purpose: "an ONNX message: \(error)")
        }
    }

    /// The tag and the length in front of a field of bytes with a number below 16.
    private static func field(_ number: UInt8, length: Int) -> [UInt8] {
        var bytes = [number << 3 | 2]
        var rest = UInt64(length)
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
        return bytes
    }

    private static func fieldSize(of length: Int) -> Int { field(1, length: length).count + length }

    /// The intermediate representation an operator set came with. Source: docs/Versioning.md of github.com/onnx/onnx.
    private static func irVersion(of operatorSet: Int) -> Int {
        switch operatorSet {
        case ...22: 10
        case 23: 11
        case 24: 12
        default: 13
        }
    }
}

/// A constant of a model being written.
struct ONNXInitializer: Sendable {
    let name: String
    let type: ONNXElementType
    let shape: [Int]
    /// Elements as the engine has them: a byte each for types of fewer than 8 bits.
    let store: WeightStore

    /// Bytes in the file.
    var byteCount: Int { type.byteCount(elements: shape.reduce(1, *)) ?? store.byteCount }

    /// Calls `body` with the elements as the file has them.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        guard let bits = type.bitCount, bits < 8 else { return try store.withBytes(body) }
        var packed = [UInt8](repeating: 0, count: byteCount)
        let perByte = 8 / bits
        store.withBytes { bytes in
            for (index, byte) in bytes.enumerated() { packed[index / perByte] |= (byte & (1 << bits - 1)) << (index % perByte * bits) }
        }
        return try packed.withUnsafeBytes(body)
    }
}

extension DType {
    /// The same numbers in ONNX.
    var onnx: ONNXElementType {
        switch self {
        case .f64: .f64
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .i64: .i64
        case .i32: .i32
        case .i16: .i16
        case .i8: .i8
        case .u64: .u64
        case .u32: .u32
        case .u16: .u16
        case .u8: .u8
        case .bool: .bool
        case .i4: .i4
        case .u4: .u4
        case .i2: .i2
        case .u2: .u2
        case .f8e4m3fn: .f8e4m3fn
        case .f8e4m3fnuz: .f8e4m3fnuz
        case .f8e5m2: .f8e5m2
        case .f8e5m2fnuz: .f8e5m2fnuz
        case .f8e8m0: .f8e8m0
        case .f4e2m1: .f4e2m1
        }
    }

    /// The operator set whose operators first took the type, if that is later than 21.
    var onnxVersion: Int {
        switch self {
        // Convolutions, pooling and most functions of one number.
        case .bf16: 22
        case .f4e2m1: 23
        case .f8e8m0: 24
        case .u2, .i2: 25
        default: 21
        }
    }
}
