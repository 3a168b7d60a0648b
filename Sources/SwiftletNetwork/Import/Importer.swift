// From an ONNX model to graphs: walks the nodes in order with every shape known, adds the operations each operator comes down to, and computes
// at once whatever depends on constants alone.
//
// ONNX lets numbers decide shapes and branches. Most of those numbers follow from shapes, which are known here, and so fold away. Where they
// come from data, the walk stops (`ImportPause`): what has been built is a segment that can run, and the walk goes on behind it when the
// numbers are there (`Segment`). Sub-graphs and functions are walked in place, as frames of a stack that is part of the state, so that a pause
// may fall anywhere.
import SwiftletFormats
import SwiftletGraph

/// The state of an import: the graph so far, and where the walk is.
struct Importer: Sendable {
    let file: ONNXFile
    let evaluate: ConstantFolding.Evaluator
    var graph: Graph
    var frames: [Frame] = []
    /// How often a node name has been used: names must be unique.
    private var nameUses: [String: Int] = [:]
    /// Nodes walked so far, those of loops each time.
    private(set) var walked: Int

    /// Loops are unrolled; a model that would go on for ever must not take all memory.
    static let mostNodes = 100_000
    /// The largest constant made by folding.
    static let mostFoldedBytes = 256 << 20

    /// Begins with the main graph. `inputs` by name: what the caller gives; `constants`: inputs that are the same in every run.
    init(_ file: ONNXFile, inputs: [String: ValueSignature], constants: [String: Tensor] = [:], evaluate: @escaping ConstantFolding.Evaluator) throws {
        self.file = file
        self.evaluate = evaluate
        graph = Graph(name: file.graph.name.isEmpty ? "onnx" : file.graph.name)
        walked = 0
        var values: [String: Imported] = [:]
        for tensor in file.graph.initializers { values[tensor.name] = try constant(tensor) }
        for input in file.graph.inputs {
            if let tensor = constants[input.name] { values[input.name] = .tensor(weight(try Weight(tensor, name: input.name), name: input.name)) }
            if let signature = inputs[input.name] { values[input.name] = try self.input(input.name, signature) }
        }
        frames = [Frame(graph: file.graph, values: values, operatorSets: file.operatorSets, seesOuter: false, purpose: .main)]
    }

    /// Goes on behind a pause with a new, empty graph. `values` gives every value that is still needed its place in it.
    init(continuing other: Importer, with build: (inout Importer) throws -> Void) rethrows {
        file = other.file
        evaluate = other.evaluate
        graph = Graph(name: other.graph.name)
        frames = other.frames
        walked = other.walked
        try build(&self)
    }

    /// A graph input for each tensor of a value with this signature.
    mutating func input(_ name: String, _ signature: ValueSignature) throws -> Imported {
        switch signature {
        case .tensor(let type, let shape):
            .tensor(graph.add(Value(name: name, type: ValueType(type, shape.dimensions.map { Dimension($0) }), origin: .input)))
        case .strings(let strings): .strings(strings)
        case .sequence(let elements): .sequence(try elements.enumerated().map { try input("\(name).\($0)", $1) })
        case .absent: .absent
        }
    }

    // MARK: The walk

    /// Walks to the end and returns the outputs of the main graph. Throws `ImportPause` where numbers are needed; the state is then where the
    /// walk has to go on.
    mutating func walk() throws -> [Imported] {
        while let frame = frames.last {
            // The end of a graph counts too: the rounds of a loop may have no nodes.
            walked += 1
            guard walked <= Self.mostNodes else {
                throw SwiftletError.unsupported(
                    file: file.path, place: "graph '\(frame.graph.name)'", reason: "unrolling loops has come to more than \(Self.mostNodes) nodes",
                    remedy: "Give the loop fewer iterations.")
            }
            if frame.next < frame.graph.nodes.count {
                try visit(frame.graph.nodes[frame.next])
            } else if let outputs = try leave() {
                return outputs
            }
        }
        return []
    }

