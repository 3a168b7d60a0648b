import ArgumentParser
import SwiftletMeasure
import SwiftletNetwork
import SwiftletVision

struct EvalImagesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "images", abstract: "Measures how often a classifier is right.",
        discussion: "The classes come from --truth, or from the folders inside the folder: by name where these are numbers, else by their order.")

    @Argument(help: "An ONNX file, or the name of a pulled model.")
    var model: String

    @Argument(help: "Folders of pictures (JPEG, PNG).")
    var folders: [String]

    @Option(help: ArgumentHelp("The right classes: lines of a file name, a comma and the index of its class.", valueName: "file.csv"))
    var truth: String?

    @Option(help: "Pictures to take, evenly spread over all (default: all).")
    var samples: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup(title: "Pictures") var image: ImageArguments
    @OptionGroup var network: NetworkArguments

    func validate() throws {
        guard !folders.isEmpty else { throw ValidationError("Give a folder.") }
        if let samples, samples < 1 { throw ValidationError("--samples must be positive.") }
    }

    func run() async throws {
        let pictures = try LabelledPictures(folders, truth: truth)
        let model = try await network.load(self.model)
        let line = ProgressLine("images")
        let result = try ImageAccuracy.measure(ImageClassifier(model: model, card: image.card(for: model)), pictures: pictures.spread(samples ?? .max)) { done, total in
            try Task.checkCancellation()
            line.update(done: done, of: total, detail: "\(done) of \(total)")
        }
        line.finish()
        guard json else {
            Console.write(
                String(format: "top-1 %.2f %% (%d of %d), top-5 %.2f %%\n", result.top1Percent, result.top1, result.pictures, result.top5Percent))
            return Console.report("[95 % interval of top-1 \(String(format: "%.2f to %.2f", result.intervalLowPercent, result.intervalHighPercent)), \(Int(result.seconds.rounded())) s]")
        }
        try JSONOutput.print(result)
    }
}
