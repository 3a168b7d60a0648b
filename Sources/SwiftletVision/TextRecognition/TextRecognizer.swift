// Text in pictures, from the picture to the words: what an app holds.
//
// Three networks of PP-OCR work one after another: detection finds where lines of text are, direction turns those that are upside down,
// recognition reads them. Sizes, thresholds and the order of steps are those of the Python package rapidocr-onnxruntime 1.4.4, so that
// results are too. Where this file's neighbours differ from it, their heads and the comments of WorkingPicture say so.
import Foundation
import SwiftletNetwork

/// A line of text in a picture.
public struct RecognizedText: Sendable, Hashable, Codable {
    public let text: String
    /// The mean probability of the characters, 0...1.
    public let confidence: Double
    /// Where it is, in pixels of the picture.
    public let box: Quadrilateral
}

/// What counts as text.
public struct TextRecognitionOptions: Sendable, Hashable {
    /// Texts of lower confidence are dropped; 0...1.
    public var minimumConfidence = 0.5
    /// The probability from which a pixel is text; 0...1.
    public var pixelThreshold = 0.3
    /// The mean probability a box must have; 0...1.
    public var boxThreshold = 0.5
    /// How far boxes reach beyond the core of the text that the network marks: times area over perimeter.
    public var expansion = 1.6
    /// The probability from which a line is taken for upside down; 0...1.
    public var directionThreshold = 0.9
    /// Larger pictures are made smaller first; in pixels.
    public var maximumSide = 2000
    /// The network that detects text sees pictures enlarged until their shorter side has so many pixels. Less is faster and misses small text.
    public var detectionSide = 736

    public init() {}

    fileprivate func validate() throws {
        let probabilities = [
            ("minimumConfidence", minimumConfidence), ("pixelThreshold", pixelThreshold), ("boxThreshold", boxThreshold),
            ("directionThreshold", directionThreshold),
        ]
        for (name, value) in probabilities where !(0...1).contains(value) {
            throw SwiftletError.invalidArgument(name: name, reason: "\(value) is no probability", remedy: "Choose a number from 0 to 1.")
        }
        guard (0...10).contains(expansion) else {
            throw SwiftletError.invalidArgument(
                name: "expansion", reason: "boxes cannot grow by \(expansion)", remedy: "Choose a number from 0 to 10.")
        }
        for (name, side) in [("maximumSide", maximumSide), ("detectionSide", detectionSide)] where !(32...4096).contains(side) {
            throw SwiftletError.invalidArgument(
                name: name, reason: "a side cannot be \(side) pixels", remedy: "Choose a number from 32 to 4096.")
        }
    }
}

/// Finds and reads the text in pictures.
///
///     let recognizer = try TextRecognizer(detection: detection, recognition: recognition, direction: direction)
///     for line in try recognizer.text(in: Image(path: "receipt.jpg")) {
///         print(line.text, line.confidence, line.box.topLeft)
///     }
///
/// A value that shares its networks: any number of tasks may use it at once. Pictures of a size met before find the networks prepared.
public struct TextRecognizer: Sendable {
    public let options: TextRecognitionOptions
    private let detector: TextDetector
    private let reader: LineReader
    private let direction: TextDirection?

    /// A recogniser of loaded networks.
    ///
    /// - Parameters:
    ///   - detection: f32 `[1, 3, height, width]` to the probability of text, f32 `[1, 1, height, width]`.
    ///   - recognition: f32 `[1, 3, 48, width]` to probabilities, f32 `[1, columns, classes]`, with the dictionary in its metadata.
    ///   - direction: f32 `[1, 3, 48, 192]` to the probabilities of 0 and 180 degrees, f32 `[1, 2]`; nil when no line is upside down.
    /// - Throws: `SwiftletError.unsupported` for a model that is of another kind, `.invalidArgument` for an option out of its range.
    public init(
        detection: Model, recognition: Model, direction: Model? = nil, options: TextRecognitionOptions = TextRecognitionOptions()
    ) throws {
        try options.validate()
        self.options = options
        var boxes = TextBoxes()
        (boxes.pixelThreshold, boxes.boxThreshold, boxes.expansion) = (
            Float(options.pixelThreshold), options.boxThreshold, options.expansion
        )
        detector = try TextDetector(
            network: TextNetwork(detection, task: "finding text"), shorterSide: options.detectionSide, postprocessing: boxes)
        reader = try LineReader(TextNetwork(recognition, task: "reading text"))
        self.direction = try direction.map {
            try TextDirection(
                network: TextNetwork($0, task: "telling the direction of text"), threshold: Float(options.directionThreshold))
        }
    }

    /// Loads the three ONNX files, away from the caller's executor.
    ///
    /// Throws what `Model.load` and `init` throw.
    public static func load(
        detection: URL, recognition: URL, direction: URL? = nil, options: TextRecognitionOptions = TextRecognitionOptions(),
        network: NetworkOptions = NetworkOptions()
    ) async throws -> TextRecognizer {
        let detection = try await Model.load(detection, options: network)
        let recognition = try await Model.load(recognition, options: network)
        var turned: Model?
        if let direction { turned = try await Model.load(direction, options: network) }
        return try TextRecognizer(detection: detection, recognition: recognition, direction: turned, options: options)
    }

    /// The lines of text in a picture, from top to bottom and from left to right; empty when there is none.
    ///
    /// - Throws: `SwiftletError.unsupported` when the picture is too long and thin, or a network gives results of another shape;
    ///   `CancellationError` when the task is cancelled between two networks.
    public func text(in picture: Image) throws -> [RecognizedText] {
        let working = try WorkingPicture(picture, maximumSide: options.maximumSide)
        try Task.checkCancellation()
        // Corners may fall together at the edge of the picture; there is nothing to be read in such a box.
        let crops = try detector.boxes(in: working.image).filter { $0.area > 0 }.map { box in
            (box: box, line: try lying(working.image.straightened(box)))
        }
        let texts = try reader.read(crops.map(\.line))
        return zip(crops, texts).compactMap { crop, text in
            guard text.confidence >= options.minimumConfidence, !text.text.isEmpty else { return nil }
            return RecognizedText(text: text.text, confidence: text.confidence, box: working.source(crop.box))
        }
    }

    /// A line that stands laid down to the left, and turned if it is upside down.
    private func lying(_ line: Image) throws -> Image {
        try Task.checkCancellation()
        let lying = Double(line.height) / Double(line.width) >= 1.5 ? try line.oriented(.leftBottom) : line
        return try direction?.upright(lying) ?? lying
    }
}