    private mutating func visit(_ node: ONNXNode) throws {
        let top = frames.count - 1
        let call = OperatorCall(
            node: try resolved(node), version: frames[top].operatorSets[node.domain] ?? 1, inputs: try node.inputs.map { try lookUp($0, node) },
            file: file.path)
        if let function = function(of: node) {
            try enter(function, call)
            frames[top].next += 1
            return
        }
        if let enter = Self.controlFlow[node.op], node.domain == ONNXFile.standardDomain {
            try enter(&self, call)
            frames[top].next += 1
            return
        }
        let key = node.domain == ONNXFile.standardDomain ? node.op : "\(node.domain).\(node.op)"
        guard let importer = Self.operators[key] else {
            throw SwiftletError.unsupported(
                file: file.path, place: node.label, reason: "the operator \(key) (version \(call.version)) is not one this version runs",
                remedy: "Export the model without it, or as a function of other operators.")
        }
        scopeName = node.name.isEmpty ? node.op : node.name
        let results = try importer(&self, call)
        bind(results, to: node.outputs, at: top)
        frames[top].next += 1
    }

    /// The prefix of the names of the nodes being added.
    private var scopeName = ""

    /// Gives the results of a node their names in a frame.
    mutating func bind(_ results: [Imported], to names: [String], at frame: Int) {
        for (name, result) in zip(names, results) where !name.isEmpty { frames[frame].values[name] = result }
    }

    /// What a node's input stands for. Nil for one that is left out.
    private func lookUp(_ name: String, _ node: ONNXNode) throws -> Imported? {
        if name.isEmpty { return nil }
        if let value = value(of: name) { return value }
        // An input of a function that its caller leaves out is left out inside, too.
        if let scope = frames.last(where: { !$0.seesOuter }), case .call = scope.purpose, scope.graph.inputs.contains(where: { $0.name == name }) { return nil }
        throw SwiftletError.invalidArgument(
            name: name, reason: "the node \(node.label) reads it, and it has no value", remedy: "Give every input of the model a value.")
    }

    /// What a name stands for: in the innermost graph, or in the ones around it.
    private func value(of name: String) -> Imported? {
        for frame in frames.reversed() {
            if let value = frame.values[name] { return value }
            if !frame.seesOuter { return nil }
        }
        return nil
    }

    /// What the outputs of the innermost graph stand for, once all its nodes are done.
    func outputs() throws -> [Imported] {
        let graph = frames[frames.count - 1].graph
        return try graph.outputs.map { output in
            if let value = value(of: output.name) { return value }
            throw SwiftletError.invalidArgument(
                name: output.name, reason: "the output of '\(graph.name)' has no value", remedy: "Give every input of the model a value.")
        }
    }

    /// The node with references to a function's attributes replaced by what the caller gave.
    private func resolved(_ node: ONNXNode) throws -> ONNXNode {
        let given = frames[frames.count - 1].attributes
        var node = node
        node.resolveReferences(given)
        return node
    }

    // MARK: Constants

    /// An initialiser or a constant.
    mutating func constant(_ tensor: ONNXTensor) throws -> Imported {
        switch tensor.content {
        case .strings(let values): return .strings(StringTensor(shape: tensor.shape, values: values.map { String(decoding: $0, as: UTF8.self) }))
        case .elements:
            guard let type = tensor.type.dtype, let store = try tensor.elementStore() else {
                throw SwiftletError.unsupported(
                    file: file.path, place: "tensor '\(tensor.name)'", reason: "its element type \(tensor.type) is not one this version computes with",
                    remedy: "Export the model with another type.")
            }
            return .tensor(try weight(Weight(name: tensor.name, shape: tensor.shape, format: .dense(type), store: store), name: tensor.name))
        }
    }

    mutating func weight(_ weight: Weight, name: String) -> ValueID {
        graph.add(Value(name: name, type: weight.type, origin: .weight(weight)))
    }

    // MARK: Adding operations

    /// A name for a node that no other node has.
    private mutating func uniqueName(_ detail: String) -> String {
        let name = detail.isEmpty ? scopeName : "\(scopeName)/\(detail)"
        let uses = nameUses[name, default: 0]
        nameUses[name] = uses + 1
        return uses == 0 ? name : uniqueName("\(detail)#\(uses)")
    }

