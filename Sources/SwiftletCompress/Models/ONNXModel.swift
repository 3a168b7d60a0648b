// A network in an ONNX file, for inputs of fixed shapes.
import SwiftletFormats
import SwiftletNetwork
import SwiftletRuntime

/// A network to compress.
public struct ONNXModel: CompressibleModel {
    package let file: ONNXFile
    public let graph: Graph
    public let passes = PassPipeline.network

    /// Imports a file for the shapes it declares, those in `shapes` (by input) where it leaves them open.
    ///
    /// Throws what reading and importing throw: `SwiftletError.unsupported` where shapes depend on data.
    public init(path: String, shapes: [String: [Int]] = [:]) throws {
        file = try ONNXFile(path: path)
        var graph = try DeadCodeElimination().run(NetworkGraph(file, shapes: shapes).graph)
        // The import names values after nodes; who runs the model asks for outputs by the file's names.
        for (id, output) in zip(graph.outputs, file.graph.outputs) {
            guard case .node = graph[id].origin, graph.outputs.count(where: { $0 == id }) == 1 else { continue }
            var value = Value(name: output.name, type: graph[id].type, origin: .node)
            value.quantized = graph[id].quantized
            graph[id] = value
        }
        self.graph = graph
    }

    public var path: String { file.path }

    public func write(_ graph: Graph, to path: String) throws { try ONNXWriter(graph).write(to: path) }
}
