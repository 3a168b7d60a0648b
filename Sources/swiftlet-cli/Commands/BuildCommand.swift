import ArgumentParser
import Foundation
import SwiftletFormats
import SwiftletVision

struct BuildCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build", abstract: "Builds an image network by name and writes it as ONNX.",
        discussion:
            "Weights are random, or read from a safetensors file with torchvision's names (timm's for mobilenet_v1 and efficientnet_lite0). "
            + "Batch normalisation is folded into the convolutions.")

    @Argument(help: "The architecture.")
    var architecture: VisionArchitecture

    @Option(name: .shortAndLong, help: "The ONNX file to write. Without it the network is only measured.")
    var output: String?

    @Option(help: "Multiplies the channels.")
    var width = 1.0

    @Option(help: "Classes that are told apart.")
    var classes = 1000

    @Option(help: "Pixels on each side of an image.")
    var size = 224

    @Option(help: "Images at once.")
    var batch = 1

    @Option(help: "Start of the random numbers.")
    var seed: UInt64 = 0

    @Option(help: "A safetensors file with the weights.", completion: .file(extensions: ["safetensors"]))
    var weights: String?

    @Flag(help: "Write the weights to a file of their own beside the model.")
    var externalData = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let shape = NetworkShape(width: width, classes: classes, size: size, batch: batch)
        let parameters = try weights.map { NetworkParameters.file(try SafetensorsFile(path: $0)) } ?? .random(seed: seed)
        let network = try architecture.build(shape, parameters: parameters)
        let saving = try network.graph.depthwiseSaving(under: [:])
        let report = BuildReport(
            architecture: architecture.rawValue, parameters: network.parameterCount, weights: network.graph.parameterCount,
            multiplyAccumulates: try network.graph.multiplyAccumulates(under: [:]), depthwiseConvolutions: saving?.depthwiseConvolutions ?? 0,
            plainMultiplyAccumulates: saving?.plainMultiplyAccumulates, plainWeights: saving?.plainParameters, output: output)
        if let output {
            try ONNXWriter(network.graph, options: ONNXWriter.Options(externalData: externalData ? .always : .whenLarge)).write(to: output)
        }
        if json { try JSONOutput.print(report) } else { Console.write(report.text) }
    }
}

extension VisionArchitecture: ExpressibleByArgument {}

/// What a network that was built has.
struct BuildReport: Encodable {
    let architecture: String
    /// As publications count them, and as written, with batch normalisation folded.
    let parameters, weights: Int
    let multiplyAccumulates: Int
    let depthwiseConvolutions: Int
    let plainMultiplyAccumulates, plainWeights: Int?
    let output: String?

    var text: String {
        var lines = [
            "architecture      \(architecture)",
            "parameters        \(parameters) (\(InspectionText.count(parameters))), \(weights) of them left with batch normalisation folded",
            "MACs              \(multiplyAccumulates) (\(InspectionText.count(multiplyAccumulates)))",
        ]
        if let plain = plainMultiplyAccumulates {
            lines.append("depthwise saving  " + InspectionText.saving(multiplyAccumulates, of: plain, convolutions: depthwiseConvolutions))
        }
        if let plain = plainWeights { lines.append("                  \(InspectionText.count(plain)) weights would be needed instead of \(InspectionText.count(weights))") }
        if let output { lines.append("written           \(output)") }
        return lines.joined(separator: "\n") + "\n"
    }
}
