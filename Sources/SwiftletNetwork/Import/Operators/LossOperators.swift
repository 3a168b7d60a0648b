// Losses of classifiers, as models exported for training have them.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let lossOperators: [String: OperatorImporter] = [
        "NegativeLogLikelihoodLoss": { importer, call in [.tensor(try importer.likelihoodLoss(call, call.tensor(0)))] },
        "SoftmaxCrossEntropyLoss": { importer, call in
            let logarithms = try importer.logSoftmax(call.tensor(0), axis: call.axis(1, rank: importer.rank(call.tensor(0))))
            return [.tensor(try importer.likelihoodLoss(call, logarithms)), .tensor(logarithms)]
        },
    ]

    /// Minus the logarithm of the probability of each target, `[n, c, …]` and `[n, …]`, weighted by class. Targets that are to be ignored
    /// read class 0 and weigh nothing.
    private mutating func likelihoodLoss(_ call: OperatorCall, _ logarithms: ValueID) throws -> ValueID {
        var target = try call.tensor(1)
        let shape = shape(target)
        try call.require(rank(logarithms) == shape.count + 1, "needs classes on axis 1 and one target a sample")
        let type = element(logarithms)
        var ignored: ValueID?
        if let index = try call.node.int("ignore_index") {
            let isIgnored = try binary(.equal, target, constant([index], shape: [], element(target)), "isIgnored")
            target = try select(isIgnored, constant([0], shape: [], element(target)), target, "targets")
            ignored = isIgnored
        }
        let picked = try apply(.gatherElements(axis: 1), [logarithms, unsqueeze(target, [1])], "picked")
        var loss = try unary(.negate, reshape(picked, shape), "loss")
        var weights: ValueID?
        if let classes = try call.optional(2) { weights = try apply(.gather(axis: 0), [classes, target], "weights") }
        if let ignored {
            let base = try weights ?? scalar(1, type)
            weights = try select(ignored, scalar(0, type), base, "weights")
            loss = try select(ignored, scalar(0, type), loss, "kept")
        }
        if let weights { loss = try binary(.multiply, loss, weights, "weighted") }
        let axes = Array(shape.indices)
        switch try call.string("reduction", "mean") {
        case "none": return loss
        case "sum": return axes.isEmpty ? loss : try reduce(.sum, loss, axes, keepsAxes: false, "sum")
        case "mean":
            guard let weights else { return axes.isEmpty ? loss : try reduce(.mean, loss, axes, keepsAxes: false, "mean") }
            let sums = try [loss, weights].map { axes.isEmpty ? $0 : try reduce(.sum, $0, axes, keepsAxes: false, "sum") }
            return try binary(.divide, sums[0], sums[1], "mean")
        case let name: throw call.invalid("'\(name)' is no reduction")
        }
    }
}
