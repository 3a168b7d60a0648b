// How the numbers of layers are spread: weights before and after, and what flows into them. A picture shows at once whether a few large values
// decide the scale of all.
import SwiftletCompress
import SwiftletRuntime

/// Histograms of one layer.
public struct LayerHistogram: Sendable, Codable, Equatable {
    public var name: String
    /// Weights from −`weightLimit` to `weightLimit` in bins of one width, as shares of all; before and after.
    public var weightLimit: Double
    public var before: [Double]
    public var after: [Double]
    /// Shares of activations whose magnitude is from 2^e to 2^(e+1), e from `activationExponent` on; nil where none were measured. The first bin
    /// also has what is smaller (zeros too), the last what is larger.
    public var activationExponent: Int?
    public var activations: [Double]?

    package init(
        name: String, weightLimit: Double, before: [Double], after: [Double], activationExponent: Int? = nil, activations: [Double]? = nil
    ) {
        self.name = name
        self.weightLimit = weightLimit
        self.before = before
        self.after = after
        self.activationExponent = activationExponent
        self.activations = activations
    }

    package static let bins = 48
    package static let exponents = -16..<16

    /// Histograms of the `limit` largest weights that changed, in the order they run. Activations come from up to `batches` of `data`.
    package static func collect(
        parent: Graph, compressed: Graph, limit: Int, data: (any CalibrationData)?, batches: Int, in context: CompressionContext
    ) throws -> [LayerHistogram] {
        let new = Dictionary(compressed.weights.map { (compressed[$0.id].name, $0.weight) }) { first, _ in first }
        var seen: Set<ValueID> = []
        let changed = parent.layers().filter { layer in
            guard seen.insert(layer.weightID).inserted else { return false }
            guard let weight = new[layer.name] else { return true }
            return weight.store.bytes.baseAddress != layer.weight.store.bytes.baseAddress || weight.store.byteCount != layer.weight.store.byteCount
        }
        let largest = Set(changed.sorted { $0.weight.shape.elementCount > $1.weight.shape.elementCount }.prefix(limit).map(\.weightID))
        let layers = changed.filter { largest.contains($0.weightID) }
        let counts = try data.map { try activations(parent, layers, $0, batches: batches, in: context) } ?? [:]
        return try layers.map { layer in
            var limit: Float = 0
            try layer.weight.forEachRow { _, row in for value in row { limit = max(limit, abs(value)) } }
            if limit == 0 || !limit.isFinite { limit = 1 }
            let activations = counts[layer.input].map(shares)
            return LayerHistogram(
                name: layer.name, weightLimit: Double(limit), before: try histogram(layer.weight, limit), after: try new[layer.name].map { try histogram($0, limit) } ?? [],
                activationExponent: activations.map { _ in exponents.lowerBound }, activations: activations)
        }
    }

    private static func histogram(_ weight: Weight, _ limit: Float) throws -> [Double] {
        var counts = [Int](repeating: 0, count: bins)
        let scale = Float(bins) / (2 * limit)
        try weight.forEachRow { _, row in
            for value in row where !value.isNaN { counts[Int(min(max((value + limit) * scale, 0), Float(bins - 1)))] += 1 }
        }
        return shares(counts)
    }

    private static func activations(
        _ graph: Graph, _ layers: [Layer], _ data: any CalibrationData, batches: Int, in context: CompressionContext
    ) throws -> [ValueID: [Int]] {
        // Inputs of the graph are the data themselves; ids of tokens are no activations.
        let inputs = Set(layers.filter { $0.kind != .embedding && graph[$0.input].type.element == .f32 }.map(\.input))
        guard !inputs.isEmpty else { return [:] }
        var counts: [ValueID: [Int]] = [:]
        struct Enough: Error {}
        do {
            try GraphRun(graph, values: Array(inputs), in: context).forEachBatch(of: data) { batch, values in
                if batch >= batches { throw Enough() }
                for input in inputs {
                    var bins = counts.removeValue(forKey: input) ?? [Int](repeating: 0, count: exponents.count)
                    for value in try values.floats(input) where !value.isNaN {
                        let exponent = value == 0 ? exponents.lowerBound : value.isFinite ? Int(value.exponent) : exponents.upperBound
                        bins[min(max(exponent - exponents.lowerBound, 0), exponents.count - 1)] += 1
                    }
                    counts[input] = bins
                }
            }
        } catch is Enough {}
        return counts
    }

    private static func shares(_ counts: [Int]) -> [Double] {
        let total = Double(max(1, counts.reduce(0, +)))
        return counts.map { Double($0) / total }
    }
}
