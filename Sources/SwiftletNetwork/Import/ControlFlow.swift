// Branches, loops and functions: entering a graph pushes a frame, leaving it gives its outputs to the frame below or begins the next round.
// Loops are unrolled: the rounds of one whose end depends on data are segments of their own, found again by the condition they left with.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    /// The operators with graphs inside.
    static let controlFlow: [String: @Sendable (inout Importer, OperatorCall) throws -> Void] = [
        "If": { try $0.enterBranch($1) },
        "Loop": { try $0.enterLoop($1) },
        "Scan": { try $0.enterScan($1) },
        "SequenceMap": { try $0.enterMap($1) },
    ]

    // MARK: Functions and branches

    /// The function of the model that a node calls.
    func function(of node: ONNXNode) -> ONNXFunction? {
        file.functions.first { $0.domain == node.domain && $0.name == node.op && $0.overload == node.overload }
    }

    mutating func enter(_ function: ONNXFunction, _ call: OperatorCall) throws {
        var values: [String: Imported] = [:]
        for (input, value) in zip(function.body.inputs, call.inputs) { values[input.name] = value }
        var attributes: [String: ONNXAttribute.Value] = [:]
        for attribute in function.attributeDefaults + call.node.attributes { attributes[attribute.name] = attribute.value }
        try push(
            Frame(
                graph: function.body, values: values, operatorSets: function.operatorSets, seesOuter: false, purpose: .call(outputs: call.node.outputs),
                attributes: attributes))
    }

    private mutating func enterBranch(_ call: OperatorCall) throws {
        let condition = try integers(call.tensor(0))
        try call.require(condition.count == 1, "the condition has \(condition.count) elements")
        let name = condition[0] != 0 ? "then_branch" : "else_branch"
        guard let branch = try call.node.graph(name) else { throw call.invalid("lacks its \(name)") }
        try push(subgraph(branch, [:], .call(outputs: call.node.outputs)))
    }

    private func subgraph(_ graph: ONNXGraph, _ values: [String: Imported], _ purpose: Frame.Purpose) -> Frame {
        let outer = frames[frames.count - 1]
        return Frame(
            graph: graph, values: values, operatorSets: outer.operatorSets, seesOuter: true, purpose: purpose, attributes: outer.attributes)
    }

    /// Deep nesting of files is limited by the reader; functions may call each other in long chains.
    private mutating func push(_ frame: Frame) throws {
        guard frames.count < 256 else {
            throw SwiftletError.unsupported(
                file: file.path, place: frame.graph.name, reason: "graphs and functions are nested more than 256 deep", remedy: "Inline the functions.")
        }
        var frame = frame
        for tensor in frame.graph.initializers where frame.values[tensor.name] == nil { frame.values[tensor.name] = try constant(tensor) }
        frames.append(frame)
    }

    /// The innermost graph is done. Returns the outputs when it was the main one.
    mutating func leave() throws -> [Imported]? {
        let frame = frames[frames.count - 1]
        let outputs = try outputs()
        switch frame.purpose {
        case .main: return outputs
        case .call(let names):
            frames.removeLast()
            bind(outputs, to: names, at: frames.count - 1)
        case .loop(let progress): try endRound(progress, outputs)
        case .scan(let progress): try endRound(progress, outputs)
        case .map(let progress): try endRound(progress, outputs)
        }
        return nil
    }

    /// Ends a repeated graph: its results get their names in the frame below.
    private mutating func finish(_ results: [Imported], _ names: [String]) {
        frames.removeLast()
        bind(results, to: names, at: frames.count - 1)
    }

    // MARK: Loop

    private mutating func enterLoop(_ call: OperatorCall) throws {
        guard let body = try call.node.graph("body") else { throw call.invalid("lacks its body") }
        let limit = try call.optional(0).map { try integers($0) }?.first
        let goesOn = try call.optional(1).map { try integers($0) }?.first ?? 1
        let carried = try call.inputs.dropFirst(2).map { value in
            guard let value else { throw call.invalid("lacks a carried value") }
            return value
        }
        try call.require(body.inputs.count == carried.count + 2, "the body takes \(body.inputs.count) inputs where \(carried.count + 2) are given")
        try call.require(body.outputs.count >= carried.count + 1, "the body gives \(body.outputs.count) outputs, too few for \(carried.count) carried values")
        let scans = body.outputs.count - 1 - carried.count
        let progress = LoopProgress(
            rounds: Rounds(outputs: call.node.outputs, collecting: scans), carriedCount: carried.count, limit: limit)
        try push(subgraph(body, [:], .loop(progress)))
        try beginRound(progress, carried, goesOn: goesOn != 0)
    }

    /// Starts a round of the loop in the innermost frame, or ends it.
    private mutating func beginRound(_ progress: LoopProgress, _ carried: [Imported], goesOn: Bool) throws {
        let top = frames.count - 1
        guard goesOn, progress.limit.map({ progress.rounds.done < $0 }) ?? true else {
            let body = frames[top].graph
            let scans = try progress.rounds.collected.enumerated().map { index, pieces in
                try stacked(pieces, of: body.outputs[1 + progress.carriedCount + index], axis: 0)
            }
            return finish(carried + scans, progress.rounds.outputs)
        }
        restart(.loop(progress))
        let inputs = frames[top].graph.inputs.map(\.name)
        let round = try constant([progress.rounds.done], shape: [])
        bind([.tensor(round), .tensor(try constant([1], shape: [], .bool))] + carried, to: inputs, at: top)
    }

    private mutating func endRound(_ progress: LoopProgress, _ outputs: [Imported]) throws {
        guard case .tensor(let condition) = outputs[0] else {
            throw SwiftletError.invalidGraph(node: "Loop", reason: "the condition is no tensor", remedy: "Export the model again.")
        }
        let goesOn = try integers(condition).first ?? 0
        var progress = progress
        progress.rounds.add(outputs[(1 + progress.carriedCount)...])
        try beginRound(progress, Array(outputs[1..<1 + progress.carriedCount]), goesOn: goesOn != 0)
    }

    /// Tensors of one shape along a new axis. Without any: an empty tensor of the declared type.
    private mutating func stacked(_ pieces: [Imported], of declared: ONNXValueInfo, axis: Int) throws -> Imported {
        guard let first = pieces.first else { return .tensor(try empty(declared, axis: axis)) }
        let rank: Int
        switch first {
        case .tensor(let id): rank = self.rank(id)
        case .strings(let texts): rank = texts.shape.rank
        case .sequence, .absent: rank = 0
        }
        let place = axis < 0 ? axis + rank + 1 : axis
        guard (0...rank).contains(place) else { throw wrongPieces(declared, "have \(rank) axes, so they are not stacked along the axis \(axis)") }
        if case .strings(let texts) = first, place == 0 {
            let values = try pieces.flatMap { piece in
                guard case .strings(let other) = piece, other.shape == texts.shape else { throw wrongPieces(declared, "differ from round to round") }
                return other.values
            }
            return .strings(StringTensor(shape: Shape([pieces.count] + texts.shape.dimensions), values: values))
        }
        let ids = try pieces.map { piece in
            guard case .tensor(let id) = piece, case .tensor(let one) = first, graph[id].type == graph[one].type else {
                throw wrongPieces(declared, "are no tensors of one type and shape")
            }
            return try unsqueeze(id, [place])
        }
        return .tensor(try concat(ids, axis: place, "stack"))
    }

    private func wrongPieces(_ declared: ONNXValueInfo, _ reason: String) -> SwiftletError {
        .invalidGraph(node: declared.name, reason: "the values of the rounds \(reason), in \(file.path)", remedy: "Export the model again.")
    }

    /// What rounds that never were have made: the declared type with no elements along the axis of the rounds, and along those of unknown size.
    private mutating func empty(_ declared: ONNXValueInfo, axis: Int) throws -> ValueID {
        guard case .tensor(let type, let shape) = declared.type, let element = type.dtype else {
            throw SwiftletError.unsupported(
                file: file.path, place: declared.name, reason: "a loop without rounds gives an output of no declared type",
                remedy: "Declare the types of the body's outputs.")
        }
        var sizes = (shape ?? []).map { if case .fixed(let size) = $0 { size } else { 0 } }
        let place = axis < 0 ? axis + sizes.count + 1 : axis
        guard (0...sizes.count).contains(place) else { throw wrongPieces(declared, "have \(sizes.count) axes, not an axis \(axis)") }
        sizes.insert(0, at: place)
        return try constant(shape: sizes, element) { _ in }
    }

    /// Begins a round in the innermost frame: only the graph's own constants are left of the one before.
    private mutating func restart(_ purpose: Frame.Purpose) {
        let top = frames.count - 1
        frames[top].purpose = purpose
        frames[top].next = 0
        let initializers = Set(frames[top].graph.initializers.map(\.name))
        frames[top].values = frames[top].values.filter { initializers.contains($0.key) }
    }

    // MARK: Scan

    private mutating func enterScan(_ call: OperatorCall) throws {
        guard let body = try call.node.graph("body") else { throw call.invalid("lacks its body") }
        guard call.version >= 9 else { throw call.unsupported("scans of version 8, over batches, are not done") }
        guard let scanCount = try call.node.int("num_scan_inputs") else { throw call.invalid("lacks num_scan_inputs") }
        let stateCount = call.inputs.count - scanCount
        try call.require(scanCount >= 1 && stateCount >= 0 && body.inputs.count == call.inputs.count, "the body does not suit the inputs")
        let outputCount = body.outputs.count - stateCount
        try call.require(outputCount >= 0, "the body gives too few outputs")
        func list(_ name: String, _ count: Int) throws -> [Int] {
            let values = try call.ints(name) ?? [Int](repeating: 0, count: count)
            try call.require(values.count == count, "\(name) has \(values.count) entries where \(count) are needed")
            return values
        }
        let sequences = try (stateCount..<call.inputs.count).map { try call.tensor($0) }
        let axes = try zip(list("scan_input_axes", scanCount), sequences).map { try call.axis($0, rank: rank($1)) }
        let lengths = zip(axes, sequences).map { shape($1)[$0] }
        try call.require(Set(lengths).count == 1, "the sequences have the lengths \(lengths)")
        let progress = ScanProgress(
            rounds: Rounds(outputs: call.node.outputs, inputs: sequences.map { .tensor($0) }, collecting: outputCount), stateCount: stateCount, inputAxes: axes,
            inputReversed: try list("scan_input_directions", scanCount).map { $0 != 0 }, outputAxes: try list("scan_output_axes", outputCount),
            outputReversed: try list("scan_output_directions", outputCount).map { $0 != 0 }, count: lengths[0])
        let states = try (0..<stateCount).map { Imported.tensor(try call.tensor($0)) }
        try push(subgraph(body, [:], .scan(progress)))
        try beginRound(progress, states)
    }

    private mutating func beginRound(_ progress: ScanProgress, _ states: [Imported]) throws {
        let top = frames.count - 1
        guard progress.rounds.done < progress.count else {
            let body = frames[top].graph
            let scans = try progress.rounds.collected.enumerated().map { index, pieces in
                try stacked(
                    progress.outputReversed[index] ? pieces.reversed() : pieces, of: body.outputs[progress.stateCount + index],
                    axis: progress.outputAxes[index])
            }
            return finish(states + scans, progress.rounds.outputs)
        }
        restart(.scan(progress))
        var elements: [Imported] = []
        for (index, input) in progress.rounds.inputs.enumerated() {
            guard case .tensor(let id) = input else { continue }
            let axis = progress.inputAxes[index]
            let place = progress.inputReversed[index] ? progress.count - 1 - progress.rounds.done : progress.rounds.done
            let part = try slice(id, axis: axis, place..<place + 1, "scan")
            var shape = shape(part)
            shape.remove(at: axis)
            elements.append(.tensor(try reshape(part, shape)))
        }
        bind(states + elements, to: frames[top].graph.inputs.map(\.name), at: top)
    }

    private mutating func endRound(_ progress: ScanProgress, _ outputs: [Imported]) throws {
        var progress = progress
        progress.rounds.add(outputs[progress.stateCount...])
        try beginRound(progress, Array(outputs[..<progress.stateCount]))
    }

    // MARK: SequenceMap

    private mutating func enterMap(_ call: OperatorCall) throws {
        guard let body = try call.node.graph("body") else { throw call.invalid("lacks its body") }
        guard case .sequence(let first) = call.value(0) else { throw call.invalid("the first input is no sequence") }
        let inputs = try call.inputs.map { value in
            guard let value else { throw call.invalid("lacks an input") }
            return value
        }
        for case .sequence(let elements) in inputs { try call.require(elements.count == first.count, "the sequences have different lengths") }
        try call.require(body.inputs.count == inputs.count, "the body does not suit the inputs")
        let progress = MapProgress(
            rounds: Rounds(outputs: call.node.outputs, inputs: inputs, collecting: body.outputs.count), count: first.count)
        try push(subgraph(body, [:], .map(progress)))
        beginRound(progress)
    }

    private mutating func beginRound(_ progress: MapProgress) {
        let top = frames.count - 1
        guard progress.rounds.done < progress.count else { return finish(progress.rounds.collected.map { .sequence($0) }, progress.rounds.outputs) }
        restart(.map(progress))
        let values = progress.rounds.inputs.map { input in if case .sequence(let elements) = input { elements[progress.rounds.done] } else { input } }
        bind(values, to: frames[top].graph.inputs.map(\.name), at: top)
    }

    private mutating func endRound(_ progress: MapProgress, _ outputs: [Imported]) throws {
        var progress = progress
        progress.rounds.add(outputs)
        beginRound(progress)
    }
}
