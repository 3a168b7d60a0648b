import ArgumentParser
import Foundation
import SwiftletCompress
import SwiftletModels
import SwiftletNetwork

struct CalibrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate", abstract: "Measures how much each column of a language model's matrices matters on a text.",
        discussion: "The file is llama.cpp's importance matrix: `compress --step \"quantize imatrix=FILE …\"` and llama.cpp's quantize read it.")

    @Argument(help: "A GGUF file, or the name of a pulled model.")
    var model: String

    @Option(help: ArgumentHelp("The text.", valueName: "file"))
    var calibration: String

    @Option(help: ArgumentHelp("Where the importance goes.", valueName: "file"))
    var output: String

    @Option(help: "Windows of text, evenly spread over it.")
    var windows = 64

    @Option(help: "Tokens in a window.")
    var length = 512

    @OptionGroup var machine: MachineArguments

    func run() async throws {
        let parent = try GGUFModel(path: try ModelCache().resolve(model), context: length)
        var settings = Recipe.Calibration()
        settings.windows = windows
        settings.length = length
        let data = try TokenWindows(text: InputFile.bytes(calibration), model: parent, calibration: settings)
        Interruption.waitAtMost(seconds: 300)
        let lines = ProgressLines()
        let context = try CompressionContext(passes: parent.passes, calibration: data, threads: machine.threads, instructionSet: machine.isa) { progress in
            try Task.checkCancellation()
            lines.update(progress.technique, done: progress.done, of: progress.total, detail: progress.detail)
        }
        let matrix = try ImportanceMatrix(parent.graph, data: data, in: context)
        lines.finish()
        try matrix.write(to: output, dataset: calibration, chunks: data.batchCount, chunk: length)
        Console.report("[\(matrix.names.count) matrices, \(data.batchCount) windows of \(length) tokens]")
    }
}
