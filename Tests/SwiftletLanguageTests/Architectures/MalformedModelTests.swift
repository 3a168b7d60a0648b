// Model files whose metadata and tensors do not belong together: a typed error that names the place, never a trap.
import SwiftletFormats
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

@Suite struct MalformedModelTests {
    /// The error of loading the tiny llama after `change`; nil when it loads.
    private func failure(
        _ name: String = "llama", vocabulary: Int = 300, options: ModelOptions = ModelOptions(threads: 1),
        _ change: (inout TinyModel) -> Void
    ) throws -> SwiftletError? {
        var model = try ArchitectureVectors.model(name)
        change(&model)
        let file = try model.file(vocabulary: vocabulary)
        do {
            _ = try LanguageModel(file: file, options: options)
            return nil
        } catch let error as SwiftletError {
            return error
        }
    }

    private func isMalformed(_ error: SwiftletError?, naming place: String) -> Bool {
        guard case .malformed(_, _, let reason, let remedy) = error else { return false }
        return reason.contains(place) && !remedy.isEmpty
    }

    private func isUnsupported(_ error: SwiftletError?, naming place: String) -> Bool {
        guard case .unsupported(_, place, _, let remedy) = error else { return false }
        return !remedy.isEmpty
    }

    @Test(arguments: ArchitectureVectors.names)
    func everyTensorIsNeeded(name: String) throws {
        let count = try ArchitectureVectors.model(name).tensors.count
        for index in 0..<count {
            let tensor = try ArchitectureVectors.model(name).tensors[index].name
            let error = try failure(name) { $0.tensors.remove(at: index) }
            // A head may be tied, biases and factors may be absent: those are other models, not malformed ones.
            let isOptional = tensor == "output.weight" || tensor.hasSuffix(".bias") || tensor.hasPrefix("rope_f")
            #expect(isOptional ? error == nil : isMalformed(error, naming: tensor), "\(tensor): \(String(describing: error))")
        }
    }

    @Test(arguments: ArchitectureVectors.names)
    func everyTensorHasItsShape(name: String) throws {
        let count = try ArchitectureVectors.model(name).tensors.count
        for index in 0..<count {
            for change in ["longer", "shorter", "deeper", "flat"] {
                let tensor = try ArchitectureVectors.model(name).tensors[index]
                var shape = tensor.shape
                switch change {
                case "longer": shape[0] += 32
                case "shorter": shape[0] /= 2
                case "deeper": shape.append(32)
                default: shape = [1, shape.reduce(1, *)]
                }
                // The embedding table's rows are the size of the vocabulary: more are allowed.
                if tensor.name == "token_embd.weight", change == "longer" { continue }
                let error = try failure(name) { $0.tensors[index].shape = shape }
                // Factors of the other context length are not read.
                let isUnread = tensor.name == (name == "phi3, long factors" ? "rope_factors_short.weight" : "rope_factors_long.weight")
                if isUnread { continue }
                guard case .malformed = error else {
                    Issue.record("\(tensor.name) \(change): \(String(describing: error))")
                    continue
                }
            }
        }
    }

    @Test func architecturesMustBeKnown() throws {
        let error = try failure {
            $0.metadata = $0.metadata.reduce(into: [:]) { $0[$1.key.replacing("llama.", with: "mamba.")] = $1.value }
            $0.architecture = "mamba"
        }
        #expect(isUnsupported(error, naming: "general.architecture"))
        guard case .unsupported(_, _, let reason, let remedy) = error else { return }
        #expect(reason.contains("mamba") && ["llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"].allSatisfy(remedy.contains))
    }

    @Test func theVocabularyMustFitTheTable() throws {
        guard case .malformed(_, _, let reason, _) = try failure(vocabulary: 301, { _ in }) else {
            Issue.record("a token without an embedding")
            return
        }
        #expect(reason.contains("301") && reason.contains("300"))
        // A padded table is usual.
        #expect(try failure(vocabulary: 290) { _ in } == nil)
    }

    @Test(arguments: [
        "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
        "attention.layer_norm_rms_epsilon",
    ])
    func requiredNumbers(key: String) throws {
        #expect(isMalformed(try failure { $0.metadata["llama." + key] = nil }, naming: key))
        #expect(try failure { $0.metadata["llama." + key] = .init(.string("many")) } != nil)
    }

    @Test func numbersMustMakeSense() throws {
        func failure(_ key: String, _ value: GGUFValue) throws -> SwiftletError? {
            try self.failure { $0.metadata["llama." + key] = .init(value) }
        }
        for key in [
            "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
        ] {
            for value: UInt32 in [0, 1 << 25, .max] {
                #expect(isUnsupported(try failure(key, .uint32(value)), naming: "llama." + key), "\(key) \(value)")
            }
            #expect(isUnsupported(try failure(key, .int32(-4)), naming: "llama." + key), "\(key)")
        }
        #expect(isUnsupported(try failure("attention.head_count_kv", .uint32(3)), naming: "llama.attention"))
        #expect(isUnsupported(try failure("attention.head_count", .array(.uint32([4, 2]))), naming: "llama.attention.head_count"))
        #expect(try failure("attention.head_count", .array(.uint32([4, 4]))) == nil)
        #expect(isUnsupported(try failure("attention.value_length", .uint32(32)), naming: "llama.attention"))
        #expect(isUnsupported(try failure("expert_count", .uint32(8)), naming: "llama.expert_count"))
        #expect(isUnsupported(try failure("rope.scaling.type", .string("spiral")), naming: "llama.rope.scaling.type"))
        // More layers than tensors: the first one missing is named.
        #expect(isMalformed(try failure("block_count", .uint32(3)), naming: "blk.2.attn_norm.weight"))
        // Rotated elements come in pairs and lie within a head.
        for dimensions: UInt32 in [0, 7, 18, 1 << 20, .max] {
            #expect(try failure("rope.dimension_count", .uint32(dimensions)) != nil, "\(dimensions)")
        }
    }

    /// Odd numbers under every key: the model loads and computes something, or says why not.
    @Test(arguments: ["llama", "llama, YaRN", "qwen2", "qwen3", "gemma2", "gemma3, linear scaling", "phi3, long factors"])
    func oddNumbersNeverTrap(name: String) throws {
        let integers: [UInt32] = [0, 1, 2, 3, 5, 7, 16, 33, 1 << 16, 1 << 24, 1 << 31, .max]
        let floats: [Float] = [
            0, -0.0, 1, -1, .leastNonzeroMagnitude, 1e-30, 0.5, 1e30, .greatestFiniteMagnitude, .infinity, -.infinity, .nan,
        ]
        let original = try ArchitectureVectors.model(name)
        for (key, entry) in original.metadata {
            var values: [GGUFValue] = [.string(""), .bool(true), .array(.uint32([])), .array(.float32([1]))]
            switch entry.value {
            case .uint32: values += integers.map { .uint32($0) } + [.int32(-1), .uint64(.max), .int64(.min)]
            case .float32: values += floats.map { .float32($0) } + [.float64(1e300)]
            default: values += ["none", "linear", "yarn", "longrope"].map { .string($0) }
            }
            for value in values {
                var model = original
                model.metadata[key] = .init(value)
                do {
                    let loaded = try LanguageModel(file: model.file(vocabulary: 300), options: ModelOptions(threads: 1))
                    let decoder = try Decoder(model: loaded, context: min(16, loaded.context))
                    #expect(try decoder.evaluate([1], at: 0)[0].count == 300)
                } catch is SwiftletError {}
            }
        }
    }
}
