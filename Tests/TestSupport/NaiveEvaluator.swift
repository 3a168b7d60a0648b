// Runs a graph with the naive operations, node by node, in Double. Integers are kept as Doubles too, which hold them exactly.
// States keep Double precision whatever their format: what a cache in f16 rounds away is the business of the tests that compare with this.
import SwiftletGraph

/// A tensor of Doubles, row-major.
package struct NaiveTensor: Sendable, Equatable {
    package var shape: [Int]
    package var values: [Double]

    package init(_ shape: [Int], _ values: [Double]) {
        self.shape = shape
        self.values = values
    }

    package init(_ integers: [Int]) { self.init([integers.count], integers.map(Double.init)) }

    /// The elements of a weight, whatever its format.
    package init(_ weight: Weight) throws {
        let floats = try weight.format.dequantizeRow(weight.store.bytes, elements: weight.shape.elementCount)
        self.init(weight.shape.dimensions, floats.map(Double.init))
    }

    package var integers: [Int] { values.map { Int($0) } }
    fileprivate var width: Int { shape.last ?? 1 }
}

/// A graph, the sizes bound for the session (`slots`, `context`), and its states, which live from run to run.
package struct NaiveEvaluator {
    private let graph: Graph
    private let roots: [ValueID: ValueID]
    private var states: [ValueID: NaiveTensor] = [:]

    /// Makes the states, all zero. `binding` has the symbols of their shapes.
    package init(_ graph: Graph, binding: Binding = [:]) throws {
        self.graph = graph
        roots = graph.storageRoots()
        for id in graph.states {
            let shape = try graph[id].type.shape(under: binding)
            states[id] = NaiveTensor(shape.dimensions, [Double](repeating: 0, count: shape.elementCount))
        }
    }

    /// The outputs of the graph for these inputs. The symbols of the inputs' shapes are bound by `binding`.
    package mutating func run(_ inputs: [String: NaiveTensor], binding: Binding) throws -> [NaiveTensor] {
        var results: [ValueID: NaiveTensor] = [:]
        for id in graph.inputs {
            let expected = try graph[id].type.shape(under: binding).dimensions
            guard let tensor = inputs[graph[id].name], tensor.shape == expected else {
                throw SwiftletError.invalidArgument(name: graph[id].name, reason: "has no tensor of shape \(expected)", remedy: "Pass one.")
            }
            results[id] = tensor
        }
        func value(_ id: ValueID, _ states: [ValueID: NaiveTensor]) throws -> NaiveTensor {
            if let tensor = results[id] ?? states[roots[id] ?? id] { return tensor }
            guard let weight = graph[id].weight else {
                throw SwiftletError.invalidGraph(node: graph[id].name, reason: "has no content", remedy: "Verify the graph.")
            }
            let tensor = try NaiveTensor(weight)
            results[id] = tensor
            return tensor
        }
        for node in graph.nodes {
            let operands = try node.inputs.map { try value($0, states) }
            if node.op == .cacheWrite {
                let root = roots[node.inputs[0]] ?? node.inputs[0]
                states[root] = Self.cacheWrite(operands)
                continue
            }
            let shapes = try node.outputs.map { try graph[$0].type.shape(under: binding).dimensions }
            let computed = Self.evaluate(node.op, operands, shapes)
            for (id, tensor) in zip(node.outputs, computed) { results[id] = tensor }
        }
        return try graph.outputs.map { try value($0, states) }
    }

    /// The results of one node that reads only weights, as f32: an evaluator for constant folding.
    package static func fold(_ node: Node, _ graph: Graph) throws -> [Weight] {
        let operands = try node.inputs.compactMap { try graph[$0].weight.map { try NaiveTensor($0) } }
        let shapes = try node.outputs.map { try graph[$0].type.shape(under: [:]).dimensions }
        return try zip(node.outputs, evaluate(node.op, operands, shapes)).map { id, tensor in
            try Weight(
                name: graph[id].name, shape: Shape(tensor.shape), format: .dense(.f32), store: WeightStore(tensor.values.map { Float($0) }))
        }
    }

    /// The results of an operation, of the given shapes.
    private static func evaluate(_ op: Op, _ x: [NaiveTensor], _ shapes: [[Int]]) -> [NaiveTensor] {
        func result(_ values: [Double]) -> [NaiveTensor] { [NaiveTensor(shapes[0], values)] }
        switch op {
        case .linear(let linear): return Self.linear(linear, x, shapes)
        case .embedding, .gatherRows:
            let rowElements = x[0].shape.dropFirst().reduce(1, *)
            return result(x[1].integers.flatMap { x[0].values[$0 * rowElements..<($0 + 1) * rowElements] })
        case .rmsNorm(let epsilon):
            let scale = x.count > 1 ? x[1].values : nil
            return result(NaiveOps.rmsNorm(x[0].values, scale: scale, epsilon: Double(epsilon), width: x[0].width))
        case .layerNorm(let epsilon):
            let bias = x.count > 2 ? x[2].values : nil
            return result(
                NaiveOps.layerNorm(x[0].values, scale: x[1].values, bias: bias, epsilon: Double(epsilon), width: x[0].width))
        case .softmax: return result(NaiveOps.softmax(x[0].values, width: x[0].width))
        case .unary(let function): return result(x[0].values.map { NaiveOps.unary(function, $0) })
        case .binary(let function):
            let (a, b) = (broadcast(x[0], to: shapes[0]), broadcast(x[1], to: shapes[0]))
            return result(zip(a, b).map { NaiveOps.binary(function, $0, $1) })
        case .rotaryTable(let table):
            return result(NaiveOps.rotaryTable(table, positions: x[0].integers, factors: x.count > 1 ? x[1].values : nil))
        case .rotary(let layout):
            return result(
                NaiveOps.rotary(
                    x[0].values, table: x[1].values, layout: layout, heads: x[0].shape[1], headDimension: x[0].shape[2],
                    dimensions: x[1].width))
        case .attention(let attention):
            return result(
                NaiveOps.attention(
                    attention, query: x[0].values, keys: x[1].values, values: x[2].values, context: x[1].shape[2],
                    positions: x[3].integers, slots: x[4].integers))
        case .cacheWrite: return [cacheWrite(x)]
        case .reshape: return result(x[0].values)
        case .tensor: preconditionFailure("operations of imported networks are compared with published vectors")
        }
    }

    private static func linear(_ linear: Linear, _ x: [NaiveTensor], _ shapes: [[Int]]) -> [NaiveTensor] {
        let width = x[0].width
        let rows = x[0].shape.dropLast().reduce(1, *)
        let products = (1...linear.weightCount).map { index in
            NaiveOps.linear(
                x[0].values, x[index].values, bias: linear.hasBias ? x[index + linear.weightCount].values : nil, rows: rows, width: width,
                columns: x[index].shape[0])
        }
        let finished =
            switch linear.epilogue {
            case .none: products
            case .activation(let function): products.map { $0.map { NaiveOps.unary(function, $0) } }
            case .gated(let function): [zip(products[0], products[1]).map { NaiveOps.unary(function, $0) * $1 }]
            case .residual: [zip(products[0], x[x.count - 1].values).map(+)]
            }
        return zip(shapes, finished).map { NaiveTensor($0, $1) }
    }

    private static func cacheWrite(_ x: [NaiveTensor]) -> NaiveTensor {
        var cache = x[0]
        let (heads, context, width) = (cache.shape[1], cache.shape[2], cache.shape[3])
        for (token, (position, slot)) in zip(x[2].integers, x[3].integers).enumerated() {
            for head in 0..<heads {
                let target = ((slot * heads + head) * context + position) * width
                let source = (token * heads + head) * width
                cache.values.replaceSubrange(target..<target + width, with: x[1].values[source..<source + width])
            }
        }
        return cache
    }

    /// The elements of `tensor` repeated to `shape` by NumPy's rules.
    private static func broadcast(_ tensor: NaiveTensor, to shape: [Int]) -> [Double] {
        let padded = [Int](repeating: 1, count: shape.count - tensor.shape.count) + tensor.shape
        return (0..<shape.reduce(1, *)).map { flat in
            var (rest, offset, stride) = (flat, 0, 1)
            for axis in shape.indices.reversed() {
                let coordinate = rest % shape[axis]
                rest /= shape[axis]
                if padded[axis] != 1 { offset += coordinate * stride }
                stride *= padded[axis]
            }
            return tensor.values[offset]
        }
    }
}
