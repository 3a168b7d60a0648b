// A network beside the one it was made of: do both say the same, and how often are they right?
import Foundation
import SwiftletNetwork
import SwiftletTensor

/// One sample for a network.
public struct NetworkSample: Sendable {
    /// By the name of the input.
    public var inputs: [String: Tensor]
    /// The right class; nil where nobody knows or the network is no classifier.
    public var label: Int?

    public init(inputs: [String: Tensor], label: Int? = nil) {
        self.inputs = inputs
        self.label = label
    }
}

/// What two networks say about the same samples.
public struct NetworkAgreement: Sendable, Codable, Equatable {
    public var samples: Int
    /// ‖y′ − y‖ / ‖y‖ over all numbers of all outputs, in percent; y of the parent.
    public var relativeErrorPercent: Double
    /// How often the largest number of the first output is at the same place, row by row; nil where that output has no rows of several.
    public var topAgreementPercent: Double?
    /// Of the samples with a label; nil where there are none.
    public var labelled: Int
    public var parentAccuracyPercent: Double?
    public var accuracyPercent: Double?
    public var parentTop5Percent: Double?
    public var top5Percent: Double?
    public var seconds: Double

    /// Runs both networks on `count` samples. `progress` is called after each; what it throws ends the measurement.
    ///
    /// Throws `SwiftletError.invalidArgument` when there is no sample or the outputs differ in name or shape, and what running throws.
    public static func measure(
        parent: Model, model: Model, count: Int, sample: (Int) throws -> NetworkSample, progress: (Int) throws -> Void = { _ in }
    ) throws -> NetworkAgreement {
        guard count > 0 else { throw SwiftletError.invalidArgument(name: "samples", reason: "there are none", remedy: "Give at least one.") }
        guard let name = parent.outputNames.first, parent.outputNames == model.outputNames else {
            throw SwiftletError.invalidArgument(
                name: model.path, reason: "has the outputs \(model.outputNames.joined(separator: ", ")), not those of \(parent.path)",
                remedy: "Compare models made of one another.")
        }
        let clock = ContinuousClock(), start = clock.now
        var (signal, noise, rows, agreements) = (0.0, 0.0, 0, 0)
        var (left, right) = (ClassCount(), ClassCount())
        for index in 0..<count {
            let sample = try sample(index)
            let expected: [String: Tensor] = try parent.run(sample.inputs), actual: [String: Tensor] = try model.run(sample.inputs)
            for output in parent.outputNames {
                guard let y = expected[output], let other = actual[output], y.shape == other.shape else {
                    throw SwiftletError.invalidArgument(name: output, reason: "the output has another shape in \(model.path)", remedy: "Compare models made of one another.")
                }
                for (a, b) in zip(try y.floats(), try other.floats()) {
                    signal += Double(a) * Double(a)
                    noise += (Double(b) - Double(a)) * (Double(b) - Double(a))
                }
            }
            if let y = expected[name], let other = actual[name], let columns = y.shape.dimensions.last, columns > 1 {
                let (a, b) = (try y.floats(), try other.floats())
                for row in 0..<(a.count / columns) {
                    let range = row * columns..<(row + 1) * columns
                    rows += 1
                    if ClassCount.best(a[range]) == ClassCount.best(b[range]) { agreements += 1 }
                }
                if let label = sample.label, a.count == columns {
                    left.count(a[...], label)
                    right.count(b[...], label)
                }
            }
            try progress(index + 1)
        }
        let isLabelled = left.samples > 0
        return NetworkAgreement(
            samples: count, relativeErrorPercent: signal > 0 ? 100 * (noise / signal).squareRoot() : noise > 0 ? .infinity : 0,
            topAgreementPercent: rows > 0 ? 100 * Double(agreements) / Double(rows) : nil, labelled: left.samples,
            parentAccuracyPercent: isLabelled ? left.top1Percent : nil, accuracyPercent: isLabelled ? right.top1Percent : nil,
            parentTop5Percent: isLabelled ? left.top5Percent : nil, top5Percent: isLabelled ? right.top5Percent : nil, seconds: (clock.now - start) / .seconds(1))
    }
}

/// How often a classifier was right.
public struct ClassCount: Sendable, Codable, Equatable {
    public private(set) var samples = 0
    public private(set) var top1 = 0
    public private(set) var top5 = 0

    public init() {}

    public var top1Percent: Double { 100 * Double(top1) / Double(max(1, samples)) }
    public var top5Percent: Double { 100 * Double(top5) / Double(max(1, samples)) }

    /// Counts one row of scores. Of equal scores the class with the lower index comes first.
    public mutating func count(_ scores: ArraySlice<Float>, _ right: Int) {
        samples += 1
        guard right >= 0, right < scores.count else { return }
        let score = scores[scores.startIndex + right]
        var before = 0
        for (index, other) in scores.enumerated() where other > score || other == score && index < right { before += 1 }
        if before == 0 { top1 += 1 }
        if before < 5 { top5 += 1 }
    }

    /// The place of the largest score, the first of equals.
    static func best(_ scores: ArraySlice<Float>) -> Int {
        (scores.indices.max { (scores[$0], $1) < (scores[$1], $0) } ?? scores.startIndex) - scores.startIndex
    }
}
