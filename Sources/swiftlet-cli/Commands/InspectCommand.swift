import ArgumentParser
import SwiftletMeasure
import SwiftletModels

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows what a GGUF, ONNX or safetensors file holds: metadata, interface, operators, tensors, cost, graph.")

    @Argument(help: "The file, or the name of a pulled model.")
    var file: String

    @Flag(help: "Print the graph as it runs, after the passes.")
    var graph = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if graph, json { throw ValidationError("Give --graph or --json, not both.") }
    }

    func run() throws {
        let path = try ModelCache().resolve(file)
        if graph {
            Console.write(try ModelInspection.graph(path: path))
        } else if json {
            try JSONOutput.print(try ModelInspection(path: path))
        } else {
            Console.write(InspectionText.text(try ModelInspection(path: path)))
        }
    }
}
