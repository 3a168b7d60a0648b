import ArgumentParser
import Foundation
import SwiftletCompress
import SwiftletMeasure
import SwiftletModels
import SwiftletNetwork

struct CompressCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compress", abstract: "Makes a model smaller by a recipe, and measures what that costs.",
        discussion: """
            The result is refused when it is larger or slower than its parent or breaks the budget, unless --force. \
            A language model is calibrated on a text, an encoder of texts on a file with one on each line, a network on a folder of pictures or .npy files.
            """)

    @Argument(help: "A GGUF or ONNX file, the folder of an encoder of texts, or the name of a pulled model.")
    var model: String?

    @Option(help: ArgumentHelp("Where the result goes; a folder for an encoder.", valueName: "path"))
    var output: String?

    @Option(help: ArgumentHelp("What to do, as YAML.", valueName: "file.yaml"))
    var recipe: String?

    @Option(help: ArgumentHelp("One step, without a recipe; give it again for the next step.", valueName: "wanda sparsity=0.5 include=blk.*"))
    var step: [String] = []

    @Option(help: ArgumentHelp("What techniques calibrate with: a text, texts (a line each), or a folder of pictures or .npy files.", valueName: "path"))
    var calibration: String?

    @Option(help: ArgumentHelp("What quality is measured on (default: the calibration data).", valueName: "path"))
    var evaluation: String?

    @Option(help: "Windows of text, texts, or samples to measure quality on; 0 for all.")
    var evaluationCount = 8

    @Option(help: ArgumentHelp("The right classes of the pictures of the evaluation: lines of a file name, a comma and a class.", valueName: "file.csv"))
    var truth: String?

    @Option(help: ArgumentHelp("What the result may take, any of the three.", valueName: "size=40MB,drop=1%,latency=5ms"))
    var budget: String?

    @Option(help: ArgumentHelp("Write report.json and report.html to this folder.", valueName: "folder"))
    var report: String?

    @Flag(help: "Also measure each step alone.")
    var stepsAlone = false

    @Flag(help: "Also measure how far each layer alone moves the outputs.")
    var sensitivity = false

    @Option(help: ArgumentHelp("Keep finished layers in this folder, and take those that an interrupted run left there.", valueName: "folder"))
    var resume: String?

    @Option(help: "Decides everything random (default: the recipe's, else 0).")
    var seed: UInt64?

    @Option(help: ArgumentHelp("The shape of an input whose sizes a network leaves open.", valueName: "name=1,3,224,224"))
    var shape: [NamedArgument] = []

    @Flag(help: "Write the result even where it would be refused.")
    var force = false

    @Flag(help: "List the techniques and their parameters.")
    var techniques = false

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup(title: "Pictures") var image: ImageArguments
    @OptionGroup var machine: MachineArguments

    func validate() throws {
        if techniques { return }
        guard model != nil else { throw ValidationError("Give a model, or --techniques.") }
        guard output != nil else { throw ValidationError("Give --output.") }
        guard (recipe != nil) != !step.isEmpty else { throw ValidationError("Give --recipe, or --step one or more times.") }
        guard evaluationCount >= 0 else { throw ValidationError("--evaluation-count must be 0 or more.") }
        if truth != nil, evaluation == nil { throw ValidationError("--truth is of the pictures of --evaluation.") }
        if sensitivity, calibration == nil { throw ValidationError("--sensitivity needs --calibration.") }
    }

    func run() async throws {
        if techniques {
            let listings = TechniqueListing.all()
            return json ? try JSONOutput.print(listings) : Console.write(TechniqueListing.text(listings))
        }
        guard let model, let output else { return }
        let recipe = try self.recipe.map { try Recipe(path: $0) } ?? Recipe(flags: step)
        let budget = try self.budget.map { try Budget($0) }
        let image = image
        var job = CompressionJob(model: try ModelCache().resolveFolder(model), output: output, recipe: recipe) { try image.card(for: $0) }
        if let budget { job.budget = budget }
        job.calibration = calibration
        job.evaluation = evaluation
        job.evaluationCount = evaluationCount == 0 ? nil : evaluationCount
        job.truth = truth
        job.shapes = try Dictionary(shape.map { ($0.name, try $0.sizes("--shape")) }) { $1 }
        job.threads = machine.threads
        job.instructionSet = machine.isa
        job.seed = seed
        job.resumeFolder = resume
        job.isForced = force
        job.reportFolder = report
        job.measuresStepsAlone = stepsAlone
        job.measuresLayersAlone = sensitivity
        // A layer may take long, and nothing may be left behind.
        Interruption.waitAtMost(seconds: 300)
        let lines = ProgressLines()
        let result = try job.run { progress in
            try Task.checkCancellation()
            lines.update(progress.technique, done: progress.done, of: progress.total, detail: progress.detail)
        }
        lines.finish()
        if json { try JSONOutput.print(result) } else { Console.write(result.text) }
        if let refusal = result.refusal { throw refusal }
    }
}
