import ArgumentParser
import Foundation
import SwiftletMeasure
import SwiftletNetwork
import SwiftletVision

struct ClassifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "classify", abstract: "Names what is in pictures with an ONNX classifier.",
        discussion: "A folder stands for the JPEG and PNG files in it. With --truth the accuracy over all pictures is printed at the end.")

    @Argument(help: "Pictures (JPEG, PNG) or folders of them.")
    var images: [String]

    @Option(name: [.short, .long], help: ArgumentHelp("An ONNX file, or the name of a pulled model.", valueName: "file-or-name"))
    var model: String

    @Option(help: "How many classes to print for each picture.")
    var top = 5

    @Option(help: ArgumentHelp("The right classes: lines of a file name, a comma and the index of its class.", valueName: "file.csv"))
    var truth: String?

    @Flag(help: "Print one JSON object a picture, and one for the accuracy.")
    var json = false

    @OptionGroup var image: ImageArguments
    @OptionGroup var network: NetworkArguments

    func validate() throws {
        guard top >= 1 else { throw ValidationError("--top must be 1 or more.") }
        guard !images.isEmpty else { throw ValidationError("Give a picture or a folder.") }
    }

    func run() async throws {
        let pictures = try LabelledPictures(images, truth: truth).pictures
        let model = try await network.load(self.model)
        let classifier = try ImageClassifier(model: model, card: image.card(for: model))
        let progress = pictures.count > 1 ? ProgressLine("classifying") : nil
        var accuracy = Accuracy()
        for (index, picture) in pictures.enumerated() {
            try Task.checkCancellation()
            let predictions = try classifier.classify(Image(path: picture.path), top: max(top, 5))
            if truth != nil, let right = picture.label { accuracy.count(predictions.map(\.index), right) }
            // Pictures with known classes are for the sum; a line each would hide it.
            if truth == nil || json { try show(picture.path, Array(predictions.prefix(top))) }
            progress?.update(done: index + 1, of: pictures.count, detail: " \(index + 1) of \(pictures.count)")
        }
        progress?.finish()
        guard truth != nil else { return }
        if json { try JSONOutput.print(accuracy) } else { Console.write(accuracy.text) }
    }

    private func show(_ file: String, _ predictions: [ImageClassifier.Prediction]) throws {
        if json { return try JSONOutput.print(Report(file: file, predictions: predictions)) }
        let lines = predictions.map { String(format: "  %5.1f %%  ", $0.probability * 100) + ($0.label ?? "class \($0.index)") }
        Console.write(([file] + lines).joined(separator: "\n") + "\n")
    }

    private struct Report: Encodable {
        let file: String
        let predictions: [ImageClassifier.Prediction]
    }
}

private struct Accuracy: Encodable {
    var pictures = 0
    var top1 = 0
    var top5 = 0

    mutating func count(_ predictions: [Int], _ right: Int) {
        pictures += 1
        if predictions.first == right { top1 += 1 }
        if predictions.prefix(5).contains(right) { top5 += 1 }
    }

    var text: String {
        String(
            format: "top-1 %.2f %% (%d of %d), top-5 %.2f %%\n", 100 * Double(top1) / Double(pictures), top1, pictures, 100 * Double(top5) / Double(pictures))
    }
}
