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

    /// Everything that is held besides the names.
    var held: [Imported] {
        switch purpose {
        case .main, .call: []
        case .loop(let progress): progress.rounds.held
        case .scan(let progress): progress.rounds.held
        case .map(let progress): progress.rounds.held
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
            progress.rounds = try progress.rounds.moved(transform)
            frame.purpose = .loop(progress)
        case .scan(var progress):
            progress.rounds = try progress.rounds.moved(transform)
            frame.purpose = .scan(progress)
        case .map(var progress):
            progress.rounds = try progress.rounds.moved(transform)
            frame.purpose = .map(progress)
        }
        return frame
    }
}

/// What everything that is unrolled round by round holds.
struct Rounds: Sendable {
    /// The names of the results.
    let outputs: [String]
    /// What rounds take their operands from, besides the values that go from round to round.
    var inputs: [Imported] = []
    /// Rounds done.
    var done = 0
    /// By result that is put together of all rounds: what each made.
    private(set) var collected: [[Imported]]

    init(outputs: [String], inputs: [Imported] = [], collecting count: Int) {
        self.outputs = outputs
        self.inputs = inputs
        collected = [[Imported]](repeating: [], count: count)
    }

    /// Ends a round that made `results`.
    mutating func add(_ results: some Sequence<Imported>) {
        done += 1
        for (index, result) in zip(collected.indices, results) { collected[index].append(result) }
    }

    var held: [Imported] { inputs + collected.flatMap { $0 } }

    /// The same with its values moved to another graph.
    func moved(_ transform: (ValueID) throws -> ValueID) rethrows -> Rounds {
        var rounds = self
        rounds.inputs = try inputs.map { try $0.mapped(transform) }
        rounds.collected = try collected.map { try $0.map { try $0.mapped(transform) } }
        return rounds
    }
}

/// A loop that is being unrolled.
struct LoopProgress: Sendable {
    var rounds: Rounds
    /// Values that go from round to round.
    let carriedCount: Int
    /// The most rounds; nil for no limit.
    let limit: Int?
}

/// A Scan that is being unrolled. The inputs of its rounds are the sequences to scan.
struct ScanProgress: Sendable {
    var rounds: Rounds
    let stateCount: Int
    /// Along which axis each sequence is scanned, and whether backwards.
    let inputAxes: [Int]
    let inputReversed: [Bool]
    let outputAxes: [Int]
    let outputReversed: [Bool]
    let count: Int
}

/// A SequenceMap that is being unrolled. The inputs of its rounds are the operands: sequences give an element a round, others are the same each round.
struct MapProgress: Sendable {
    var rounds: Rounds
    let count: Int
}
