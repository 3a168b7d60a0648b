// Named tensors of a GGUF file as weights of a graph, each checked against the shape the architecture expects.
import SwiftletFormats
import SwiftletRuntime

/// Hands out weights by name.
struct WeightSource {
    let file: GGUFFile

    func contains(_ name: String) -> Bool { file.hasWeight(named: name) }

    /// The tensor `name` of exactly `shape` (outermost first).
    func weight(_ name: String, _ shape: Shape) throws -> Weight {
        let found = try file.shapeOfWeight(named: name)
        guard found.shape == shape else {
            throw SwiftletError.malformed(
                file: file.path, offset: found.fileOffset, reason: "tensor '\(name)' has the shape \(found.shape), the metadata asks for \(shape)",
                remedy: "Convert the model again.")
        }
        let (format, store) = try file.weight(named: name)
        return try Weight(name: name, shape: shape, format: format, store: store)
    }

    /// A vector in f32: norms and biases are read directly by kernels, so other dense types are widened here.
    func vector(_ name: String, _ count: Int) throws -> Weight { try weight(name, [count]).widened(name: name) }

    /// The number of rows of a matrix: how many tokens an embedding table knows.
    func rows(of name: String) throws -> Int {
        let found = try file.shapeOfWeight(named: name)
        guard found.shape.rank == 2 else {
            throw SwiftletError.malformed(
                file: file.path, offset: found.fileOffset, reason: "tensor '\(name)' has the shape \(found.shape), a matrix is needed",
                remedy: "Convert the model again.")
        }
        return found.shape[0]
    }
}
