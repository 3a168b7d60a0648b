// Taking channels out of a graph: every weight that makes, carries or takes them loses them, operations whose parameters name sizes follow, and
// all types are inferred anew.
import SwiftletRuntime

/// Which channels of which groups stay.
package struct ChannelRemoval {
    package let channels: ChannelGroups
    /// By group: the channels that stay, ascending. Groups that are not named keep all.
    package let kept: [Int: [Int]]

    package init(channels: ChannelGroups, kept: [Int: [Int]]) {
        self.channels = channels
        self.kept = kept
    }

    /// The smaller graph. `adjust` may change a weight's elements before channels are taken out of it: it gets the weight, and gives nil to leave it.
    package func apply(to graph: Graph, adjust: (ValueID, Weight) throws -> [Float]? = { _, _ in nil }) throws -> Graph {
        var result = graph
        for (id, axes) in keptElements(graph) {
            guard let weight = graph[id].weight else { continue }
            let adjusted = try adjust(id, weight)
            result.replaceWeight(id, with: try weight.keeping(axes, name: graph[id].name, adjusted: adjusted))
        }
        for index in result.nodes.indices { result.nodes[index].op = adjusted(result.nodes[index], at: index) }
        try result.inferTypes()
        return result
    }

    /// For each weight that loses something: by axis, the elements that stay.
    package func keptElements(_ graph: Graph) -> [ValueID: [Int: [Int]]] {
        var removed: [ValueID: [Int: Set<Int>]] = [:]
        for group in channels.groups {
            guard let kept = kept[group.id], kept.count < group.count else { continue }
            let gone = Set(0..<group.count).subtracting(kept)
            for slot in group.slots {
                let elements = gone.flatMap { slot.offset + $0 * slot.repeats..<slot.offset + ($0 + 1) * slot.repeats }
                removed[slot.weight, default: [:]][slot.axis, default: []].formUnion(elements)
            }
        }
        return removed.reduce(into: [:]) { result, entry in
            guard let shape = graph[entry.key].weight?.shape else { return }
            result[entry.key] = entry.value.reduce(into: [:]) { axes, axis in axes[axis.key] = (0..<shape[axis.key]).filter { !axis.value.contains($0) } }
        }
    }

    /// Elements that segments have once channels are gone; nil where nothing changes.
    private func size(_ segments: [ChannelSegment]) -> Int? {
        guard segments.contains(where: { kept[channels.root($0)] != nil }) else { return nil }
        return segments.reduce(0) { $0 + count($1) * $1.repeats }
    }

    private func count(_ segment: ChannelSegment) -> Int {
        let root = channels.root(segment)
        return kept[root]?.count ?? channels.size(ofRoot: root)
    }

    private func adjusted(_ node: Node, at index: Int) -> Op {
        guard let output = node.outputs.first, let layout = channels.layouts[output], let size = size(layout.segments) else { return node.op }
        switch node.op {
        case .reshape(var shape):
            shape[layout.axis] = Dimension(size)
            return .reshape(shape)
        case .tensor(.expand(var shape)):
            shape[layout.axis] = Dimension(size)
            return .tensor(.expand(shape))
        case .tensor(.resize(var resize)):
            resize.sizes[layout.axis] = size
            return .tensor(.resize(resize))
        case .tensor(.slice(var slice)):
            slice.sizes[layout.axis] = size
            slice.starts[layout.axis] = (channels.skipped[index] ?? []).reduce(0) { $0 + count($1) * $1.repeats }
            return .tensor(.slice(slice))
        case .tensor(.convolution(var convolution)) where convolution.groups > 1:
            convolution.groups = size
            return .tensor(.convolution(convolution))
        default: return node.op
        }
    }
}

extension Weight {
    /// The elements at these places of some axes. Where whole rows stay or go the format stays; where rows are cut they become f32.
    func keeping(_ axes: [Int: [Int]], name: String, adjusted: [Float]? = nil) throws -> Weight {
        var sizes = shape.dimensions
        for (axis, kept) in axes { sizes[axis] = kept.count }
        if adjusted == nil, axes.count == 1, let rows = axes[0], shape.rank > 1 || format == .dense(.f32) {
            let bytes = store.byteCount / max(1, shape[0])
            let store = try WeightStore(byteCount: rows.count * bytes) { target in
                self.store.withBytes { source in
                    for (place, row) in rows.enumerated() {
                        UnsafeMutableRawBufferPointer(rebasing: target[(place * bytes)...]).copyMemory(
                            from: UnsafeRawBufferPointer(rebasing: source[row * bytes..<(row + 1) * bytes]))
                    }
                }
            }
            return try Weight(name: name, shape: Shape(sizes), format: format, store: store)
        }
        let source = try adjusted ?? floats()
        // Offsets of what stays along each axis, combined from the outermost inwards.
        var offsets = [0]
        for axis in shape.dimensions.indices {
            let stride = shape.dimensions[(axis + 1)...].reduce(1, *)
            let places = axes[axis] ?? Array(0..<shape[axis])
            offsets = offsets.flatMap { offset in places.map { offset + $0 * stride } }
        }
        return try Weight(name: name, shape: Shape(sizes), floats: offsets.map { source[$0] })
    }
}

extension Graph {
    /// Infers the types of all computed values from those of weights and inputs.
    ///
    /// Throws `SwiftletError.invalidGraph` naming a node whose operands do not fit.
    mutating func inferTypes() throws {
        for node in nodes {
            let types = try node.op.outputTypes(for: node.inputs.map { self[$0].type }, node: node.name)
            for (output, type) in zip(node.outputs, types) { self[output].type = type }
        }
    }
}
