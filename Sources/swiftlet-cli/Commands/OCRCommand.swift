import ArgumentParser
import Foundation
import SwiftletModels
import SwiftletVision

struct OCRCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ocr", abstract: "Reads the text in pictures.",
        discussion: """
            Prints a line for each line of text, from top to bottom; --json adds confidences and boxes in pixels of the upright picture.
            The networks are those of PP-OCRv4: swiftlet pull ppocr-detection, ppocr-recognition and ppocr-direction.
            """)

    @Argument(help: ArgumentHelp("JPEG or PNG files.", valueName: "image"))
    var images: [String]

    @Flag(help: "Print one JSON object a picture.")
    var json = false

    @Option(help: ArgumentHelp("Write the picture with boxes around the text; for one image.", valueName: "out.png"))
    var draw: String?

    @Option(help: "Drop texts of lower confidence, 0 to 1.")
    var minConfidence = TextRecognitionOptions().minimumConfidence

    @Option(help: ArgumentHelp("The network that finds text.", valueName: "file-or-name"))
    var detection = "ppocr-detection"

    @Option(help: ArgumentHelp("The network that reads it.", valueName: "file-or-name"))
    var recognition = "ppocr-recognition"

    @Option(help: ArgumentHelp("The network that tells what is upside down.", valueName: "file-or-name"))
    var direction = "ppocr-direction"

    @Flag(help: "Take no line for upside down.")
    var noDirection = false

    @OptionGroup var network: NetworkArguments

    func validate() throws {
        if draw != nil, images.count > 1 { throw ValidationError("--draw takes one image.") }
        guard (0...1).contains(minConfidence) else { throw ValidationError("--min-confidence must be between 0 and 1.") }
    }

    func run() async throws {
        var options = TextRecognitionOptions()
        options.minimumConfidence = minConfidence
        let recognizer = try TextRecognizer(
            detection: try await network.load(detection), recognition: try await network.load(recognition),
            direction: noDirection ? nil : try await network.load(direction), options: options)
        for path in images {
            let image = try Image(path: path)
            let clock = ContinuousClock()
            var lines: [RecognizedText] = []
            let time = try clock.measure { lines = try recognizer.text(in: image) }
            if let draw { try image.drawing(lines.map(\.box)).writePNG(to: draw) }
            if json {
                try JSONOutput.print(OCRReport(path: path, image: image, lines: lines, milliseconds: time / .milliseconds(1)))
            } else {
                Console.write((images.count > 1 ? "\(path):\n" : "") + lines.map { $0.text + "\n" }.joined())
            }
        }
    }
}

/// What was read in a picture, for `--json`.
struct OCRReport: Encodable {
    struct Line: Encodable {
        let text: String
        let confidence: Double
        /// Top left, top right, bottom right, bottom left: x and y.
        let box: [[Double]]
    }

    let path: String
    let width, height: Int
    let lines: [Line]
    let milliseconds: Double

    init(path: String, image: Image, lines: [RecognizedText], milliseconds: Double) {
        (self.path, width, height, self.milliseconds) = (path, image.width, image.height, milliseconds)
        self.lines = lines.map { Line(text: $0.text, confidence: $0.confidence, box: $0.box.corners.map { [$0.x, $0.y] }) }
    }
}
