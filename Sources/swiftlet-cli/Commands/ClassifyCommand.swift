import ArgumentParser
import Foundation
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
        let files = try Self.files(images)
        let truth = try self.truth.map { try Truth(path: $0) }
        let model = try await network.load(self.model)
        let classifier = try ImageClassifier(model: model, card: image.card(for: model))
        let progress = files.count > 1 ? ProgressLine("classifying") : nil
        var accuracy = Accuracy()
        for (index, file) in files.enumerated() {
            try Task.checkCancellation()
            let predictions = try classifier.classify(Image(path: file), top: max(top, 5))
            if let right = truth?.classes[URL(fileURLWithPath: file).lastPathComponent] { accuracy.count(predictions.map(\.index), right) }
            // Pictures with known classes are for the sum; a line each would hide it.
            if truth == nil || json { try show(file, Array(predictions.prefix(top))) }
            progress?.update(done: index + 1, of: files.count, detail: " \(index + 1) of \(files.count)")
        }
        progress?.finish()
        guard truth != nil else { return }
        guard accuracy.pictures > 0 else {
            throw SwiftletError.invalidArgument(name: self.truth ?? "", reason: "names none of the \(files.count) pictures", remedy: "Check the file names in it.")
        }
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

    /// The files named, and those in the folders named, in order.
    private static func files(_ paths: [String]) throws -> [String] {
        try paths.flatMap { path -> [String] in
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else { return [path] }
            let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted().filter {
                ["jpg", "jpeg", "png"].contains(($0 as NSString).pathExtension.lowercased())
            }
            guard !names.isEmpty else {
                throw SwiftletError.io(path: path, reason: "the folder has no JPEG or PNG files", remedy: "Give another folder, or the files themselves.")
            }
            return names.map { path + "/" + $0 }
        }
    }
}

/// The right classes of pictures, by file name.
private struct Truth {
    let classes: [String: Int]

    init(path: String) throws {
        var classes: [String: Int] = [:]
        for (number, line) in try ImageModelCard.labels(path: path).enumerated() where !line.isEmpty {
            guard let comma = line.lastIndex(of: ","), let index = Int(line[line.index(after: comma)...].trimmingCharacters(in: .whitespaces)) else {
                // The first line may name the columns.
                if number == 0 { continue }
                throw SwiftletError.syntax(source: path, line: number + 1, column: 1, reason: "the line has no class index", remedy: "Write: file.jpg,207")
            }
            classes[String(line[..<comma])] = index
        }
        self.classes = classes
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
