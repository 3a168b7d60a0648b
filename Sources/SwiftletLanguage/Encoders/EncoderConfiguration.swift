// What the files beside the weights say about an encoder: config.json (the network), sentence_bert_config.json (how long texts may be) and
// 1_Pooling/config.json (how a text's vector is made of its tokens'). Sources: huggingface.co/docs/transformers, BertConfig; sbert.net, Pooling.
import Foundation
import SwiftletRuntime

/// The numbers of an encoder of the BERT family, checked.
package struct EncoderConfiguration: Sendable, Equatable {
    package var layers: Int
    package var heads: Int
    /// Elements of a token's vector.
    package var width: Int
    /// Elements inside the feed-forward part.
    package var hiddenWidth: Int
    package var vocabulary: Int
    package var positions: Int
    package var tokenTypes: Int
    package var epsilon: Float
    package var activation: Unary
    package var pooling: Pooling
    /// The most tokens of a text, those that frame it included; nil where no file says.
    package var maximumTokens: Int?

    /// How the vectors of tokens become one.
    package enum Pooling: Sendable {
        /// Their mean.
        case mean
        /// That of the first token, `[CLS]`.
        case first
    }

    package var headWidth: Int { width / heads }

    /// Far above any published encoder: sizes are multiplied with each other.
    private static let largest = 1 << 24

    /// Reads the files of a folder. Throws `SwiftletError.io`, `.malformed` or `.unsupported`, naming file and key.
    package init(folder: String) throws {
        let path = folder + "/config.json"
        let json: BERTJSON = try Self.decode(path)
        func unsupported(_ key: String, _ value: String) -> SwiftletError {
            .unsupported(file: path, place: key, reason: "'\(value)' is not implemented", remedy: "Use a BERT encoder, such as all-MiniLM-L6-v2.")
        }
        guard json.modelType == "bert" else { throw unsupported("model_type", json.modelType) }
        if let kind = json.positionEmbeddingType, kind != "absolute" { throw unsupported("position_embedding_type", kind) }
        activation =
            switch json.hiddenAct {
            case "gelu": .gelu
            case "gelu_new", "gelu_pytorch_tanh": .geluTanh
            case "relu": .relu
            case "silu", "swish": .silu
            default: throw unsupported("hidden_act", json.hiddenAct)
            }
        func size(_ key: String, _ value: Int) throws -> Int {
            guard (1...Self.largest).contains(value) else { throw Self.malformed(path, "\(key) is \(value)") }
            return value
        }
        layers = try size("num_hidden_layers", json.numHiddenLayers)
        heads = try size("num_attention_heads", json.numAttentionHeads)
        width = try size("hidden_size", json.hiddenSize)
        hiddenWidth = try size("intermediate_size", json.intermediateSize)
        vocabulary = try size("vocab_size", json.vocabSize)
        positions = try size("max_position_embeddings", json.maxPositionEmbeddings)
        tokenTypes = try size("type_vocab_size", json.typeVocabSize)
        guard width % heads == 0 else { throw Self.malformed(path, "\(heads) heads do not share hidden_size \(width) evenly") }
        guard layers <= 1000 else { throw Self.malformed(path, "num_hidden_layers is \(layers)") }
        epsilon = Float(json.layerNormEps)
        guard epsilon > 0, epsilon.isFinite else { throw Self.malformed(path, "layer_norm_eps is \(json.layerNormEps)") }
        pooling = try Self.pooling(folder)
        maximumTokens = nil
        let lengthPath = folder + "/sentence_bert_config.json"
        if FileManager.default.fileExists(atPath: lengthPath) {
            let most = (try Self.decode(lengthPath) as LengthJSON).maxSeqLength
            if let most, most < 3 { throw Self.malformed(lengthPath, "max_seq_length is \(most)") }
            maximumTokens = most
        }
    }

    private static func pooling(_ folder: String) throws -> Pooling {
        let path = folder + "/1_Pooling/config.json"
        guard FileManager.default.fileExists(atPath: path) else { return .mean }
        let modes: [String: PoolingValue] = try decode(path)
        let chosen = modes.filter { $0.key.hasPrefix("pooling_mode_") && $0.value == .truth(true) }.map(\.key).sorted()
        switch chosen {
        case ["pooling_mode_mean_tokens"]: return .mean
        case ["pooling_mode_cls_token"]: return .first
        default:
            throw SwiftletError.unsupported(
                file: path, place: "pooling_mode", reason: chosen.isEmpty ? "no mode is chosen" : "\(chosen.joined(separator: " and ")) is not implemented",
                remedy: "Use a model that pools the mean or the first token.")
        }
    }

    private static func decode<Content: Decodable>(_ path: String) throws -> Content {
        let file = try MappedFile(path: path)
        let data = withExtendedLifetime(file) { Data(file.bytes) }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .useDefaultKeys
        do {
            return try decoder.decode(Content.self, from: data)
        } catch DecodingError.keyNotFound(let key, _) {
            throw malformed(path, "has no '\(key.stringValue)'")
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            throw malformed(path, "'\(context.codingPath.map(\.stringValue).joined(separator: "."))' is of the wrong type")
        } catch DecodingError.dataCorrupted(let context) {
            throw malformed(path, "is not the JSON expected: \(context.debugDescription)")
        }
    }

    private static func malformed(_ path: String, _ reason: String) -> SwiftletError {
        .malformed(file: path, offset: 0, reason: reason, remedy: "Download the file again.")
    }
}

/// The keys of config.json that decide what is computed. Those with defaults in BertConfig are written by every published model all the same.
private struct BERTJSON: Decodable {
    let modelType, hiddenAct: String
    let positionEmbeddingType: String?
    let numHiddenLayers, numAttentionHeads, hiddenSize, intermediateSize, vocabSize, maxPositionEmbeddings, typeVocabSize: Int
    let layerNormEps: Double

    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case hiddenAct = "hidden_act"
        case positionEmbeddingType = "position_embedding_type"
        case numHiddenLayers = "num_hidden_layers"
        case numAttentionHeads = "num_attention_heads"
        case hiddenSize = "hidden_size"
        case intermediateSize = "intermediate_size"
        case vocabSize = "vocab_size"
        case maxPositionEmbeddings = "max_position_embeddings"
        case typeVocabSize = "type_vocab_size"
        case layerNormEps = "layer_norm_eps"
    }
}

private struct LengthJSON: Decodable {
    let maxSeqLength: Int?

    enum CodingKeys: String, CodingKey { case maxSeqLength = "max_seq_length" }
}

/// A value of the pooling file, which holds a size beside its switches.
private enum PoolingValue: Decodable, Equatable {
    case truth(Bool)
    case other

    init(from decoder: any Swift.Decoder) throws {
        self = (try? decoder.singleValueContainer().decode(Bool.self)).map { .truth($0) } ?? .other
    }
}
