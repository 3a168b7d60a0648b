// x·Wᵀ + b → linear with a bias, for one constant number a column: added while a tile of outputs is still in cache.

/// Fuses a linear without a bias with the addition of a constant row that is its only reader.
public struct FuseBias: GraphPass {
    public let name = "bias"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let add = rewriter[index] else { continue }
            for (product, constant) in add.operands(ofCommutative: .add) {
                guard let producer = rewriter.soleProducer(of: product), let node = rewriter[producer], var linear = node.plainLinear, !linear.hasBias,
                    let result = add.outputs.first, rewriter.type(of: product) == rewriter.type(of: result),
                    let columns = rewriter.type(of: product).shape.last?.fixed, let bias = rewriter.row(constant, columns: columns)
                else { continue }
                linear.hasBias = true
                let biasID = try rewriter.constant(bias, name: "\(node.name).bias")
                rewriter.replace(
                    [producer], with: Node(name: node.name, op: .linear(linear), inputs: node.inputs + [biasID], outputs: add.outputs), at: index)
                break
            }
        }
        return rewriter.result()
    }
}

extension GraphRewriter {
    /// The numbers of a constant that is one f32 row of so many columns, whatever axes of one lie before them.
    fileprivate func row(_ id: ValueID, columns: Int) -> [Float]? {
        guard let weight = self[value: id].weight, weight.format == .dense(.f32), weight.shape.dimensions.last == columns,
            weight.shape.dimensions.dropLast().allSatisfy({ $0 == 1 })
        else { return nil }
        return floats(id)
    }
}
