// Pictures to classes: a network of one image input and one output of scores.
import Foundation
import SwiftletNetwork

/// Names what is in pictures with a classification network.
///
///     let classifier = try ImageClassifier(model: model, card: .imageNet())
///     let best = try classifier.classify(Image(path: "photo.jpg"), top: 1)[0]     // best.index, best.label, best.probability
///
/// Any number of threads may share one.
public final class ImageClassifier: Sendable {
    /// A class and how likely it is.
    public struct Prediction: Sendable, Hashable, Encodable {
        public let index: Int
        /// Nil when the card has no name for the class.
        public let label: String?
        /// From 0 to 1; those of all classes add up to 1.
        public let probability: Float
    }

    public let model: Model
    public let card: ImageModelCard
    private let input: String
    private let output: String

    /// Throws `SwiftletError.invalidArgument` when the model has more than one input or output, or an input that does not suit the card.
    public init(model: Model, card: ImageModelCard) throws {
        let needed = model.inputs.filter { !$0.isOptional }
        guard needed.count == 1, let output = model.outputNames.first, model.outputNames.count == 1 else {
            throw SwiftletError.invalidArgument(
                name: model.path, reason: "has \(needed.count) inputs and \(model.outputNames.count) outputs; a classifier has one of each",
                remedy: "Run it with swiftlet run, or through Model.run.")
        }
        self.model = model
        self.card = card
        input = needed[0].name
        self.output = output
    }

    /// The size of pictures that a model's input declares, where it does.
    public static func declaredSize(of model: Model, layout: ImageLayout = .nchw) -> ImageSize? {
        guard let port = model.inputs.first(where: { !$0.isOptional }), case .tensor(_, let shape?) = port.type, shape.count == 4 else { return nil }
        let axes = layout == .nchw ? (shape[2], shape[3]) : (shape[1], shape[2])
        guard case (.fixed(let height), .fixed(let width)) = axes, height > 0, width > 0 else { return nil }
        return ImageSize(width: width, height: height)
    }

    /// The `top` likeliest classes of a picture, the likeliest first.
    public func classify(_ image: Image, top: Int = 5) throws -> [Prediction] { try classify([image], top: top)[0] }

    /// The likeliest classes of each of a batch of pictures.
    public func classify(_ images: [Image], top: Int = 5) throws -> [[Prediction]] {
        guard !images.isEmpty else { return [] }
        let results = try model.run([input: card.tensor(for: images)])
        guard let scores = try results[output]?.floats(), scores.count % images.count == 0, !scores.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: output, reason: "the output is no row of scores a picture", remedy: "Use a classification network.")
        }
        let classes = scores.count / images.count
        return images.indices.map { index in predictions(Array(scores[index * classes..<(index + 1) * classes]), top) }
    }

    private func predictions(_ scores: [Float], _ top: Int) -> [Prediction] {
        let probabilities = Self.probabilities(scores)
        let order = probabilities.indices.sorted { (probabilities[$0], $1) > (probabilities[$1], $0) }
        return order.prefix(top).map { index in
            Prediction(index: index, label: card.labels.indices.contains(index) ? card.labels[index] : nil, probability: probabilities[index])
        }
    }

    /// The scores themselves when they are probabilities already, else their softmax.
    private static func probabilities(_ scores: [Float]) -> [Float] {
        let sum = scores.reduce(0, +)
        if abs(sum - 1) < 1e-3, scores.allSatisfy({ $0 >= 0 }) { return scores }
        let largest = scores.max() ?? 0
        let powers = scores.map { exp($0 - largest) }
        let total = powers.reduce(0, +)
        return powers.map { $0 / total }
    }
}
