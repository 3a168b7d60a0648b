// Files that hold matrices as two factors: they compute what the whole matrices do, and factors that do not fit give typed errors.
import Foundation
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime
import TestSupport
import Testing


@Suite struct FactoredModelTests {
    /// A tensor of a file that is made from another one.
    private struct Tensor {
        var name: String
        var shape: Shape
        var format: WeightFormat
        var store: WeightStore
    }

    private static func identity(_ size: Int) throws -> WeightStore { try WeightStore((0..<size * size).map { $0 / size == $0 % size ? Float(1) : 0 }) }

    /// The tiny model `name` with its tensors as `change` makes them of each one.
    private static func file(_ name: String, _ change: (Tensor) throws -> [Tensor]) throws -> GGUFFile {
        let whole = try ArchitectureVectors.model(name).file(vocabulary: ArchitectureVectors.required().vocabulary)
        var writer = GGUFWriter(copying: whole.metadata)
        for tensor in whole.tensors {
            for made in try change(Tensor(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store)) {
                try writer.add(name: made.name, shape: made.shape, format: made.format, store: made.store)
            }
        }
        let path = FileManager.default.temporaryDirectory.appending(path: "swiftlet-\(UUID().uuidString).gguf").path
        try writer.write(to: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try GGUFFile(path: path)
    }

    /// W as A, and an identity as B.
    private static func factors(_ tensor: Tensor, name: String) throws -> [Tensor] {
        let rows = tensor.shape[0]
        return [
            Tensor(name: name + ".lowrank_a", shape: tensor.shape, format: tensor.format, store: tensor.store),
            Tensor(name: name + ".lowrank_b", shape: [rows, rows], format: .dense(.f32), store: try identity(rows)),
        ]
    }

    /// Matrices of layers become factors; those that are several in one are taken apart first.
    private static func factored(_ tensor: Tensor, headDimensions: (query: Int, key: Int)) throws -> [Tensor] {
        guard tensor.shape.rank == 2, tensor.name.hasPrefix("blk.") || tensor.name == "output.weight" else { return [tensor] }
        func rows(_ range: Range<Int>, _ name: String) throws -> Tensor {
            let part = try Weight(name: name, shape: tensor.shape, format: tensor.format, store: tensor.store).rows(range, name: name)
            return Tensor(name: name, shape: part.shape, format: part.format, store: part.store)
        }
        if tensor.name.hasSuffix("attn_qkv.weight") {
            let (q, k) = headDimensions
            let stem = tensor.name.dropLast("attn_qkv.weight".count)
            // One part stays whole.
            return try factors(rows(0..<q, "\(stem)attn_q.weight"), name: "\(stem)attn_q.weight") + [rows(q..<q + k, "\(stem)attn_k.weight")]
                + factors(rows(q + k..<q + 2 * k, ""), name: "\(stem)attn_v.weight")
        }
        if tensor.name.hasSuffix("ffn_up.weight"), headDimensions.query > 0 {
            let stem = tensor.name.dropLast("ffn_up.weight".count)
            let half = tensor.shape[0] / 2
            return try [rows(0..<half, "\(stem)ffn_gate.rows")] + factors(rows(half..<2 * half, ""), name: "\(stem)ffn_up.rows")
        }
        return try factors(tensor, name: tensor.name)
    }

    private static func logits(_ file: GGUFFile, _ name: String) throws -> [[Float]] {
        let vectors = try ArchitectureVectors.required()
        let context = try ArchitectureVectors.model(name).context
        let model = try LanguageModel(file: file, options: ModelOptions(threads: 1, cacheType: .f32, context: context))
        let decoder = try Decoder(model: model, context: context)
        let rows = try decoder.evaluate(vectors.prompt, at: 0, logits: .range(0..<vectors.prompt.count))
        return (0..<vectors.prompt.count).map { Array(rows[$0]) } + [Array(try decoder.evaluate([vectors.decode[0]], at: vectors.prompt.count)[0])]
    }

    @Test(arguments: ArchitectureVectors.names) func factorsComputeWhatTheMatrixDoes(name: String) throws {
        let whole = try Self.file(name) { [$0] }
        let h = try LanguageModel(file: whole, options: ModelOptions(threads: 1)).hyperparameters
        let isFused = h.architecture == "phi3"
        let widths = isFused ? (h.heads * h.headDimension, h.keyValueHeads * h.headDimension) : (0, 0)
        let factored = try Self.file(name) { try Self.factored($0, headDimensions: widths) }
        #expect(factored.tensors.count > whole.tensors.count)
        let comparison = LogitComparison(expected: try Self.logits(whole, name), actual: try Self.logits(factored, name))
        // The intermediate result is rounded to 15 bits once more.
        #expect(comparison.relativeError < 1e-3 && comparison.sameBest == comparison.rows, "\(comparison)")
    }

    private static func failure(_ change: (Tensor) throws -> [Tensor]) throws -> SwiftletError? {
        let file = try file("llama", change)
        do {
            _ = try LanguageModel(file: file, options: ModelOptions(threads: 1))
            return nil
        } catch let error as SwiftletError {
            return error
        }
    }

    private static func isMalformed(_ error: SwiftletError?, naming name: String) -> Bool {
        guard case .malformed(_, _, let reason, let remedy) = error else { return false }
        return reason.contains(name) && !remedy.isEmpty
    }

    @Test(arguments: ["blk.0.attn_q.weight", "blk.1.ffn_down.weight"]) func hostileFactorsAreErrors(name: String) throws {
        func change(_ body: @escaping ([Tensor]) throws -> [Tensor]) throws -> SwiftletError? {
            try Self.failure { $0.name == name ? try body(Self.factors($0, name: name)) : [$0] }
        }
        func empty(_ shape: Shape) throws -> WeightStore { try WeightStore([Float](repeating: 0, count: shape.elementCount)) }
        func reshaped(_ tensor: Tensor, _ shape: Shape) throws -> Tensor {
            Tensor(name: tensor.name, shape: shape, format: .dense(.f32), store: try empty(shape))
        }
        let (a, b) = (name + ".lowrank_a", name + ".lowrank_b")
        #expect(try change { $0 } == nil)
        #expect(Self.isMalformed(try change { [$0[0]] }, naming: b))
        #expect(Self.isMalformed(try change { [$0[1]] }, naming: a))
        #expect(Self.isMalformed(try change { _ in [] }, naming: name))
        let (rows, columns) = try {
            let shape = try #require(ArchitectureVectors.model("llama").tensors.first { $0.name == name }).shape
            return (shape[0], shape[1])
        }()
        for shape: Shape in [[rows, columns + 32], [rows + 1, columns], [columns], [rows, columns, 1], [0, columns], [1, rows * columns]] {
            let error = try change { [try reshaped($0[0], shape), $0[1]] }
            #expect(Self.isMalformed(error, naming: ".lowrank_"), "A of \(shape): \(String(describing: error))")
        }
        for shape: Shape in [[rows + 1, rows], [rows, rows + 1], [rows], [1, rows, rows], [0, rows]] {
            let error = try change { [$0[0], try reshaped($0[1], shape)] }
            #expect(Self.isMalformed(error, naming: b), "B of \(shape): \(String(describing: error))")
        }
        let both = try Self.failure { tensor in tensor.name == name ? try [tensor] + Self.factors(tensor, name: name) : [tensor] }
        #expect(Self.isMalformed(both, naming: name))
    }
}
