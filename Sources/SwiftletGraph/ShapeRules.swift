// Shape inference: the types of a node's outputs from the types of its operands, and the errors when they do not fit.

extension Op {
    /// The types of the outputs. Throws `SwiftletError.invalidGraph` naming `node` when count, element types or shapes are wrong.
    public func outputTypes(for operands: [ValueType], node: String) throws -> [ValueType] {
        let rule = ShapeRule(node: node, operands: operands)
        switch self {
        case .linear(let linear): return try rule.linear(linear)
        case .embedding:
            try rule.count(2)
            try rule.require(operands[0].shape.count == 2, "the table must be a matrix")
            try rule.float(0)
            try rule.indices(1)
            return [ValueType(.f32, operands[1].shape + [operands[0].shape[1]])]
        case .gatherRows:
            try rule.count(2)
            try rule.require(operands[0].shape.count >= 1, "the operand must have rows")
            try rule.indices(1)
            return [ValueType(operands[0].element, operands[1].shape + operands[0].shape.dropFirst())]
        case .rmsNorm:
            try rule.count(1...2)
            try rule.float(0)
            if operands.count == 2 { try rule.lastAxisVector(1) }
            return [operands[0]]
        case .layerNorm:
            try rule.count(2...3)
            try rule.float(0)
            for index in 1..<operands.count { try rule.lastAxisVector(index) }
            return [operands[0]]
        case .softmax:
            try rule.count(1)
            try rule.float(0)
            return [operands[0]]
        case .unary(let function):
            try rule.count(1)
            try rule.require(function.takes(operands[0].element), "\(function) does not take \(operands[0].element)")
            return [function.isTest ? ValueType(.bool, operands[0].shape) : operands[0]]
        case .binary(let function):
            try rule.count(2)
            // An f32 beside an image of bf16 is not rounded to it first.
            let isMixed = operands[0].element == .bf16 && operands[1].element == .f32 && !function.isComparison
            try rule.require(operands[0].element == operands[1].element || isMixed, "the operands differ in element type")
            try rule.require(function.takes(operands[0].element), "\(function) does not take \(operands[0].element)")
            return [ValueType(function.isComparison ? .bool : operands[0].element, try rule.broadcast(operands[0].shape, operands[1].shape))]
        case .tensor(let op): return try op.outputTypes(rule)
        case .rotaryTable(let table):
            try rule.count(table.hasFactors ? 2 : 1)
            try rule.indices(0)
            try rule.require(table.dimensions > 0 && table.dimensions % 2 == 0, "the rotated dimensions must be even and positive")
            if table.hasFactors {
                try rule.require(operands[1].shape == [Dimension(table.dimensions / 2)], "one factor a rotated pair is needed")
            }
            return [ValueType(.f32, operands[0].shape + [Dimension(table.dimensions)])]
        case .rotary:
            try rule.count(2)
            try rule.float(0)
            try rule.float(1)
            let (x, table) = (operands[0].shape, operands[1].shape)
            try rule.require(x.count == 3 && table.count == 2 && x[0] == table[0], "needs [t, heads, headDim] and a table [t, dimensions]")
            if let head = x[2].fixed, let rotated = table[1].fixed {
                try rule.require(rotated <= head, "rotates \(rotated) dimensions of heads that have \(head)")
            }
            return [operands[0]]
        case .cacheWrite:
            try rule.count(4)
            try rule.float(1)
            let (state, x) = (operands[0].shape, operands[1].shape)
            try rule.require(
                state.count == 4 && x.count == 3 && state[1] == x[1] && state[3] == x[2],
                "a cache [slots, heads, context, headDim] needs rows [t, heads, headDim]")
            try rule.tokenIndices([2, 3], count: x[0])
            return [operands[0]]
        case .attention(let attention): return try rule.attention(attention)
        case .reshape(let shape):
            try rule.count(1)
            let type = ValueType(operands[0].element, shape)
            let counts = (SymbolicCount(productOf: operands[0].shape), SymbolicCount(productOf: shape))
            guard let from = counts.0, let to = counts.1 else { throw rule.failure("the element count of \(type) overflows") }
            try rule.require(from == to, "\(from) elements cannot take the shape \(type)")
            return [type]
        }
    }
}

