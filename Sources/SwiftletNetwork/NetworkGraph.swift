// An imported network as one graph, without running it: for counting what it costs, and for writing it again.
import SwiftletFormats
import SwiftletRuntime

/// A model as a graph, for inputs of given types and shapes.
package struct NetworkGraph: Sendable {
    /// Its outputs are those of the model, in the model's order. Inputs have the model's names.
    package internal(set) var graph: Graph

    /// Imports a model for the shapes its file declares, those in `shapes` (by input) where it leaves them open.
    ///
    /// Throws `SwiftletError.invalidArgument` naming an input whose shape is open, unknown or wrong, `.unsupported` where shapes or operators
    /// depend on data, so that only a run tells, and whatever the import meets.
    package init(_ file: ONNXFile, shapes: [String: [Int]]) throws {
        try self.init(file, Self.signatures(file, shapes))
    }

    /// Imports a model for inputs like these; throws as `init(_:shapes:)`.
    package init(_ file: ONNXFile, inputs: [String: ModelValue]) throws { try self.init(file, inputs.mapValues(ValueSignature.init)) }

    private init(_ file: ONNXFile, _ signatures: [String: ValueSignature]) throws {
        var importer = try Importer(file, inputs: signatures, evaluate: Evaluator.evaluate)
        do {
            importer.graph.outputs = try importer.walk().map { value in
                if case .tensor(let id) = value { return id }
                throw SwiftletError.unsupported(
                    file: file.path, place: "outputs", reason: "an output is no tensor of numbers, so no graph computes it",
                    remedy: "Run the model to see what it gives.")
            }
        } catch let pause as ImportPause {
            let place = switch pause {
            case .contents(let value): importer.graph[value].name
            case .host(let operation, _): operation.name
            }
            throw SwiftletError.unsupported(
                file: file.path, place: place, reason: "what follows depends on its elements, which only a run has",
                remedy: "Run the model with --profile to see what each node takes.")
        }
        graph = importer.graph
    }

    /// The graph as backends get it, after the passes.
    package func fused() throws -> Graph { try PassPipeline.network.run(graph) }

    private static func signatures(_ file: ONNXFile, _ shapes: [String: [Int]]) throws -> [String: ValueSignature] {
        let required = Set(file.graph.requiredInputs.map(\.name))
        for name in shapes.keys.sorted() where !file.graph.inputs.contains(where: { $0.name == name }) {
            throw SwiftletError.invalidArgument(
                name: name, reason: "\(file.path) has no such input",
                remedy: "Its inputs are: \(file.graph.inputs.map(\.name).joined(separator: ", ")).")
        }
        var signatures: [String: ValueSignature] = [:]
        for input in file.graph.inputs where required.contains(input.name) || shapes[input.name] != nil {
            guard case .tensor(let element, let declared)? = input.type, let type = element.dtype else {
                throw SwiftletError.unsupported(
                    file: file.path, place: input.name, reason: "the input is no tensor of numbers, so its size is known only when it is given",
                    remedy: "Run the model with --profile to see what each node takes.")
            }
            let sizes = declared?.map(\.size)
            if let given = shapes[input.name] {
                guard Self.suits(given, sizes), Shape(given).checkedElementCount != nil else {
                    throw SwiftletError.invalidArgument(
                        name: input.name, reason: "\(Shape(given)) does not suit \(input.type.map { "\($0)" } ?? "")", remedy: "Give a shape of that kind.")
                }
                signatures[input.name] = .tensor(type, Shape(given))
            } else {
                guard let sizes, case let fixed = sizes.compactMap({ $0 }), fixed.count == sizes.count else {
                    throw SwiftletError.invalidArgument(
                        name: input.name, reason: "is \(input.type.map { "\($0)" } ?? ""), and sizes in it are open",
                        remedy: "Give its shape, for example --shape \(input.name)=1,3,224,224.")
                }
                signatures[input.name] = .tensor(type, Shape(fixed))
            }
        }
        return signatures
    }

    private static func suits(_ given: [Int], _ declared: [Int?]?) -> Bool {
        guard let declared else { return true }
        return declared.count == given.count && zip(declared, given).allSatisfy { size, given in size == nil || size == given }
    }
}

extension ONNXDimension {
    /// Nil for a size that is open.
    fileprivate var size: Int? { if case .fixed(let size) = self { size } else { nil } }
}
