// Where the walk of an import is: one frame a graph that has been entered and not yet left, the main graph at the bottom.
import SwiftletFormats
import SwiftletGraph

/// A graph being walked: the main one, a branch, a loop's body, a function.
struct Frame: Sendable {
    let graph: ONNXGraph
    /// The index of the node that comes next.
    var next = 0
    var values: [String: Imported]
    let operatorSets: [String: Int]
    /// Whether names of the frame below are seen: sub-graphs do, functions do not.
    let seesOuter: Bool
    var purpose: Purpose
    /// A function's attributes, by name.
    var attributes: [String: ONNXAttribute.Value] = [:]

    enum Purpose: Sendable {
        case main
        /// A branch or a function: its outputs become those of the node that entered it, in the frame below.
        case call(outputs: [String])
        case loop(LoopProgress)
        case scan(ScanProgress)
        case map(MapProgress)
    }

    init(
        graph: ONNXGraph, values: [String: Imported], operatorSets: [String: Int], seesOuter: Bool, purpose: Purpose,
        attributes: [String: ONNXAttribute.Value] = [:]
    ) {
        self.graph = graph
        self.values = values
        self.operatorSets = operatorSets
        self.seesOuter = seesOuter
        self.purpose = purpose
        self.attributes = attributes
    }

    /// What the graph's outputs stand for, once all nodes are done. `below` looks a name up in the enclosing frames.
    func outputs(_ below: (String) -> Imported?) throws -> [Imported] {
        try graph.outputs.map { output in
            guard let value = values[output.name] ?? (seesOuter ? below(output.name) : nil) else {
                throw SwiftletError.invalidArgument(
                    name: output.name, reason: "the output of '\(graph.name)' has no value", remedy: "Give every input of the model a value.")
            }
            return value
        }
    }

    /// Everything that is held besides the names.
    var held: [Imported] {
        switch purpose {
        case .main, .call: []
        case .loop(let progress): progress.collected.flatMap { $0 }
        case .scan(let progress): progress.inputs + progress.collected.flatMap { $0 }
        case .map(let progress): progress.inputs + progress.collected.flatMap { $0 }
        }
    }

    /// The names that may still be read: by nodes not yet walked, by the next round of a loop, as outputs.
    func readNames(into names: inout Set<String>) {
        let rest: ArraySlice<ONNXNode>
        switch purpose {
        case .main, .call: rest = graph.nodes[next...]
        // The body is walked again.
        case .loop, .scan, .map: rest = graph.nodes[...]
        }
        for node in rest {
            names.formUnion(node.inputs)
            for (_, graph) in node.subgraphs { names.formUnion(graph.captures) }
        }
        names.formUnion(graph.outputs.map(\.name))
        names.formUnion(graph.captures)
    }

    /// The frame with its values moved to another graph; names outside `names` are forgotten.
    func moved(keeping names: Set<String>, _ transform: (ValueID) throws -> ValueID) rethrows -> Frame {
        var frame = self
        frame.values = try values.filter { names.contains($0.key) }.mapValues { try $0.mapped(transform) }
        switch purpose {
        case .main, .call: break
        case .loop(var progress):
            progress.collected = try progress.collected.map { try $0.map { try $0.mapped(transform) } }
            frame.purpose = .loop(progress)
        case .scan(var progress):
            progress.inputs = try progress.inputs.map { try $0.mapped(transform) }
            progress.collected = try progress.collected.map { try $0.map { try $0.mapped(transform) } }
            frame.purpose = .scan(progress)
        case .map(var progress):
            progress.inputs = try progress.inputs.map { try $0.mapped(transform) }
            progress.collected = try progress.collected.map { try $0.map { try $0.mapped(transform) } }
            frame.purpose = .map(progress)
        }
        return frame
    }
}

/// A loop that is being unrolled.
struct LoopProgress: Sendable {
    let outputs: [String]
    /// Values that go from round to round.
    let carriedCount: Int
    /// The most rounds; nil for no limit.
    let limit: Int?
    /// Rounds done.
    var round = 0
    /// By scan output: what each round made.
    var collected: [[Imported]]
}

/// A Scan that is being unrolled.
struct ScanProgress: Sendable {
    let outputs: [String]
    let stateCount: Int
    /// The sequences to scan, and along which axis, and whether backwards.
    var inputs: [Imported]
    let inputAxes: [Int]
    let inputReversed: [Bool]
    let outputAxes: [Int]
    let outputReversed: [Bool]
    let rounds: Int
    var round = 0
    var collected: [[Imported]]
}

/// A SequenceMap that is being unrolled.
struct MapProgress: Sendable {
    let outputs: [String]
    /// The operands: sequences give an element a round, others are the same each round.
    var inputs: [Imported]
    let rounds: Int
    var round = 0
    var collected: [[Imported]]
}
