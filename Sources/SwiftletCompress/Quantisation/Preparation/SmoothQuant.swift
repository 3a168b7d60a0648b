// Difficulty moved from activations to weights: a few channels of what linear layers read are tens of times larger than the rest, and would leave
// the rest with a handful of levels. Dividing channel j by s_j = max|x_j|^α / max|w_j|^(1−α) and multiplying column j of the weights by it changes nothing
// but who is hard to round. Source: Xiao et al., "SmoothQuant", 2023.
//
// Behind a normalisation the division costs nothing: it goes into its scale and bias. Where others read the normalised value too (the residual of a
// network that normalises after the sum, as BERT does), it takes a multiplication of its own in front of the linear layers.
import SwiftletRuntime

/// Smooths what linear layers behind normalisations read.
public struct SmoothQuant: CompressionStep {
    public static let technique = "smoothquant"

    public var scope: Scope
    /// How much of the difficulty goes to the weights, from 0 to 1.
    public var alpha: Float
    /// Whether values that not only linear layers read are divided by a node of their own, else they are left alone.
    public var inserts: Bool

    public init(scope: Scope = .all, alpha: Float = 0.5, inserts: Bool = false) {
        self.scope = scope
        self.alpha = alpha
        self.inserts = inserts
    }

    /// Throws `SwiftletError.invalidArgument` without calibration data or when no linear layer stands behind a normalisation.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let sites = graph.smoothingSites(scope, inserts: inserts)
        guard !sites.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: Self.technique, reason: "no linear layers of the scope stand behind a normalisation that only they read",
                remedy: "Widen the scope, or allow a multiplication in front of them with inserts: true.")
        }
        let layers = Dictionary(grouping: graph.layers()) { $0.node }
        let first = sites.compactMap { site in site.linears.first.flatMap { layers[$0]?.first } }
        let moments = try InputPeaks.collect(graph, values: first.map(\.input), data: data, in: context, technique: Self.technique)
        var result = graph
        var reports: [TensorReport] = []
        var inserted: [(before: Int, node: Node)] = []
        for site in sites {
            guard let input = site.linears.first.flatMap({ layers[$0]?.first?.input }), let peaks = moments[input] else { continue }
            let weights = site.linears.flatMap { layers[$0] ?? [] }
            let factors = try factors(peaks, weights)
            // A weight that several of the layers share is scaled once.
            var scaled: [ValueID: ValueID] = [:]
            for layer in weights {
                if scaled[layer.weightID] == nil {
                    let (id, report) = try result.scaleColumns(of: layer, by: factors)
                    scaled[layer.weightID] = id
                    reports.append(report)
                }
                guard let id = scaled[layer.weightID] else { continue }
                result.nodes[layer.node].inputs = result.nodes[layer.node].inputs.map { $0 == layer.weightID ? id : $0 }
            }
            let inverse = factors.map { 1 / $0 }
            if let norm = site.norm {
                for operand in site.constants { try result.scaleConstant(operand, ofNode: norm, by: inverse) }
            } else {
                let constant = try result.addVector(inverse, name: "\(graph[input].name).smoothing")
                let output = result.add(Value(name: "\(graph[input].name).smoothed", type: graph[input].type, origin: .node))
                let before = site.linears.min() ?? 0
                inserted.append((before, Node(name: "\(graph[input].name).smoothed", op: .binary(.multiply), inputs: [input, constant], outputs: [output])))
                for index in site.linears { result.nodes[index].inputs[0] = output }
            }
        }
        for (before, node) in inserted.sorted(by: { $0.before > $1.before }) { result.nodes.insert(node, at: before) }
        let notes = inserted.isEmpty ? [] : ["\(inserted.count) multiplications were added in front of linear layers."]
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports, notes: notes)
    }

    /// s for each column of the weights that read one value.
    private func factors(_ peaks: [Float], _ layers: [Layer]) throws -> [Float] {
        var columns = [Float](repeating: 0, count: peaks.count)
        for layer in layers {
            try layer.weight.forEachRow { _, row in for column in row.indices { columns[column] = max(columns[column], abs(row[column])) } }
        }
        return zip(peaks, columns).map { activation, weight in
            let factor = Float(activation.power(Double(alpha)) / weight.power(1 - Double(alpha)))
            // A channel that is never used, or that nobody looks at, stays.
            return activation > 0 && weight > 0 && factor.isNormal && (1 / factor).isNormal ? factor : 1
        }
    }
}

/// The largest magnitude of each column of values.
enum InputPeaks {
    static func collect(
        _ graph: Graph, values: [ValueID], data: any CalibrationData, in context: CompressionContext, technique: String
    ) throws -> [ValueID: [Float]] {
        guard data.batchCount > 0 else {
            throw SwiftletError.invalidArgument(name: "calibration", reason: "the data have no batches", remedy: "Give at least one sample of what the model will see.")
        }
        var peaks: [ValueID: [Float]] = [:]
        let run = try GraphRun(graph, values: values, in: context)
        try run.forEachBatch(of: data) { batch, seen in
            for value in Set(values) {
                let columns = try seen.shape(value).dimensions.last ?? 1
                var peak = peaks.removeValue(forKey: value) ?? [Float](repeating: 0, count: columns)
                for (place, element) in try seen.floats(value).enumerated() { peak[place % columns] = max(peak[place % columns], abs(element)) }
                peaks[value] = peak
            }
            try context.progress(StepProgress(technique: technique, detail: "calibration batch \(batch + 1)", done: batch + 1, total: data.batchCount))
        }
        return peaks
    }
}

