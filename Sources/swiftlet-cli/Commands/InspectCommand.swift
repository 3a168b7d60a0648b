import ArgumentParser
import SwiftletMeasure
import SwiftletModels

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows what a GGUF, ONNX or safetensors file holds: metadata, interface, operators, tensors, cost, graph.")

    @Argument(help: "The file, or the name of a pulled model.")
    var file: String

    @Option(help: "The shape of an input of an ONNX model whose sizes are open: name=1,3,224,224. Needed for the cost of a run. May be repeated.")
    var shape: [NamedArgument] = []

    @Flag(help: "Print the graph as it runs, after the passes.")
    var graph = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if graph, json { throw ValidationError("Give --graph or --json, not both.") }
    }

    func run() throws {
        let path = try ModelCache().resolve(file)
        let shapes = Dictionary(try shape.map { ($0.name, try $0.sizes("--shape")) }, uniquingKeysWith: { _, last in last })
        if graph {
            Console.write(try ModelInspection.graph(path: path))
        } else if json {
            try JSONOutput.print(try ModelInspection(path: path, shapes: shapes))
        } else {
            Console.write(InspectionText.text(try ModelInspection(path: path, shapes: shapes)))
        }
    }
}
