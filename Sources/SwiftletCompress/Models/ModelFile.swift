// A model of any kind, told apart by its first bytes; an encoder of texts is a folder.
import SwiftletFormats
import SwiftletRuntime

/// Opens files to compress.
public enum ModelFile {
    public enum Kind: Sendable, Hashable { case language, network, encoder }

    /// What a path names: a folder with config.json, or a safetensors file, is an encoder of texts; GGUF files begin with their name, everything else is held
    /// for ONNX, which has no mark of its own.
    ///
    /// Throws `SwiftletError.io` when it cannot be read.
    public static func kind(of path: String) throws -> Kind {
        if EncoderModel.isEncoder(path) { return .encoder }
        let file = try MappedFile(path: path)
        return withExtendedLifetime(file) { file.bytes.starts(with: Array("GGUF".utf8)) } ? .language : .network
    }

    /// Opens a model. `context` is the longest window of text that calibration uses, `shapes` are those of inputs
    /// whose sizes a network leaves open.
    public static func open(_ path: String, context: Int?, shapes: [String: [Int]]) throws -> any CompressibleModel {
        let kind = try kind(of: path)
        guard kind == .network || shapes.isEmpty else {
            throw SwiftletError.invalidArgument(name: "shape", reason: "\(path) is no network; its inputs have no shapes to choose", remedy: "Leave --shape out.")
        }
        switch kind {
        case .language: return try GGUFModel(path: path, context: context)
        case .network: return try network(path, shapes: shapes)
        case .encoder: return try EncoderModel(path: path)
        }
    }

    /// Opens a network. Where only the first axis of an input is open, the batch, and `shapes` do not say it, it is 1.
    package static func network(_ path: String, shapes: [String: [Int]]) throws -> ONNXModel {
        var shapes = shapes
        for input in try ONNXFile(path: path).graph.requiredInputs where shapes[input.name] == nil {
            guard case .tensor(_, let declared?)? = input.type, let first = declared.first else { continue }
            if case .fixed = first { continue }
            let rest = declared.dropFirst().compactMap { dimension in if case .fixed(let size) = dimension { size } else { nil } }
            if rest.count == declared.count - 1 { shapes[input.name] = [1] + rest }
        }
        return try ONNXModel(path: path, shapes: shapes)
    }
}
