// The distinct layers of a model, from its graph: the shapes kernels are timed on where nobody has written a shape file.
import SwiftletFormats
import SwiftletGraph
import SwiftletKernelCases
import SwiftletLanguage

extension Layer {
    /// The layers of the language model in a GGUF file. Throws `SwiftletError` when it cannot be read or is no language model that this version runs.
    package static func layers(ofModel path: String) throws -> [Layer] {
        let file = try GGUFFile(path: path)
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return layers(of: try LanguageModel.graph(of: file), model: name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name)
    }

    /// One layer for each distinct shape of a matrix product, attention, or row operation of a graph, with how often one token meets it.
    ///
    /// Matrices are named by the tensors that share the shape ("attn_q+attn_output"), without the number of their block. Shapes kernels do not take
    /// (rows that are no multiple of 32, heads wider than 256) and sizes that are symbols are left out.
    package static func layers(of graph: Graph, model: String) -> [Layer] {
        var matrices = ShapeCounter(), heads = ShapeCounter(), rows = ShapeCounter()
        for node in graph.nodes {
            switch node.op {
            case .linear(let linear):
                for input in node.inputs.dropFirst().prefix(linear.weightCount) {
                    guard let weight = graph[input].weight, weight.shape.rank == 2, weight.shape[1] % 32 == 0 else { continue }
                    matrices.add(
                        .linear(format: weight.format, outputs: weight.shape[0], inputs: weight.shape[1]), name: tensorName(graph[input].name))
                }
                // The activation or gate, the residual, and for the logits whatever is done with them.
                for output in node.outputs { rows.add(vector: graph[output].type, name: tensorName(graph[output].name)) }
            case .attention(let attention):
                guard attention.headDimension % 32 == 0, attention.headDimension <= 256 else { continue }
                heads.add(
                    .attention(heads: attention.heads, keyValueHeads: attention.keyValueHeads, headDimension: attention.headDimension),
                    name: "attention")
            case .rmsNorm, .layerNorm, .softmax, .unary, .binary:
                for output in node.outputs { rows.add(vector: graph[output].type, name: tensorName(graph[output].name)) }
            case .embedding, .gatherRows, .rotaryTable, .rotary, .cacheWrite, .reshape, .tensor: continue
            }
        }
        return [matrices, heads, rows].flatMap { $0.layers(model: model) }
    }

    /// "blk.12.attn_q.weight" → "attn_q".
    private static func tensorName(_ name: String) -> String {
        var parts = name.split(separator: ".").filter { $0 != "weight" && Int($0) == nil }
        if parts.count > 1, parts[0] == "blk" { parts.removeFirst() }
        return parts.joined(separator: ".")
    }
}

/// Layers by shape, in order of first appearance.
private struct ShapeCounter {
    typealias Shape = Layer.Shape

    private var order: [(shape: Shape, names: [String], count: Int)] = []

    mutating func add(_ shape: Shape, name: String) {
        guard let index = order.firstIndex(where: { $0.shape == shape }) else { return order.append((shape, [name], 1)) }
        order[index].count += 1
        if !order[index].names.contains(name) { order[index].names.append(name) }
    }

    mutating func add(vector type: ValueType, name: String) {
        guard let elements = type.shape.last?.fixed, elements > 0 else { return }
        add(.vector(elements: elements), name: name)
    }

    /// Layers under names that no two share: where the same tensors come in two shapes or formats, the later one's size is added.
    func layers(model: String) -> [Layer] {
        var taken: Set<String> = []
        return order.map { entry in
            var name: String
            switch entry.shape {
            case .vector(let elements): name = "width\(elements)"
            case .attention, .linear, .convolution: name = entry.names.joined(separator: "+")
            }
            if taken.contains(name) {
                switch entry.shape {
                case .linear(let format, let outputs, let inputs): name += "-\(format)-\(outputs)x\(inputs)"
                case .attention(let heads, let shared, let dimension): name += "-\(heads)-\(shared)-\(dimension)"
                case .vector, .convolution: break
                }
            }
            taken.insert(name)
            return Layer(model: model, name: name, count: entry.count, shape: entry.shape)
        }
    }
}
