// Difficulty moved from activations to weights: a few channels of what linear layers read are tens of times larger than the rest, and would leave
// the rest with a handful of levels. Dividing channel j by s_j = max|x_j|^α / max|w_j|^(1−α) and multiplying column j of the weights by it changes nothing
// but who is hard to round. Source: Xiao et al., "SmoothQuant", 2023.
//
// Behind a normalisation, and between the values and the output of attention, the division costs nothing (SmoothingSite). Where others read the normalised
// value too (the residual of a network that normalises after the sum, as BERT does), it takes a multiplication of its own in front of the linear layers.
import SwiftletRuntime

/// Smooths what linear layers behind normalisations and attention read.
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

    /// Throws `SwiftletError.invalidArgument` without calibration data or when no linear layer stands behind a normalisation or attention.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let sites = graph.smoothingSites(scope, inserts: inserts)
        guard !sites.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: Self.technique, reason: "no linear layers of the scope stand behind a normalisation or attention that only they read",
                remedy: "Widen the scope, or allow a multiplication in front of them with inserts: true.")
        }
        let layers = Dictionary(grouping: graph.layers()) { $0.node }
        let moments = try InputPeaks.collect(graph, values: sites.map(\.value), data: data, in: context, technique: Self.technique)
        var result = graph
        var changed: [Layer] = []
        var inserted: [(before: Int, node: Node)] = []
        for site in sites {
            guard let peaks = moments[site.value] else { continue }
            let weights = site.linears.flatMap { layers[$0] ?? [] }
            let factors = try factors(peaks, weights, site)
            // A weight that several of the layers share is scaled once.
            var scaled: [ValueID: ValueID] = [:]
            for layer in weights {
                // Its rows may have been scaled by a site before this one.
                for operand in result.nodes[layer.node].inputs.indices where graph.nodes[layer.node].inputs[operand] == layer.weightID {
                    let id = try scaled[layer.weightID] ?? result.scaled(result.nodes[layer.node].inputs[operand], columns: factors)
                    scaled[layer.weightID] = id
                    result.nodes[layer.node].inputs[operand] = id
                }
            }
            changed += weights
            let inverse = factors.map { 1 / $0 }
            switch site.source {
            case .norm(let norm, let operands):
                for operand in operands { result.nodes[norm].inputs[operand] = try result.scaled(result.nodes[norm].inputs[operand], columns: inverse) }
            case .values(let node, _):
                var rows: [Int: Float] = [:]
                for (column, factor) in inverse.enumerated() { rows[site.channel(column)] = factor }
                for operand in result.nodes[node].inputs.indices.dropFirst() {
                    result.nodes[node].inputs[operand] = try result.scaled(result.nodes[node].inputs[operand], rows: rows)
                }
                changed += layers[node] ?? []
            case .inserted:
                let name = graph[site.value].name
                let weight = try Weight(name: "\(name).smoothing", shape: [inverse.count], floats: inverse)
                let constant = result.add(Value(name: "\(name).smoothing", type: weight.type, origin: .weight(weight)))
                let output = result.add(Value(name: "\(name).smoothed", type: graph[site.value].type, origin: .node))
                inserted.append((site.linears.min() ?? 0, Node(name: "\(name).smoothed", op: .binary(.multiply), inputs: [site.value, constant], outputs: [output])))
                for index in site.linears { result.nodes[index].inputs[0] = output }
            }
        }
        var seen: Set<ValueID> = []
        let reports = try changed.filter { seen.insert($0.weightID).inserted }.map { layer in
            let after = graph.nodes[layer.node].inputs.firstIndex(of: layer.weightID).flatMap { result[result.nodes[layer.node].inputs[$0]].weight }
            return try TensorReport(name: layer.name, before: layer.weight, after: after ?? layer.weight)
        }
        for (before, node) in inserted.sorted(by: { $0.before > $1.before }) { result.nodes.insert(node, at: before) }
        let notes = inserted.isEmpty ? [] : ["\(inserted.count) multiplications were added in front of linear layers."]
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports, notes: notes)
    }

    /// s for each column of the weights that read one value.
    private func factors(_ peaks: [Float], _ layers: [Layer], _ site: SmoothingSite) throws -> [Float] {
        // Of all columns that one channel decides.
        var activations: [Int: Float] = [:], weights: [Int: Float] = [:]
        for (column, peak) in peaks.enumerated() { activations[site.channel(column)] = max(activations[site.channel(column)] ?? 0, peak) }
        var columns = [Float](repeating: 0, count: peaks.count)
        for layer in layers {
            try layer.weight.forEachRow { _, row in for column in row.indices { columns[column] = max(columns[column], abs(row[column])) } }
        }
        for (column, most) in columns.enumerated() { weights[site.channel(column)] = max(weights[site.channel(column)] ?? 0, most) }
        return peaks.indices.map { column in
            let activation = activations[site.channel(column)] ?? 0, weight = weights[site.channel(column)] ?? 0
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

extension Graph {
    /// A weight with its columns multiplied, as a new value in f32.
    fileprivate mutating func scaled(_ id: ValueID, columns factors: [Float]) throws -> ValueID {
        try scaled(id) { $1 * factors[$0 % factors.count] }
    }

    /// A matrix with its rows, or a vector with its elements, multiplied.
    fileprivate mutating func scaled(_ id: ValueID, rows factors: [Int: Float]) throws -> ValueID {
        let width = self[id].weight.map { $0.shape.rank == 1 ? 1 : max(1, $0.columnCount) } ?? 1
        return try scaled(id) { $1 * (factors[$0 / width] ?? 1) }
    }

    private mutating func scaled(_ id: ValueID, _ body: (_ index: Int, _ element: Float) -> Float) throws -> ValueID {
        guard let weight = try self[id].weight?.mapped(name: self[id].name, body) else { return id }
        return add(Value(name: self[id].name, type: weight.type, origin: .weight(weight)))
    }
}

extension Float {
    fileprivate func power(_ exponent: Double) -> Double { Double(self).raised(to: exponent) }
}

extension SmoothQuant: RecipeTechnique {
    package static let summary = "large channels behind normalisations and attention made smaller, and the weights that read them larger"

    package static let parameters: [RecipeParameter] = [
        RecipeParameter("alpha", .number(0...1), default: .number(0.5), "how much of the difficulty goes to the weights"),
        RecipeParameter("inserts", .flag, default: .flag(false), "whether a multiplication is added where others read the normalised value too"),
    ]

    package init(_ values: RecipeValues) throws {
        self.init(scope: values.scope, alpha: Float(try values.number("alpha")), inserts: try values.flag("inserts"))
    }
}
