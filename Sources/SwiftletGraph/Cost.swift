// What a graph costs, from its shapes alone: parameters, bytes of weights, multiply-accumulates.

extension Graph {
    /// Elements of all weights that nodes read, each weight once.
    public var parameterCount: Int { weights.reduce(0) { $0 + $1.weight.shape.elementCount } }

    /// Bytes of all weights that nodes read, each weight once.
    public var weightBytes: Int { weights.reduce(0) { $0 + $1.weight.store.byteCount } }

    /// Bytes of weights that the computation of one token reads: every weight as often as a node reads it, but only one row where rows are
    /// looked up. The figure that bounds the speed of generation by the bandwidth of the memory.
    public var weightBytesPerToken: Int {
        nodes.reduce(0) { total, node in
            node.inputs.enumerated().reduce(total) { total, operand in
                guard let weight = self[operand.element].weight else { return total }
                return total
                    + (node.op.readsOneRow(of: operand.offset)
                        ? weight.store.byteCount / max(1, weight.shape.dimensions.first ?? 1) : weight.store.byteCount)
            }
        }
    }

    /// Multiply-accumulates of one run: those of the matrix products, and of attention over the whole context (an upper bound: a token
    /// attends only to the ones before it). Element-wise work is not counted, as is the custom.
    ///
    /// Throws `SwiftletError.invalidArgument` when a symbol is unbound or the number overflows.
    public func multiplyAccumulates(under binding: Binding) throws -> Int { try symbolicMultiplyAccumulates().resolved(binding) }

    /// The same with the sizes as symbols.
    package func symbolicMultiplyAccumulates() throws -> SymbolicCount {
        try nodes.reduce(SymbolicCount()) { total, node in
            var sum: SymbolicCount? = total
            for product in multiplyAccumulateFactors(of: node) {
                sum = SymbolicCount(productOf: product).flatMap { sum?.adding($0) }
            }
            guard let sum else {
                throw SwiftletError.invalidGraph(
                    node: node.name, reason: "the number of multiply-accumulates overflows", remedy: "Check the sizes of the operands.")
            }
            return sum
        }
    }

    /// The sizes whose products add up to the multiply-accumulates of a node.
    private func multiplyAccumulateFactors(of node: Node) -> [[Dimension]] {
        switch node.op {
        case .linear(let linear):
            node.inputs.dropFirst().prefix(linear.weightCount).map { self[node.inputs[0]].type.shape + [self[$0].type.shape[0]] }
        case .attention(let attention):
            // Scores and the weighted sum of the values: one product each.
            [self[node.inputs[0]].type.shape + [attendedLength(attention, keys: self[node.inputs[1]].type), 2]]
        case .embedding, .gatherRows, .rmsNorm, .layerNorm, .softmax, .unary, .binary, .rotaryTable, .rotary, .cacheWrite, .reshape: []
        case .tensor(let op): multiplyAccumulateFactors(of: op, operands: node.inputs.map { self[$0].type }, results: node.outputs.map { self[$0].type })
        }
    }

    private func multiplyAccumulateFactors(of op: TensorOp, operands: [ValueType], results: [ValueType]) -> [[Dimension]] {
        switch op {
        case .matmul, .quantizedLinear: [results[0].shape + [operands[0].shape[operands[0].shape.count - 1]]]
        // Every output adds up a kernel over the channels of its group.
        case .convolution, .deformableConvolution, .quantizedConvolution: [results[0].shape + operands[1].shape.dropFirst()]
        // Every input is multiplied with the kernels of its group's outputs.
        case .transposedConvolution: [operands[0].shape + operands[1].shape.dropFirst()]
        // A row of x and a row of the hidden state with the weights of each direction.
        case .recurrent: [operands[0].shape.prefix(2) + operands[1].shape, operands[0].shape.prefix(2) + operands[2].shape]
        case .pool, .resize, .gridSample, .roiAlign, .select, .cast, .bitcast, .quantize, .dequantize, .quantizedSum, .quantizedMean, .transpose, .slice, .concat, .pad, .expand,
            .gather, .gatherElements, .gatherND, .scatterElements, .scatterND, .reduce, .argument, .topK, .cumulative:
            []
        }
    }

    /// The rows a token attends to at most: the context of the cache, or the window when that is shorter or the context is not known.
    private func attendedLength(_ attention: Attention, keys: ValueType) -> Dimension {
        guard let window = attention.window else { return keys.shape[2] }
        return Dimension(min(window, keys.shape[2].fixed ?? window))
    }
}

extension Op {
    /// Whether the operand is a table from which each token takes a row.
    fileprivate func readsOneRow(of position: Int) -> Bool { (self == .embedding || self == .gatherRows) && position == 0 }
}
