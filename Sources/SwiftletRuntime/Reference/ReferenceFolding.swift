// Computing constants: a node whose operands are weights, run by its definition.
import SwiftletGraph

extension ReferenceBackend {
    /// The results of a node that reads only weights, as dense weights: an evaluator for constant folding and for imports.
    package static func evaluate(_ node: Node, in graph: Graph) throws -> [Weight] {
        let inputs = try node.inputs.map { id in
            guard let weight = graph[id].weight else {
                throw SwiftletError.invalidGraph(node: node.name, reason: "reads '\(graph[id].name)', which is no constant", remedy: "Fold constants only.")
            }
            return ReferenceTensor(
                shape: weight.shape.dimensions, format: weight.format, bytes: weight.store.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) })
        }
        let results = try node.outputs.map { id in
            let type = graph[id].type
            return (shape: try type.shape(under: [:]), element: type.element, memory: try AlignedMemory(byteCount: type.byteCount(under: [:]), purpose: "constant"))
        }
        let outputs = results.map { ReferenceTensor(shape: $0.shape.dimensions, format: .dense($0.element), bytes: $0.memory.base) }
        if node.op.aliasesFirstInput, let from = inputs[0].bytes {
            outputs[0].bytes?.copyMemory(from: from, byteCount: results[0].memory.bytes.count)
        } else {
            try withExtendedLifetime(graph) { try ReferenceStep(node: node, inputs: inputs, outputs: outputs, pool: nil).run() }
        }
        return try zip(node.outputs, results).map { id, result in
            try Weight(
                name: graph[id].name, shape: result.shape, format: .dense(result.element),
                store: WeightStore(bytes: UnsafeRawBufferPointer(result.memory.bytes), owner: result.memory))
        }
    }
}
