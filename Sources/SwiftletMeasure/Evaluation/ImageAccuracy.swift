// How often a classifier names what is in a picture.
import SwiftletTensor
import SwiftletVision

/// What was measured.
public struct ImageAccuracy: Sendable, Codable, Equatable {
    public var pictures: Int
    public var top1: Int
    public var top5: Int
    public var top1Percent: Double
    public var top5Percent: Double
    /// The 95 % confidence interval of top-1 (Wilson's score interval), in percent.
    public var intervalLowPercent: Double
    public var intervalHighPercent: Double
    public var seconds: Double

    /// Classifies every picture with a known class. `progress` gets `(done, total)`; what it throws ends the measurement.
    ///
    /// Throws `SwiftletError.invalidArgument` when no picture has one, and what reading and running throw.
    public static func measure(
        _ classifier: ImageClassifier, pictures: [LabelledPictures.Picture], progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> ImageAccuracy {
        let labelled = pictures.compactMap { picture in picture.label.map { (picture.path, $0) } }
        guard !labelled.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: "truth", reason: "the class of none of the \(pictures.count) pictures is known", remedy: "Give --truth, or a folder with a folder a class.")
        }
        let clock = ContinuousClock(), start = clock.now
        var (top1, top5) = (0, 0)
        for (index, (path, label)) in labelled.enumerated() {
            let classes = try classifier.classify(Image(path: path), top: 5).map(\.index)
            if classes.first == label { top1 += 1 }
            if classes.contains(label) { top5 += 1 }
            try progress(index + 1, labelled.count)
        }
        let count = Double(labelled.count), interval = HellaSwag.wilsonInterval(correct: top1, of: labelled.count)
        return ImageAccuracy(
            pictures: labelled.count, top1: top1, top5: top5, top1Percent: 100 * Double(top1) / count, top5Percent: 100 * Double(top5) / count,
            intervalLowPercent: 100 * interval.lowerBound, intervalHighPercent: 100 * interval.upperBound, seconds: (clock.now - start) / .seconds(1))
    }
}
