// A piece of an imported model that runs in one go, and what comes behind it.
//
// Most models are one segment. Where the import paused, the numbers it waits for are outputs of the segment, and what comes next is found by
// them: by the elements themselves where elements decide (a shape, a branch), by types and shapes where an operation outside of graphs makes
// values. Numbers seen before find the segment compiled for them; new ones continue the import from the state kept here.
import Foundation
import SwiftletRuntime

/// A compiled piece of a model for inputs of certain types and shapes.
final class Segment: Sendable {
    /// Nil when there is nothing to compute.
    let compiled: CompiledGraph?
    let inputs: [ValueID]
    /// The values that leave the segment, in the order in which what comes next, or the caller, takes them.
    let leaving: [Leaving]
    let ending: Ending
    /// What came behind it in earlier runs.
    let memory = SegmentMemory()

    struct Leaving: Sendable {
        let id: ValueID
        /// Its place among the inputs, when it only passes through.
        let input: Int?
    }

    enum Ending: Sendable {
        case finished([Result])
        /// The elements of the first value that leaves decide.
        case contents(Importer)
        case host(HostOperation, operands: [Result], Importer)
    }

    /// A value made of constants and of values that leave.
    indirect enum Result: Sendable {
        case leaving(Int)
        case constant(Tensor)
        case strings(StringTensor)
        case sequence([Result])
        case absent

        /// The value, from the tensors that have left.
        func value(_ tensors: [Tensor]) -> ModelValue {
            switch self {
            case .leaving(let index): .tensor(tensors[index])
            case .constant(let tensor): .tensor(tensor)
            case .strings(let strings): .strings(strings)
            case .sequence(let elements): .sequence(elements.map { $0.value(tensors) })
            case .absent: .absent
            }
        }
    }

    /// Walks from where `importer` is to the end or the next pause, and compiles what has been built.
    init(_ importer: Importer, compile: (Graph) throws -> CompiledGraph) throws {
        var importer = importer
        var leaving = LeavingValues()
        do {
            let outputs = try importer.walk()
            ending = .finished(try outputs.map { try leaving.result($0, importer.graph) })
        } catch ImportPause.contents(let value) {
            leaving.add([value] + importer.liveValues())
            ending = .contents(importer)
        } catch ImportPause.host(let operation, let operands) {
            let results = try operands.map { try leaving.result($0, importer.graph) }
            leaving.add(importer.liveValues())
            ending = .host(operation, operands: results, importer)
        }
        var graph = importer.graph
        inputs = graph.inputs
        self.leaving = leaving.order.map { id in Leaving(id: id, input: graph.inputs.firstIndex(of: id)) }
        graph.outputs = self.leaving.filter { $0.input == nil }.map(\.id)
        compiled = graph.outputs.isEmpty ? nil : try compile(graph)
    }

    /// The import behind a pause for elements, which `tensors`, the values that left, now have.
    func continuation(_ importer: Importer, afterContents tensors: [Tensor]) throws -> Importer {
        try importer.continued(leaving: zip(leaving.map(\.id), tensors).map { ($0, $1) }, constant: leaving[0].id, results: nil)
    }

    /// The import behind an operation outside of graphs that gave `results`.
    func continuation(_ importer: Importer, afterHost results: [ModelValue], tensors: [Tensor]) throws -> Importer {
        try importer.continued(leaving: zip(leaving.map(\.id), tensors).map { ($0, $1) }, constant: nil, results: results)
    }
}

/// The values that leave a segment, each once.
private struct LeavingValues {
    private(set) var order: [ValueID] = []
    private var places: [ValueID: Int] = [:]

    mutating func add(_ ids: [ValueID]) {
        for id in ids where places.updateValue(places[id] ?? order.count, forKey: id) == nil { order.append(id) }
    }

    /// Where a value comes from, seen from behind the segment.
    mutating func result(_ value: Imported, _ graph: Graph) throws -> Segment.Result {
        switch value {
        case .tensor(let id):
            if let weight = graph[id].weight { return .constant(try Tensor(weight)) }
            add([id])
            return .leaving(places[id] ?? 0)
        case .strings(let strings): return .strings(strings)
        case .sequence(let elements): return .sequence(try elements.map { try result($0, graph) })
        case .absent: return .absent
        }
    }
}

extension Importer {
    /// The computed values and inputs that may still be read, in a fixed order.
    func liveValues() -> [ValueID] {
        let names = readNames()
        let live = frames.flatMap { frame in
            frame.held + frame.values.filter { names.contains($0.key) }.sorted { $0.key < $1.key }.map(\.value)
        }
        return live.flatMap(\.tensors).filter { graph[$0].weight == nil }
    }

    private func readNames() -> Set<String> {
        var names: Set<String> = []
        for frame in frames { frame.readNames(into: &names) }
        return names
    }

    /// The walk behind a pause, with a new graph whose inputs are the values that left the old one, in order. `constant` is the one whose
    /// elements are now known; `results` are those of the operation that paused, in tensors after the others.
    func continued(leaving: [(id: ValueID, tensor: Tensor)], constant: ValueID?, results: [ModelValue]?) throws -> Importer {
        try Importer(continuing: self) { next in
            var moved: [ValueID: ValueID] = [:]
            for (id, tensor) in leaving {
                let type = graph[id].type
                let input = next.graph.add(Value(name: "in.\(id.index)", type: type, origin: .input))
                // Its elements are in the memory of this import from now on: every run that has others goes another way.
                moved[id] = id == constant ? next.weight(try Weight(tensor, name: graph[id].name), name: graph[id].name) : input
            }
            let names = readNames()
            next.frames = try frames.map { frame in
                try frame.moved(keeping: names) { id in
                    if let place = moved[id] { return place }
                    guard let weight = graph[id].weight else {
                        throw SwiftletError.invalidGraph(node: graph[id].name, reason: "is read behind a pause it did not leave", remedy: "Report this.")
                    }
                    let place = next.weight(weight, name: graph[id].name)
                    moved[id] = place
                    return place
                }
            }
            guard let results else { return }
            let top = next.frames.count - 1
            let node = next.frames[top].graph.nodes[next.frames[top].next]
            let values = try results.enumerated().map { try next.input("host.\($0)", ValueSignature($1)) }
            next.bind(values, to: node.outputs, at: top)
            next.frames[top].next += 1
        }
    }
}

extension Tensor {
    /// A constant of a graph: its bytes are shared where they are aligned.
    init(_ weight: Weight) throws {
        guard let type = weight.elementType else {
            throw SwiftletError.invalidArgument(name: "\(weight.format)", reason: "blocks are no tensor", remedy: "Dequantise the weight.")
        }
        self = try weight.store.withBytes { try Tensor(type, shape: weight.shape, copying: $0) }
    }
}

extension Weight {
    /// A tensor as a constant.
    init(_ tensor: Tensor, name: String) throws {
        let store = try tensor.withBytes { bytes in try WeightStore(byteCount: bytes.count) { $0.copyMemory(from: bytes) } }
        try self.init(name: name, shape: tensor.shape, format: .dense(tensor.type), store: store)
    }
}