/// The checks the rules share; every failure names the node and the operand types.
struct ShapeRule {
    let node: String
    let operands: [ValueType]

    func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws {
        if !condition { throw failure(reason()) }
    }

    func failure(_ reason: String) -> SwiftletError {
        let types = operands.map(\.description).joined(separator: ", ")
        return .invalidGraph(
            node: node, reason: "\(reason) (operands: \(types))", remedy: "Correct the operands where the node is built or imported.")
    }

    func count(_ expected: Int) throws { try count(expected...expected) }

    func count(_ expected: ClosedRange<Int>) throws {
        try require(
            expected.contains(operands.count), "takes \(expected.lowerBound) to \(expected.upperBound) operands, has \(operands.count)")
    }

    func float(_ index: Int) throws { try require(operands[index].element.isFloat, "operand \(index) must be a float tensor") }

    func indices(_ index: Int) throws {
        try require(operands[index].element == .i32, "operand \(index) must hold i32 indices")
    }

    /// Operands that hold one index a token.
    func tokenIndices(_ positions: [Int], count: Dimension) throws {
        for position in positions {
            try indices(position)
            try require(operands[position].shape == [count], "operand \(position) must hold \(count) indices")
        }
    }

    func lastAxisVector(_ index: Int) throws {
        try require(
            operands[0].shape.count >= 1 && operands[index].shape == [operands[0].shape[operands[0].shape.count - 1]],
            "operand \(index) must be a vector over the last axis")
    }

    func linear(_ linear: Linear) throws -> [ValueType] {
        try require(linear.weightCount >= 1, "needs a weight")
        try count(linear.inputCount)
        try float(0)
        guard let width = operands[0].shape.last else { throw failure("the input has no axis to multiply") }
        let leading = Array(operands[0].shape.dropLast())
        var results: [ValueType] = []
        for index in 1...linear.weightCount {
            try float(index)
            let weight = operands[index].shape
            try require(weight.count == 2 && weight[1] == width, "weight \(index - 1) must be a matrix with \(width) columns")
            if linear.hasBias {
                try require(operands[index + linear.weightCount].shape == [weight[0]], "bias \(index - 1) must have \(weight[0]) elements")
            }
            results.append(ValueType(.f32, leading + [weight[0]]))
        }
        if linear.isRanked {
            try require(linear.weightCount == 1 && linear.epilogue == .none, "only a product with one weight and nothing behind it can be ranked")
            try require(operands[operands.count - 1] == ValueType(.i32, [1]), "how many elements are wanted must be one i32")
        }
        switch linear.epilogue {
        case .none, .activation: break
        case .gated:
            try require(linear.weightCount == 2 && results[0] == results[1], "a gate needs two weights of the same shape")
            results.removeLast()
        case .residual:
            try require(
                linear.weightCount == 1 && operands[operands.count - 1] == results[0], "the residual must have the output's type")
        }
        return results
    }

    func attention(_ attention: Attention) throws -> [ValueType] {
        try count(5)
        try float(0)
        let query = operands[0].shape
        try require(
            attention.keyValueHeads > 0 && attention.heads % attention.keyValueHeads == 0,
            "\(attention.heads) heads do not share \(attention.keyValueHeads) key/value heads evenly")
        try require(
            query.count == 3 && query[1] == Dimension(attention.heads) && query[2] == Dimension(attention.headDimension),
            "the query must be [t, \(attention.heads), \(attention.headDimension)]")
        for index in 1...2 {
            let cache = operands[index].shape
            try require(
                cache.count == 4 && cache[1] == Dimension(attention.keyValueHeads) && cache[3] == Dimension(attention.headDimension),
                "operand \(index) must be a cache [slots, \(attention.keyValueHeads), context, \(attention.headDimension)]")
        }
        try require(operands[1].shape == operands[2].shape, "keys and values must have the same slots and context")
        try tokenIndices([3, 4], count: query[0])
        return [ValueType(.f32, query)]
    }
}
