// Recurrent layers.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let recurrentOperators: [String: OperatorImporter] = [
        "RNN": { importer, call in try importer.recurrent(call, .simple, defaults: ["Tanh"]) },
        "GRU": { importer, call in
            try importer.recurrent(call, .gru(resetsAfter: call.bool("linear_before_reset")), defaults: ["Sigmoid", "Tanh"])
        },
        "LSTM": { importer, call in
            try importer.recurrent(call, .lstm(couplesInputAndForget: call.bool("input_forget")), defaults: ["Sigmoid", "Tanh", "Tanh"])
        },
    ]

    /// Layout 1 has the batch in front, where the core operation has it behind time and direction.
    private mutating func recurrent(_ call: OperatorCall, _ cell: Recurrent.Cell, defaults: [String]) throws -> [Imported] {
        let isBatchFirst = try call.bool("layout")
        var x = try call.tensor(0)
        let recurrentWeight = try call.tensor(2)
        try call.require(rank(x) == 3 && rank(recurrentWeight) == 3, "needs sequences [t, n, inputs] and weights of three axes")
        if isBatchFirst { x = try transpose(x, [1, 0, 2], "timeFirst") }
        let directionName = try call.string("direction", "forward")
        guard let direction = Recurrent.Direction(rawValue: directionName) else { throw call.invalid("'\(directionName)' is no direction") }
        func state(_ importer: inout Importer, _ index: Int) throws -> ValueID? {
            guard let state = try call.optional(index) else { return nil }
            try call.require(importer.rank(state) == 3, "the initial state needs three axes")
            return isBatchFirst ? try importer.transpose(state, [1, 0, 2], "directionFirst") : state
        }
        let isLSTM = if case .lstm = cell { true } else { false }
        let bias = try call.optional(3)
        let lengths = try call.optional(4).map { try cast($0, .i32) }
        let hidden = try state(&self, 5)
        let cellState = isLSTM ? try state(&self, 6) : nil
        let peepholes = isLSTM ? try call.optional(7) : nil
        let recurrent = Recurrent(
            cell: cell, hidden: try call.int("hidden_size", shape(recurrentWeight)[2]), direction: direction,
            activations: try Self.activations(call, defaults: defaults, directions: direction.count), clip: try call.node.float("clip").flatMap { $0 > 0 ? $0 : nil },
            hasBias: bias != nil, hasLengths: lengths != nil, hasInitialHidden: hidden != nil, hasInitialCell: cellState != nil, hasPeepholes: peepholes != nil)
        var results = try applyAll(
            .tensor(.recurrent(recurrent)), [x, call.tensor(1), recurrentWeight] + [bias, lengths, hidden, cellState, peepholes].compactMap { $0 })
        if isBatchFirst {
            results = try results.enumerated().map { try transpose($1, $0 == 0 ? [2, 0, 1, 3] : [1, 0, 2], "batchFirst") }
        }
        return results.map { .tensor($0) }
    }

    /// The functions of all directions. Parameters are given in order to the functions that have them, or one to each function.
    private static func activations(_ call: OperatorCall, defaults: [String], directions: Int) throws -> [Unary] {
        let names = try call.node.strings("activations") ?? (0..<directions).flatMap { _ in defaults }
        try call.require(names.count == defaults.count * directions, "\(names.count) functions are given, \(defaults.count * directions) are needed")
        var alphas = Parameters(values: try call.node.floats("activation_alpha") ?? [], functions: names.count)
        var betas = Parameters(values: try call.node.floats("activation_beta") ?? [], functions: names.count)
        return try names.enumerated().map { place, name in
            switch name.lowercased() {
            case "relu": return .relu
            case "tanh": return .tanh
            case "sigmoid": return .sigmoid
            case "softsign": return .softsign
            case "softplus": return .softplus
            case "affine": return .affine(alpha: alphas.take(place) ?? 1, beta: betas.take(place) ?? 0)
            case "leakyrelu": return .leakyRelu(alphas.take(place) ?? 0.01)
            case "thresholdedrelu": return .thresholdedRelu(alphas.take(place) ?? 1)
            case "scaledtanh": return .scaledTanh(alpha: alphas.take(place) ?? 1, beta: betas.take(place) ?? 1)
            case "hardsigmoid": return .hardSigmoid(alpha: alphas.take(place) ?? 0.2, beta: betas.take(place) ?? 0.5)
            case "elu": return .elu(alphas.take(place) ?? 1)
            default: throw call.unsupported("the function '\(name)' is not done")
            }
        }
    }

    /// Parameters of functions, by their order.
    private struct Parameters {
        let values: [Float]
        let functions: Int
        var next = 0

        init(values: [Float], functions: Int) {
            self.values = values
            self.functions = functions
        }

        /// The parameter of the function at a place; nil when none is left.
        mutating func take(_ place: Int) -> Float? {
            if values.count == functions { return values[place] }
            defer { next += 1 }
            return next < values.count ? values[next] : nil
        }
    }
}
