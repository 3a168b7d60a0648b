// Named tensors of a GGUF file as weights of a graph, each checked against the shape the architecture expects.
import SwiftletFormats
import SwiftletRuntime

/// Hands out weights by name.
struct WeightSource {
    let file: GGUFFile

    func contains(_ name: String) -> Bool { file.tensor(named: name) != nil }

    /// The tensor `name` of exactly `shape` (outermost first).
    func weight(_ name: String, _ shape: Shape) throws -> Weight {
        let tensor = try file.requiredTensor(named: name)
        guard tensor.shape == shape else {
            throw SwiftletError.malformed(
                file: file.path, offset: tensor.fileOffset, reason: "tensor '\(name)' has the shape \(tensor.shape), the metadata asks for \(shape)",
                remedy: "Convert the model again.")
        }
        return try Weight(name: name, shape: shape, format: tensor.format, store: tensor.store)
    }

    /// A vector in f32: norms and biases are read directly by kernels, so other dense types are widened here.
    func vector(_ name: String, _ count: Int) throws -> Weight { try weight(name, [count]).widened(name: name) }

    /// The number of rows of a matrix: how many tokens an embedding table knows.
    func rows(of name: String) throws -> Int {
        let tensor = try file.requiredTensor(named: name)
        guard tensor.shape.rank == 2 else {
            throw SwiftletError.malformed(
                file: file.path, offset: tensor.fileOffset, reason: "tensor '\(name)' has the shape \(tensor.shape), a matrix is needed",
                remedy: "Convert the model again.")
        }
        return tensor.shape[0]
    }
}