/// Linear layers that read one value behind a normalisation.
private struct SmoothingSite {
    /// Indices of their nodes.
    let linears: [Int]
    /// The node whose constants take the division, and which of its operands they are; nil when a node has to be added.
    let norm: Int?
    let constants: [Int]
}

extension Graph {
    /// A value that linear layers read, and reshapes of it, belong to one site: importers put a reshape behind normalisations.
    fileprivate func smoothingSites(_ scope: Scope, inserts: Bool) -> [SmoothingSite] {
        let inScope = Set(layers(in: scope).filter { $0.kind == .linear }.map(\.node))
        let all = Dictionary(grouping: layers()) { $0.node }
        var readers: [ValueID: [Int]] = [:]
        for (index, node) in nodes.enumerated() { for input in Set(node.inputs) { readers[input, default: []].append(index) } }
        let outputs = Set(self.outputs)
        return nodes.indices.compactMap { index in
            let node = nodes[index]
            guard let constants = normConstants(node) else { return nil }
            var value = node.outputs[0]
            while let users = readers[value], users.count == 1, case .reshape = nodes[users[0]].op, !outputs.contains(value),
                self[nodes[users[0]].outputs[0]].type.shape.last == self[value].type.shape.last
            { value = nodes[users[0]].outputs[0] }
            let users = readers[value] ?? []
            // Every weight of a node must be in the scope, and the value may be nothing but what it multiplies.
            let linears = users.filter { user in
                guard case .linear(let linear) = nodes[user].op, nodes[user].inputs[0] == value else { return false }
                return inScope.contains(user) && all[user]?.count == linear.weightCount && nodes[user].inputs.dropFirst().allSatisfy { $0 != value }
                    && (all[user] ?? []).allSatisfy { scope.contains($0.name) }
            }
            guard !linears.isEmpty else { return nil }
            if linears.count == users.count, !outputs.contains(value) { return SmoothingSite(linears: linears, norm: index, constants: constants) }
            return inserts ? SmoothingSite(linears: linears, norm: nil, constants: []) : nil
        }
    }

    /// The operands of a normalisation that its result is proportional to; nil for other nodes.
    private func normConstants(_ node: Node) -> [Int]? {
        func isVector(_ operand: Int) -> Bool {
            guard let weight = self[node.inputs[operand]].weight, let width = self[node.outputs[0]].type.shape.last?.fixed else { return false }
            return weight.format == .dense(.f32) && weight.shape.dimensions == [width]
        }
        switch node.op {
        case .layerNorm: return node.inputs.indices.dropFirst().allSatisfy(isVector) ? Array(1..<node.inputs.count) : nil
        case .rmsNorm: return node.inputs.count == 2 && isVector(1) ? [1] : nil
        case .binary(.multiply):
            // The scale as a node of its own.
            for operand in 0..<2 where isVector(operand) {
                let other = node.inputs[1 - operand]
                if nodes.contains(where: { if case .rmsNorm = $0.op { $0.outputs[0] == other } else { false } }) { return [operand] }
            }
            return nil
        default: return nil
        }
    }

    /// The weight of a layer with its columns multiplied, as a new value in f32.
    fileprivate mutating func scaleColumns(of layer: Layer, by factors: [Float]) throws -> (ValueID, TensorReport) {
        var floats: [Float] = []
        floats.reserveCapacity(layer.weight.shape.elementCount)
        try layer.weight.forEachRow { _, row in floats += zip(row, factors).map { $0 * $1 } }
        let weight = try Weight(name: layer.name, shape: layer.weight.shape, floats: floats)
        let id = add(Value(name: layer.name, type: weight.type, origin: .weight(weight)))
        return (id, try TensorReport(name: layer.name, before: layer.weight, after: weight))
    }

    fileprivate mutating func scaleConstant(_ operand: Int, ofNode index: Int, by factors: [Float]) throws {
        let id = nodes[index].inputs[operand]
        guard let old = try self[id].weight?.floats() else { return }
        nodes[index].inputs[operand] = try addVector(zip(old, factors).map { $0 * $1 }, name: self[id].name)
    }

    fileprivate mutating func addVector(_ values: [Float], name: String) throws -> ValueID {
        let weight = try Weight(name: name, shape: [values.count], floats: values)
        return add(Value(name: name, type: weight.type, origin: .weight(weight)))
    }
}

extension Float {
    fileprivate func power(_ exponent: Double) -> Double { Double(self).raised(to: exponent) }
}

extension SmoothQuant: RecipeTechnique {
    package static let summary = "large channels behind normalisations made smaller, and the weights that read them larger"

    package static let parameters: [RecipeParameter] = [
        RecipeParameter("alpha", .number(0...1), default: .number(0.5), "how much of the difficulty goes to the weights"),
        RecipeParameter("inserts", .flag, default: .flag(false), "whether a multiplication is added where others read the normalised value too"),
    ]

    package init(_ values: RecipeValues) throws {
        self.init(scope: values.scope, alpha: Float(try values.number("alpha")), inserts: try values.flag("inserts"))
    }
}
