// The tensors of a safetensors file as the weights of an encoder.
import SwiftletFormats
import SwiftletRuntime

/// The tensors of an encoder as weights, each checked against the shape the configuration asks for.
package struct EncoderWeights {
    /// What the name of a matrix of integers gets for that of its scales: the convention of compressed-tensors (github.com/vllm-project/compressed-tensors).
    package static let scaleSuffix = "_scale"
    /// What the key of a linear layer gets for the name of a matrix whose columns were scaled, and for that of what its input is multiplied by.
    package static let (smoothedSuffix, smoothingSuffix) = (".smoothed_weight", ".smoothing")

    private let file: SafetensorsFile
    /// Models saved with a head on top have their encoder under `bert.`.
    let prefix: String

    init(_ file: SafetensorsFile) {
        self.file = file
        prefix = file.tensor(named: "bert.embeddings.word_embeddings.weight") == nil ? "" : "bert."
    }

    func has(_ name: String) -> Bool { file.tensor(named: prefix + name) != nil }

    /// The tensor `name` of exactly `shape`, in f32, f16 or bf16, or of 8-bit integers with scales beside it.
    func weight(_ name: String, _ shape: Shape) throws -> Weight {
        let tensor = try file.requiredTensor(named: prefix + name)
        guard tensor.shape == shape else {
            throw SwiftletError.malformed(
                file: file.path, offset: tensor.fileOffset, reason: "tensor '\(tensor.name)' has the shape \(tensor.shape), config.json asks for \(shape)",
                remedy: "Take both files from one model.")
        }
        if tensor.type == .i8 { return try scaled(tensor, name) }
        guard [.f32, .f16, .bf16].contains(tensor.type) else {
            throw SwiftletError.unsupported(
                file: file.path, place: "tensor '\(tensor.name)'", reason: "weights of type \(tensor.type.rawValue) are not read",
                remedy: "Export the model as F32, F16 or BF16.")
        }
        return try Weight(name: tensor.name, shape: shape, format: tensor.format, store: tensor.store)
    }

    /// A matrix of integers times the scales `<name>_scale` of its rows, `[rows, groups]`: blocks of Q8_0 where those are the same numbers, else f32.
    private func scaled(_ tensor: SafetensorsTensor, _ name: String) throws -> Weight {
        let scale = try file.requiredTensor(named: prefix + name + Self.scaleSuffix)
        guard tensor.shape.rank == 2, scale.shape.rank == 2, scale.shape[0] == tensor.shape[0], scale.shape[1] > 0, tensor.shape[1] % scale.shape[1] == 0,
            [.f32, .f16, .bf16].contains(scale.type)
        else {
            throw SwiftletError.malformed(
                file: file.path, offset: scale.fileOffset, reason: "'\(scale.name)' \(scale.shape) of \(scale.type.rawValue) is no scale of the rows of \(tensor.shape)",
                remedy: "Write the model again.")
        }
        let values = try Weight(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store)
        let scales = try Weight(name: scale.name, shape: scale.shape, format: scale.format, store: scale.store)
        if let blocks = try Weight(name: tensor.name, values: values, scales: scales) { return blocks }
        let group = tensor.shape[1] / scale.shape[1]
        let factors = try scale.dequantized()
        let floats = try tensor.dequantized().enumerated().map { $1 * factors[$0 / group] }
        return try Weight(name: tensor.name, shape: tensor.shape, format: .dense(.f32), store: WeightStore(floats))
    }

    /// A vector in f32: kernels read norms and biases as they lie.
    func vector(_ name: String, _ count: Int) throws -> Weight { try weight(name, [count]).widened(name: name) }

    /// One row of a matrix, as a vector in f32.
    func row(_ index: Int, of name: String, _ rows: Int, _ columns: Int) throws -> Weight {
        let row = try weight(name, [rows, columns]).rows(index..<index + 1, name: name)
        return try Weight(name: name, shape: [columns], format: row.format, store: row.store).widened(name: name)
    }
}
