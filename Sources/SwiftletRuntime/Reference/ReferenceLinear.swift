// Matrix products and look-ups of rows.

extension ReferenceStep {
    /// `epilogue(x·Wᵀ + b)`. The epilogue works on the sums before they are rounded.
    func linear(_ linear: Linear) throws {
        let products = try (1...linear.weightCount).map { index in
            try product(with: inputs[index], bias: linear.hasBias ? inputs[index + linear.weightCount] : nil)
        }
        switch linear.epilogue {
        case .none: for (output, product) in zip(outputs, products) { try output.store(product) }
        case .activation(let function): for (output, product) in zip(outputs, products) { try output.store(product.map(function.callAsFunction)) }
        case .gated(let function): try outputs[0].store(zip(products[0], products[1]).map { function($0) * $1 })
        case .residual: try outputs[0].store(zip(products[0], inputs[inputs.count - 1].values()).map(+))
        }
    }

    /// `x·Wᵀ + b` as `[rows of x, rows of W]`.
    private func product(with weight: ReferenceTensor, bias: ReferenceTensor?) throws -> [Double] {
        let (rows, features) = (inputs[0].rows, weight.shape[0])
        let activations = TokenLanes(try inputs[0].values(), rows: rows, width: inputs[0].width)
        let bias = try bias?.values()
        var result = [Double](repeating: 0, count: rows * features)
        let featuresPerTask = 16
        try result.withUnsafeMutableBufferPointer { result in
            try forEach((features + featuresPerTask - 1) / featuresPerTask) { task in
                for feature in task * featuresPerTask..<min(features, (task + 1) * featuresPerTask) {
                    let coefficients = try weight.row(feature)
                    for group in 0..<activations.groupCount {
                        let sums = activations.dot(coefficients, group: group)
                        for token in group * 8..<min(rows, group * 8 + 8) { result[token * features + feature] = sums[token % 8] + (bias?[feature] ?? 0) }
                    }
                }
            }
        }
        return result
    }

    /// `out[i] = table[ids[i]]`
    func embedding() throws { try selectRows() }

    /// `out[i] = x[indices[i]]`
    func gatherRows() throws { try selectRows() }

    /// A row is everything behind the first axis.
    private func selectRows() throws {
        let (table, indices) = (inputs[0], try inputs[1].indices(below: inputs[0].shape[0], node: node.name))
        let rowElements = table.shape.dropFirst().reduce(1, *)
        let rows = ReferenceTensor(shape: [table.shape[0], rowElements], format: table.format, bytes: table.bytes)
        for (target, index) in indices.enumerated() { try outputs[0].store(rows.row(index), at: target * rowElements) }
    }
}

/// Rows of activations in groups of eight tokens, so that one pass over a weight row serves eight sums (each still added up in order).
private struct TokenLanes {
    let groupCount: Int
    private let width: Int
    private let lanes: [SIMD8<Double>]

    init(_ values: [Double], rows: Int, width: Int) {
        groupCount = (rows + 7) / 8
        self.width = width
        var lanes = [SIMD8<Double>](repeating: .zero, count: groupCount * width)
        for token in 0..<rows {
            for index in 0..<width { lanes[token / 8 * width + index][token % 8] = values[token * width + index] }
        }
        self.lanes = lanes
    }

    func dot(_ coefficients: [Double], group: Int) -> SIMD8<Double> {
        lanes.withUnsafeBufferPointer { lanes in
            coefficients.withUnsafeBufferPointer { coefficients in
                var sums = SIMD8<Double>.zero
                for index in 0..<width { sums += lanes[group * width + index] * coefficients[index] }
                return sums
            }
        }
    }
}
