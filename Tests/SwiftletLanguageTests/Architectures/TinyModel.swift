// Tiny models of every architecture, built from the descriptions in Vectors/architectures.json, which also holds llama.cpp's logits for them.
// Scripts/make_architecture_vectors.py makes that file and says how weights follow from names.
import CKernels
import Foundation
import SwiftletFormats
import SwiftletTensor
import Testing

/// What Vectors/architectures.json holds.
struct ArchitectureVectors: Decodable {
    let vocabulary: Int
    /// Evaluated at once; `rows` of it are kept in the vectors.
    let prompt: [Int32]
    let rows: [Int]
    /// Evaluated after the prompt, one at a time.
    let decode: [Int32]
    let models: [TinyModel]

    static let all: ArchitectureVectors? = {
        let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(
            path: "Vectors/architectures.json")
        return try? JSONDecoder().decode(ArchitectureVectors.self, from: Data(contentsOf: path))
    }()

    /// The names of the models, for parameterised tests.
    static var names: [String] { all?.models.map(\.name) ?? [] }

    static func required() throws -> ArchitectureVectors { try #require(all, "Vectors/architectures.json does not decode") }

    static func model(_ name: String) throws -> TinyModel { try #require(required().models.first { $0.name == name }) }
}

/// One model: metadata, tensors by formula, expected logits.
struct TinyModel: Decodable {
    struct Tensor: Decodable {
        let name: String
        var shape: [Int]
        let scale: Float
        let centre: Float
        let type: String
    }

    let name: String
    var architecture: String
    let context: Int
    var metadata: [String: MetadataValue]
    var tensors: [Tensor]
    /// FNV-1a of all tensor bytes in order.
    let weightsHash: String
    /// Base64 of little-endian f32, row after row.
    private let logits: String

    private enum CodingKeys: String, CodingKey {
        case name, architecture, context, metadata, tensors, logits
        case weightsHash = "weights_fnv1a64"
    }

    /// The expected logits, one array a row.
    func expectedRows(vocabulary: Int) throws -> [[Float]] {
        let data = try #require(Data(base64Encoded: logits))
        let values = data.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map {
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)))
            }
        }
        return stride(from: 0, to: values.count, by: vocabulary).map { Array(values[$0..<$0 + vocabulary]) }
    }

    /// Whether a q8_0 cache can hold its heads.
    var hasHeadsOfWholeBlocks: Bool {
        (metadata["\(architecture).attention.key_length"]?.value.int ?? 16) % BlockFormat.q8_0.blockElements == 0
    }

    // MARK: Building

    /// A metadata value, `[kind, value]` in JSON.
    struct MetadataValue: Decodable {
        let value: GGUFValue

        init(_ value: GGUFValue) { self.value = value }

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            switch try container.decode(String.self) {
            case "u32": value = .uint32(try container.decode(UInt32.self))
            case "f32": value = .float32(try container.decode(Float.self))
            case "string": value = .string(try container.decode(String.self))
            case let kind: throw DecodingError.dataCorruptedError(in: container, debugDescription: "no kind '\(kind)'")
            }
        }
    }

    /// The bytes of all tensors in order, as the file holds them.
    func tensorBytes() throws -> [[UInt8]] { try tensors.map(Self.bytes) }

    /// The model as a GGUF file, written, opened and unlinked. `vocabulary` is how many tokens its tokenizer has.
    func file(vocabulary: Int) throws -> GGUFFile {
        var writer = GGUFWriter()
        writer.set("general.architecture", .string(architecture))
        for (key, entry) in metadata.sorted(by: { $0.key < $1.key }) { writer.set(key, entry.value) }
        let bytes = (0..<256).map { "<0x" + (($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true)) + ">" }
        let special = ["<unk>", "<s>", "</s>"]
        let words = (0..<vocabulary - 259).map { "\u{2581}t\($0)" }
        writer.set("tokenizer.ggml.model", .string("llama"))
        writer.set("tokenizer.ggml.tokens", .array(.string(GGUFStrings(special + bytes + words))))
        writer.set("tokenizer.ggml.token_type", .array(.int32([2, 3, 3] + bytes.map { _ in 6 } + words.map { _ in 1 })))
        writer.set("tokenizer.ggml.scores", .array(.float32((0..<vocabulary).map { -Float($0) })))
        writer.set("tokenizer.ggml.bos_token_id", .uint32(1))
        writer.set("tokenizer.ggml.eos_token_id", .uint32(2))
        for tensor in tensors {
            try writer.add(
                name: tensor.name, shape: Shape(tensor.shape), format: Self.format(tensor.type), store: WeightStore(Self.bytes(of: tensor)))
        }
        let path = FileManager.default.temporaryDirectory.appending(path: "swiftlet-\(UUID().uuidString).gguf").path
        try writer.write(to: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try GGUFFile(path: path)
    }

    private static func format(_ type: String) throws -> WeightFormat {
        switch type {
        case "F32": .dense(.f32)
        case "F16": .dense(.f16)
        default: .block(try #require(BlockFormat.allCases.first { $0.name == type }))
        }
    }

    private static func bytes(of tensor: Tensor) throws -> [UInt8] {
        let values = values(of: tensor)
        switch try format(tensor.type) {
        case .dense(.f16): return values.flatMap { value in withUnsafeBytes(of: ck_float_to_half(value).littleEndian) { Array($0) } }
        case .block(let format): return try format.quantize(values)
        default: return values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
        }
    }

    /// The formula of the head of make_architecture_vectors.py.
    private static func values(of tensor: Tensor) -> [Float] {
        var hash = FNV1a64()
        hash.update(tensor.name.utf8)
        return (1...UInt64(tensor.shape.reduce(1, *))).map { index in
            var z = hash.state &+ index &* 0x9E37_79B9_7F4A_7C15
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            z ^= z >> 31
            let x = Float(z >> 40) * 0x1p-23 - 1
            return tensor.centre + tensor.scale * x
        }
    }
}

/// The 64-bit hash of Fowler, Noll and Vo, variant 1a.
struct FNV1a64 {
    private(set) var state: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func update(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
}
