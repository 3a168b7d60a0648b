// Which layers pruners take, and their weights as matrices of floats.
import SwiftletRuntime

/// Layers whose weights can be made sparse.
package struct PrunableLayers {
    /// What a technique can work on.
    package enum Kinds: Sendable {
        case linear
        /// Also convolutions, but for those in groups, whose inputs calibration does not follow.
        case ungrouped
        case all
    }

    /// Each weight once, by its first reader, in the order they run.
    package let layers: [Layer]
    /// What was left out, and why.
    package let notes: [String]

    /// Layers whose weights are floats or blocks of them. A table that rows are looked up in is left out: a zero in it saves no product.
    package init(_ graph: Graph, scope: Scope, kinds: Kinds) {
        let all = graph.layers()
        let tables = Set(all.filter { $0.kind == .embedding }.map(\.weightID))
        var seen = Set<ValueID>()
        var taken: [Layer] = []
        var leftOut: [String: [String]] = [:]
        for layer in all where scope.contains(layer.name) && seen.insert(layer.weightID).inserted {
            if tables.contains(layer.weightID) {
                leftOut["rows are looked up in it", default: []].append(layer.name)
            } else if !layer.weight.format.holdsFloats || layer.weight.shape.rank < 2 || layer.weight.shape.elementCount == 0 {
                leftOut["it is no matrix of floats", default: []].append(layer.name)
            } else if case .convolution = layer.kind, kinds == .linear {
                leftOut["it is a convolution", default: []].append(layer.name)
            } else if case .convolution(let groups) = layer.kind, groups != 1, kinds != .all {
                leftOut["its channels are in groups", default: []].append(layer.name)
            } else {
                taken.append(layer)
            }
        }
        layers = taken
        notes = leftOut.sorted { $0.key < $1.key }.map { "Left alone because \($0.key): \($0.value.joined(separator: ", "))." }
    }

    /// Throws `SwiftletError.invalidArgument` when there is nothing to prune.
    package func checkNotEmpty(scope: Scope) throws {
        guard layers.isEmpty else { return }
        throw SwiftletError.invalidArgument(
            name: "scope", reason: "no weight that can be pruned matches \(scope.include.joined(separator: ", "))\(notes.isEmpty ? "" : " (\(notes.joined(separator: " ")))")",
            remedy: "List the weights with swiftlet inspect.")
    }
}

extension WeightFormat {
    /// Whether elements are floats, or blocks that stand for floats.
    package var holdsFloats: Bool {
        switch self {
        case .block: true
        case .dense(let type): type == .f32 || type == .f16 || type == .bf16 || type == .f64
        }
    }
}

extension Weight {
    /// Rows of the product: outputs.
    package var outputCount: Int { shape.dimensions.first ?? 1 }
    /// Elements of a row of the product: inputs, for a convolution those of a window.
    package var inputCount: Int { outputCount == 0 ? 0 : shape.elementCount / outputCount }
}
