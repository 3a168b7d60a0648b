// One node at a time: what constant folding calls. Nothing is compiled or planned, since shape arithmetic folds thousands of tiny nodes.

/// Computes nodes whose operands are all weights, with the definitions of the reference backend.
package enum Evaluator {
    /// The results of `node` as dense weights; reshapes and other renamings share their operand's bytes.
    ///
    /// Throws when an operand is no weight, a size is not known, or the operation does.
    package static func evaluate(_ node: Node, in graph: Graph) throws -> [Weight] {
        let operands = try node.inputs.map { id in
            guard let weight = graph[id].weight else {
                throw SwiftletError.invalidGraph(node: node.name, reason: "operand '\(graph[id].name)' is not constant", remedy: "Run the graph instead.")
            }
            return weight
        }
        let types = node.outputs.map { graph[$0].type }
        if node.op.aliasesFirstInput, let operand = operands.first, let type = types.first {
            return [try Weight(name: node.name, shape: type.shape(under: [:]), format: operand.format(as: type.element), store: operand.store)]
        }
        var results: [(weight: Weight, tensor: ReferenceTensor)] = []
        for type in types {
            let shape = try type.shape(under: [:])
            var address: UnsafeMutableRawPointer?
            let store = try WeightStore(byteCount: type.byteCount(under: [:])) { address = $0.baseAddress }
            let format = WeightFormat.dense(type.element)
            let tensor = ReferenceTensor(shape: shape.dimensions, format: format, bytes: store.byteCount == 0 ? nil : address)
            results.append((try Weight(name: node.name, shape: shape, format: format, store: store), tensor))
        }
        let inputs = operands.map { weight in
            ReferenceTensor(
                shape: weight.shape.dimensions, format: weight.format,
                bytes: weight.store.byteCount == 0 ? nil : weight.store.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) })
        }
        try withExtendedLifetime((operands, results)) {
            try ReferenceStep(node: node, inputs: inputs, outputs: results.map(\.tensor), pool: nil).run()
        }
        return results.map(\.weight)
    }
}

extension Weight {
    /// The format of the same bytes read as another type.
    fileprivate func format(as element: DType) -> WeightFormat {
        if case .dense = format { .dense(element) } else { format }
    }
}
