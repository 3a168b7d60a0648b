// Small graphs and checks that the tests of the passes share.
import SwiftletGraph
import TestSupport
import Testing

extension GraphBuilder {
    /// A weight of seeded numbers.
    mutating func weight(_ name: String, _ shape: Shape, seed: UInt64 = 7) throws -> ValueID {
        var generator = SeededGenerator(seed: seed &+ UInt64(graph.values.count))
        let store = try WeightStore(generator.floats(shape.elementCount))
        return weight(name, try Weight(name: name, shape: shape, format: .dense(.f32), store: store))
    }
}

extension Graph {
    /// The operations in order.
    var ops: [Op] { nodes.map(\.op) }

    /// The value with this name.
    func value(named name: String) throws -> ValueID {
        ValueID(try #require(values.firstIndex { $0.name == name }))
    }

    func node(named name: String) throws -> Node { try #require(nodes.first { $0.name == name }) }

    mutating func edit(_ name: String, _ change: (inout Node) -> Void) throws {
        change(&nodes[try #require(nodes.firstIndex { $0.name == name })])
    }
}

/// Three tokens of random numbers for each f32 input, indices for the others.
func randomInputs(for graph: Graph, binding: Binding) throws -> [String: NaiveTensor] {
    var generator = SeededGenerator(seed: 99)
    return try Dictionary(
        uniqueKeysWithValues: graph.inputs.map { id in
            let shape = try graph[id].type.shape(under: binding)
            let values = generator.floats(shape.elementCount).map(Double.init)
            return (graph[id].name, NaiveTensor(shape.dimensions, values))
        })
}

func expectClose(_ left: [NaiveTensor], _ right: [NaiveTensor], sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(left.map(\.shape) == right.map(\.shape), sourceLocation: sourceLocation)
    for (a, b) in zip(left.flatMap(\.values), right.flatMap(\.values)) {
        #expect(abs(a - b) <= 1e-9 * max(1e-3, abs(a)), sourceLocation: sourceLocation)
    }
}

/// Runs `pass`, verifies the result, and checks that it computes what `graph` computes for three tokens.
func checked(_ pass: any GraphPass, _ graph: Graph, sourceLocation: SourceLocation = #_sourceLocation) throws -> Graph {
    try graph.verify()
    let result = try pass.run(graph)
    try result.verify()
    let binding: Binding = ["t": 3]
    let inputs = try randomInputs(for: graph, binding: binding)
    var (before, after) = (try NaiveEvaluator(graph), try NaiveEvaluator(result))
    expectClose(try before.run(inputs, binding: binding), try after.run(inputs, binding: binding), sourceLocation: sourceLocation)
    return result
}