    /// Adds an operation, or computes it when all its operands are constants. `detail` tells the operations of one ONNX node apart.
    mutating func applyAll(_ op: Op, _ operands: [ValueID], _ detail: String = "") throws -> [ValueID] {
        let name = uniqueName(detail)
        let types = try op.outputTypes(for: operands.map { graph[$0].type }, node: name)
        let outputs = types.enumerated().map { index, type in
            graph.add(Value(name: types.count == 1 ? name : "\(name).\(index)", type: type, origin: .node))
        }
        let node = Node(name: name, op: op, inputs: operands, outputs: outputs)
        if operands.allSatisfy({ graph[$0].weight != nil }), try folds(types, operands) {
            for (output, weight) in zip(outputs, try evaluate(node, graph)) { graph[output].origin = .weight(weight) }
            if case .tensor(.dequantize) = op {
                graph[outputs[0]].quantized = QuantizedSource(values: operands[0], scale: operands[1], zeroPoint: operands.count > 2 ? operands[2] : nil)
            } else if case .tensor(.transpose) = op, let source = graph[operands[0]].quantized {
                graph[outputs[0]].quantized = try moved(source, by: op, "quantised")
            }
        } else {
            graph.nodes.append(node)
        }
        return outputs
    }

    /// Where a transposed constant comes from: the numbers transposed in the same way, and what is along their axes.
    private mutating func moved(_ source: QuantizedSource, by op: Op, _ detail: String) throws -> QuantizedSource? {
        let rank = rank(source.values)
        var parts: [ValueID] = []
        for value in [source.values, source.scale] + (source.zeroPoint.map { [$0] } ?? []) {
            guard self.rank(value) == rank || count(value) == 1 else { return nil }
            parts.append(self.rank(value) == rank ? try apply(op, [value], detail) : value)
            guard graph[parts[parts.count - 1]].weight != nil else { return nil }
        }
        return QuantizedSource(values: parts[0], scale: parts[1], zeroPoint: parts.count > 2 ? parts[2] : nil)
    }

    mutating func apply(_ op: Op, _ operands: [ValueID], _ detail: String = "") throws -> ValueID { try applyAll(op, operands, detail)[0] }

    mutating func apply(_ op: TensorOp, _ operands: [ValueID], _ detail: String = "") throws -> ValueID {
        try applyAll(.tensor(op), operands, detail)[0]
    }

    /// Whether results of these types are worth keeping: a small constant may broadcast to one that fills the memory.
    private func folds(_ types: [ValueType], _ operands: [ValueID]) throws -> Bool {
        let bytes = try types.reduce(0) { $0 + (try $1.shape(under: [:]).elementCount) * $1.element.byteCount }
        let read = operands.reduce(0) { $0 + (graph[$1].weight?.store.byteCount ?? 0) }
        return bytes <= max(1 << 20, min(Self.mostFoldedBytes, 4 * read))
    }

    // MARK: Looking at values

    func element(_ id: ValueID) -> DType { graph[id].type.element }

    /// All sizes are numbers during an import.
    func shape(_ id: ValueID) -> [Int] { graph[id].type.shape.map { $0.fixed ?? 0 } }

    func rank(_ id: ValueID) -> Int { graph[id].type.shape.count }

    func count(_ id: ValueID) -> Int { shape(id).reduce(1, *) }

    func isConstant(_ id: ValueID) -> Bool { graph[id].weight != nil }

    /// The elements of a value; pauses the import when only a run knows them.
    func contents(_ id: ValueID) throws -> Weight {
        if let weight = graph[id].weight { return weight }
        throw ImportPause.contents(id)
    }

    /// The elements of a tensor of integers or bools.
    func integers(_ id: ValueID) throws -> [Int] {
        let weight = try contents(id)
        guard let numbers = weight.store.withBytes({ weight.elementType?.wholeNumbers(in: $0) }) else {
            throw SwiftletError.invalidGraph(node: graph[id].name, reason: "holds \(graph[id].type), not integers", remedy: "Export the model again.")
        }
        return numbers
    }

    /// The elements of a tensor of floats of up to 32 bits, or of anything that converts to them.
    func floats(_ id: ValueID) throws -> [Float] {
        try contents(id).floats()
    }

    /// The elements of a tensor of floats, none rounded.
    func doubles(_ id: ValueID) throws -> [Double] {
        let weight = try contents(id)
        if weight.elementType == .f64 { return weight.store.withBytes { Array($0.bindMemory(to: Double.self)) } }
        return try floats(id).map(Double.init)
    }
}

extension Weight {
    /// The type of dense elements.
    var elementType: DType? { if case .dense(let type) = format { type } else { nil } }
}
