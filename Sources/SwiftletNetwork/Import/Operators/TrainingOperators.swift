// The optimisers of ai.onnx.preview.training: one step for any number of tensors, in elementary operations.
import SwiftletGraph

extension Importer {
    static let trainingOperators: [String: OperatorImporter] = [
        "ai.onnx.preview.training.Adagrad": { try $0.adagrad($1) },
        "ai.onnx.preview.training.Adam": { try $0.adam($1) },
        "ai.onnx.preview.training.Momentum": { try $0.momentum($1) },
    ]

    /// The tensors behind the learning rate and the count of steps, in groups: all parameters, all gradients, then the optimiser's own.
    private func groups(_ call: OperatorCall, _ count: Int) throws -> [[ValueID]] {
        let tensors = try (2..<max(2, call.inputs.count)).map { try call.tensor($0) }
        try call.require(!tensors.isEmpty && tensors.count % count == 0, "\(tensors.count) tensors are no \(count) for each parameter")
        let size = tensors.count / count
        return (0..<count).map { Array(tensors[$0 * size..<($0 + 1) * size]) }
    }

    /// A number that belongs to all tensors, without axes.
    private mutating func scalar(_ call: OperatorCall, _ index: Int) throws -> ValueID {
        let value = try call.tensor(index)
        try call.require(count(value) == 1, "the input \(index) is \(graph[value].type), not one number")
        return try reshape(value, [])
    }

    /// Gradient plus `lambda` times the parameter: the gradient of the squared norm's penalty.
    private mutating func regularised(_ gradient: ValueID, _ parameter: ValueID, _ lambda: Double) throws -> ValueID {
        lambda == 0 ? gradient : try binary(.add, binary(.multiply, parameter, lambda, "penalty"), gradient, "gradient")
    }

    /// Duchi et al., 2011.
    private mutating func adagrad(_ call: OperatorCall) throws -> [Imported] {
        let groups = try groups(call, 3)
        let (decay, epsilon, lambda) = (
            Double(try call.float("decay_factor", 0)), Double(try call.float("epsilon", 1e-6)), Double(try call.float("norm_coefficient", 0))
        )
        let rate = try scalar(call, 0)
        let steps = try cast(scalar(call, 1), element(rate))
        let current = try binary(.divide, rate, binary(.add, binary(.multiply, steps, decay), 1), "rate")
        var (parameters, squares) = ([ValueID](), [ValueID]())
        for ((x, g), sum) in zip(zip(groups[0], groups[1]), groups[2]) {
            let gradient = try regularised(g, x, lambda)
            let square = try binary(.add, sum, binary(.multiply, gradient, gradient), "squares")
            let size = try binary(.add, unary(.squareRoot, square), epsilon, "size")
            parameters.append(try binary(.subtract, x, binary(.divide, binary(.multiply, current, gradient), size), "parameter"))
            squares.append(square)
        }
        return (parameters + squares).map { .tensor($0) }
    }

    /// Kingma and Ba, 2015.
    private mutating func adam(_ call: OperatorCall) throws -> [Imported] {
        let groups = try groups(call, 4)
        let (alpha, beta) = (Double(try call.float("alpha", 0.9)), Double(try call.float("beta", 0.999)))
        let (epsilon, lambda, after) = (
            Double(try call.float("epsilon", 1e-6)), Double(try call.float("norm_coefficient", 0)), Double(try call.float("norm_coefficient_post", 0))
        )
        let rate = try scalar(call, 0)
        let type = element(rate)
        let steps = try cast(scalar(call, 1), type)
        // From the second step on the rate makes up for averages that began at zero: √(1 − βᵗ) / (1 − αᵗ).
        let secondBias = try unary(.squareRoot, binary(.subtract, scalar(1, type), binary(.power, scalar(beta, type), steps)))
        let firstBias = try binary(.subtract, scalar(1, type), binary(.power, scalar(alpha, type), steps))
        let corrected = try binary(.divide, binary(.multiply, rate, secondBias), firstBias, "corrected")
        let current = try select(binary(.less, scalar(0, type), steps), corrected, rate)
        var (parameters, means, squares) = ([ValueID](), [ValueID](), [ValueID]())
        for index in groups[0].indices {
            let x = groups[0][index]
            let gradient = try regularised(groups[1][index], x, lambda)
            let mean = try binary(.add, binary(.multiply, groups[2][index], alpha), binary(.multiply, gradient, 1 - alpha), "mean")
            let square = try binary(
                .add, binary(.multiply, groups[3][index], beta), binary(.multiply, binary(.multiply, gradient, gradient), 1 - beta), "squares")
            let size = try binary(.add, unary(.squareRoot, square), epsilon, "size")
            let moved = try binary(.subtract, x, binary(.divide, binary(.multiply, current, mean), size), "parameter")
            parameters.append(after == 0 ? moved : try binary(.multiply, moved, 1 - after, "shrunk"))
            means.append(mean)
            squares.append(square)
        }
        return (parameters + means + squares).map { .tensor($0) }
    }

    /// Polyak, 1964, and Nesterov's form of it.
    private mutating func momentum(_ call: OperatorCall) throws -> [Imported] {
        let groups = try groups(call, 3)
        guard let alpha = try call.node.float("alpha"), let beta = try call.node.float("beta"), let lambda = try call.node.float("norm_coefficient") else {
            throw call.invalid("lacks alpha, beta or norm_coefficient")
        }
        let mode = try call.string("mode", "")
        try call.require(mode == "standard" || mode == "nesterov", "'\(mode)' is no mode")
        let rate = try scalar(call, 0)
        let type = element(rate)
        // In the first step the gradient counts in full.
        let isFirst = try binary(.less, cast(scalar(call, 1), type), 1)
        let share = try select(isFirst, scalar(1, type), scalar(Double(beta), type))
        var (parameters, momenta) = ([ValueID](), [ValueID]())
        for ((x, g), old) in zip(zip(groups[0], groups[1]), groups[2]) {
            let gradient = try regularised(g, x, Double(lambda))
            let momentum = try binary(.add, binary(.multiply, old, Double(alpha)), binary(.multiply, gradient, share), "momentum")
            let direction = mode == "standard" ? momentum : try binary(.add, gradient, binary(.multiply, momentum, Double(alpha)), "direction")
            parameters.append(try binary(.subtract, x, binary(.multiply, direction, rate), "parameter"))
            momenta.append(momentum)
        }
        return (parameters + momenta).map { .tensor($0) }
    }
}
