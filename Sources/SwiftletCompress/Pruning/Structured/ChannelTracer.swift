// How channels flow from node to node: the rules behind ChannelGroups. One axis a value is followed; what no rule knows fixes what it reads.
import SwiftletRuntime

/// One walk over a graph.
struct ChannelTracer {
    private let graph: Graph
    private(set) var layouts: [ValueID: ChannelLayout] = [:]
    private(set) var slots: [(group: Int, role: ChannelGroups.Role, slot: ChannelGroups.Slot)] = []
    /// Channels of each group, by its first number; groups that were united share a root.
    private(set) var counts: [Int] = []
    private(set) var fixed: Set<Int> = []
    private(set) var skipped: [Int: [ChannelSegment]] = [:]
    private var parents: [Int] = []
    /// How many reads of each weight a rule has understood.
    private var understood: [ValueID: Int] = [:]

    init(_ graph: Graph) { self.graph = graph }

    mutating func run() {
        for (index, node) in graph.nodes.enumerated() { visit(node, at: index) }
        for output in graph.outputs { fix(output) }
        fixWeightsOfTwoMinds()
    }

    // MARK: Groups

    func root(_ group: Int) -> Int {
        var group = group
        while parents[group] != group { group = parents[group] }
        return group
    }

    private mutating func newGroup(_ count: Int) -> Int {
        counts.append(count)
        parents.append(parents.count)
        return counts.count - 1
    }

    private mutating func unite(_ a: Int, _ b: Int) {
        let (a, b) = (root(a), root(b))
        parents[max(a, b)] = min(a, b)
    }

    private mutating func fix(_ layout: ChannelLayout?) { for segment in layout?.segments ?? [] { fixed.insert(segment.group) } }
    private mutating func fix(_ value: ValueID) { fix(layouts[value]) }

    /// Makes the channels of two values the same ones. False, and both fixed, when they do not match.
    private mutating func unify(_ a: ChannelLayout, _ b: ChannelLayout) -> Bool {
        let matches =
            a.axis == b.axis && a.segments.count == b.segments.count
            && zip(a.segments, b.segments).allSatisfy { $0.repeats == $1.repeats && counts[$0.group] == counts[$1.group] }
        guard matches else {
            fix(a)
            fix(b)
            return false
        }
        for (x, y) in zip(a.segments, b.segments) { unite(x.group, y.group) }
        return true
    }

    private func length(_ segment: ChannelSegment) -> Int { counts[segment.group] * segment.repeats }

    // MARK: Weights

    private func constant(_ id: ValueID) -> [Int]? { graph[id].weight?.shape.dimensions }
    private func shape(_ id: ValueID) -> [Dimension] { graph[id].type.shape }

    /// Notes that `weight` has the channels of `segments` along an axis.
    private mutating func note(_ weight: ValueID, axis: Int, _ segments: [ChannelSegment], as role: ChannelGroups.Role) {
        var offset = 0
        for segment in segments {
            slots.append((segment.group, role, ChannelGroups.Slot(weight: weight, axis: axis, offset: offset, repeats: segment.repeats)))
            offset += length(segment)
        }
    }

    private mutating func understand(_ weight: ValueID) { understood[weight, default: 0] += 1 }

    /// A weight that is also read in a way no rule knows, or by readers of different channels, keeps its shape.
    private mutating func fixWeightsOfTwoMinds() {
        let readers = graph.readerCounts()
        var groups: [ValueID: [Int: Set<[Int]>]] = [:]
        for (group, _, slot) in slots {
            if understood[slot.weight, default: 0] != readers[slot.weight, default: 0] { fixed.insert(group) }
            groups[slot.weight, default: [:]][slot.axis, default: []].insert([root(group), slot.offset, slot.repeats])
        }
        for (group, _, slot) in slots {
            let places = groups[slot.weight]?[slot.axis] ?? []
            let isCovered = places.reduce(0) { $0 + counts[$1[0]] * $1[2] } == graph[slot.weight].weight?.shape[slot.axis]
            if Set(places.map { $0[1] }).count != places.count || !isCovered { fixed.insert(group) }
        }
    }

    /// A new group for the outputs of a product; `weight` has them along `axis`, its bias has one number each.
    private mutating func produce(_ weight: ValueID, axis: Int, count: Int, bias: ValueID?) -> [ChannelSegment] {
        let segments = [ChannelSegment(group: newGroup(count), repeats: 1)]
        note(weight, axis: axis, segments, as: .producer)
        carry(bias, segments)
        return segments
    }

    private mutating func carry(_ bias: ValueID?, _ segments: [ChannelSegment]) {
        guard let bias else { return }
        if constant(bias) == nil { segments.forEach { fixed.insert($0.group) } }
        note(bias, axis: 0, segments, as: .carrier)
        understand(bias)
    }

    // MARK: Nodes

    private mutating func visit(_ node: Node, at index: Int) {
        switch node.op {
        case .linear(let linear): visit(linear, node)
        case .unary: keep(node)
        case .binary: elementwise(node)
        case .softmax, .rmsNorm, .layerNorm: alongLastAxis(node)
        case .reshape: reshape(node)
        case .gatherRows:
            if let layout = layouts[node.inputs[0]], layout.axis > 0 { layouts[node.outputs[0]] = layout } else { fixAll(node) }
        case .tensor(let op): visit(op, node, index)
        case .embedding, .rotaryTable, .rotary, .cacheWrite, .attention: fixAll(node)
        }
    }

    private mutating func visit(_ op: TensorOp, _ node: Node, _ index: Int) {
        switch op {
        case .convolution(let convolution): visit(convolution, node)
        case .transposedConvolution(let convolution): visit(convolution, node)
        case .pool: keepSpace(node)
        case .cast, .cumulative: keep(node)
        case .select: elementwise(node)
        case .resize(let resize):
            if let axis = layouts[node.inputs[0]]?.axis, resize.scales[axis] != 1 || shape(node.inputs[0])[axis].fixed != resize.sizes[axis] { fixAll(node) } else { keep(node) }
        case .transpose(let permutation):
            guard let layout = layouts[node.inputs[0]], let axis = permutation.firstIndex(of: layout.axis) else { return }
            layouts[node.outputs[0]] = ChannelLayout(axis: axis, segments: layout.segments)
        case .pad(let pad):
            if let axis = layouts[node.inputs[0]]?.axis, pad.low[axis] != 0 || pad.high[axis] != 0 { fixAll(node) } else { keep(node) }
        case .expand:
            guard let layout = layouts[node.inputs[0]] else { return }
            let moved = ChannelLayout(axis: layout.axis + shape(node.outputs[0]).count - shape(node.inputs[0]).count, segments: layout.segments)
            layouts[node.outputs[0]] = moved
        case .slice(let slice): visit(slice, node, index)
        case .concat(let axis): concat(node, axis)
        case .reduce(_, let axes, let keepsAxes):
            guard let layout = layouts[node.inputs[0]] else { return }
            guard !axes.contains(layout.axis) else { return fixAll(node) }
            layouts[node.outputs[0]] = ChannelLayout(axis: keepsAxes ? layout.axis : layout.axis - axes.count(where: { $0 < layout.axis }), segments: layout.segments)
        case .matmul, .deformableConvolution, .recurrent, .gridSample, .roiAlign, .bitcast, .quantize, .dequantize, .quantizedConvolution, .quantizedLinear, .quantizedMean, .quantizedSum,
            .gather, .gatherElements, .gatherND, .scatterElements, .scatterND, .argument, .topK:
            fixAll(node)
        }
    }

    private mutating func fixAll(_ node: Node) { for input in node.inputs { fix(input) } }

    /// The first operand's channels are the output's.
    private mutating func keep(_ node: Node) {
        if case .tensor(.cumulative(let cumulative)) = node.op, cumulative.axis == layouts[node.inputs[0]]?.axis { return fixAll(node) }
        layouts[node.outputs[0]] = layouts[node.inputs[0]]
    }

    /// Windows slide over space: channels are axis 1. Places of maxima are flat numbers that count channels.
    private mutating func keepSpace(_ node: Node) {
        if layouts[node.inputs[0]]?.axis ?? 1 == 1, node.outputs.count == 1 { keep(node) } else { fixAll(node) }
    }

    private mutating func alongLastAxis(_ node: Node) {
        if layouts[node.inputs[0]]?.axis == shape(node.inputs[0]).count - 1 { fixAll(node) } else { keep(node) }
    }

    // MARK: Products

    private mutating func visit(_ linear: Linear, _ node: Node) {
        let weights = node.inputs[1..<1 + linear.weightCount]
        let biases: [ValueID?] = linear.hasBias ? node.inputs[(1 + linear.weightCount)..<(1 + 2 * linear.weightCount)].map { $0 } : weights.map { _ in nil }
        var isPlain = weights.allSatisfy { constant($0)?.count == 2 }
        switch linear.epilogue {
        case .none, .activation: break
        case .gated, .residual: isPlain = false
        }
        guard isPlain else { return fixAll(node) }
        let last = shape(node.inputs[0]).count - 1
        let layout = layouts[node.inputs[0]]
        let passes = layout.map { $0.axis != last } ?? false
        for (index, (weight, bias)) in zip(weights, biases).enumerated() {
            understand(weight)
            if let layout, passes {
                // The product is along another axis than the one followed.
                layouts[node.outputs[index]] = layout
                continue
            }
            if let layout { note(weight, axis: 1, layout.segments, as: .consumer) }
            layouts[node.outputs[index]] = ChannelLayout(axis: last, segments: produce(weight, axis: 0, count: constant(weight)?[0] ?? 0, bias: bias))
        }
    }

    private mutating func visit(_ convolution: Convolution, _ node: Node) {
        let (x, weight) = (node.inputs[0], node.inputs[1])
        let bias = convolution.hasBias ? node.inputs[2] : nil
        guard let sizes = constant(weight), layouts[x]?.axis ?? 1 == 1, let channels = shape(x)[1].fixed else { return fixAll(node) }
        let segments: [ChannelSegment]
        if convolution.groups == 1 {
            if let layout = layouts[x] { note(weight, axis: 1, layout.segments, as: .consumer) }
            segments = produce(weight, axis: 0, count: sizes[0], bias: bias)
        } else if convolution.groups == channels, sizes[0] == channels {
            guard let layout = layouts[x] else { return fixAll(node) }
            segments = layout.segments
            note(weight, axis: 0, segments, as: .carrier)
            carry(bias, segments)
        } else {
            return fixAll(node)
        }
        understand(weight)
        let layout = ChannelLayout(axis: 1, segments: segments)
        if convolution.hasResidual, let residual = node.inputs.last {
            guard let other = layouts[residual], unify(layout, other) else { return fix(layout) }
        }
        layouts[node.outputs[0]] = layout
    }

    private mutating func visit(_ convolution: TransposedConvolution, _ node: Node) {
        let (x, weight) = (node.inputs[0], node.inputs[1])
        guard let sizes = constant(weight), layouts[x]?.axis ?? 1 == 1, convolution.groups == 1 else { return fixAll(node) }
        if let layout = layouts[x] { note(weight, axis: 0, layout.segments, as: .consumer) }
        understand(weight)
        layouts[node.outputs[0]] = ChannelLayout(axis: 1, segments: produce(weight, axis: 1, count: sizes[1], bias: convolution.hasBias ? node.inputs[2] : nil))
    }

    // MARK: Elements

    /// Operands broadcast from the right: an axis of length 1 has no channels, a constant of full length has one number a channel.
    private mutating func elementwise(_ node: Node) {
        let rank = shape(node.outputs[0]).count
        func moved(_ id: ValueID) -> ChannelLayout? {
            guard let layout = layouts[id] else { return nil }
            return ChannelLayout(axis: layout.axis + rank - shape(id).count, segments: layout.segments)
        }
        let followed = node.inputs.compactMap { id in moved(id).map { (id, $0) } }
        guard let (first, layout) = followed.first(where: { shape($0.0)[layouts[$0.0]?.axis ?? 0].fixed != 1 }) else { return fixAll(node) }
        for id in node.inputs where id != first {
            let axis = layout.axis - (rank - shape(id).count)
            let size = axis < 0 ? 1 : shape(id)[axis].fixed
            if let other = moved(id) {
                guard unify(layout, other) else { return fixAll(node) }
            } else if size == 1 {
                // One number for all channels; it is read as before.
                if constant(id) != nil { understand(id) }
            } else if constant(id) != nil {
                note(id, axis: axis, layout.segments, as: .carrier)
                understand(id)
            } else {
                return fixAll(node)
            }
        }
        layouts[node.outputs[0]] = layout
    }

    // MARK: Moves

    /// What stays in its place, or is flattened together with all that follows it.
    private mutating func reshape(_ node: Node) {
        guard let layout = layouts[node.inputs[0]] else { return }
        let (old, new) = (shape(node.inputs[0]), shape(node.outputs[0]))
        let axis = layout.axis
        guard new.count > axis, old[..<axis] == new[..<axis] else { return fixAll(node) }
        if old[axis] == new[axis] {
            layouts[node.outputs[0]] = layout
        } else if new.count == axis + 1, let size = new[axis].fixed, let channels = old[axis].fixed, channels > 0, size % channels == 0 {
            let inner = size / channels
            layouts[node.outputs[0]] = ChannelLayout(axis: axis, segments: layout.segments.map { ChannelSegment(group: $0.group, repeats: $0.repeats * inner) })
        } else {
            fixAll(node)
        }
    }

    /// All channels, or those of whole groups.
    private mutating func visit(_ slice: Slice, _ node: Node, _ index: Int) {
        guard let layout = layouts[node.inputs[0]] else { return }
        let axis = layout.axis
        guard slice.steps[axis] == 1 else { return fixAll(node) }
        var (start, before, taken) = (0, [ChannelSegment](), [ChannelSegment]())
        let range = slice.starts[axis]..<slice.starts[axis] + slice.sizes[axis]
        for segment in layout.segments {
            let own = start..<start + length(segment)
            if own.upperBound <= range.lowerBound {
                before.append(segment)
            } else if range.lowerBound <= own.lowerBound, own.upperBound <= range.upperBound {
                taken.append(segment)
            } else if own.lowerBound < range.upperBound {
                return fixAll(node)
            }
            start = own.upperBound
        }
        guard taken.reduce(0, { $0 + length($1) }) == range.count else { return fixAll(node) }
        skipped[index] = before
        layouts[node.outputs[0]] = ChannelLayout(axis: axis, segments: taken)
    }

    private mutating func concat(_ node: Node, _ axis: Int) {
        let followed = node.inputs.compactMap { layouts[$0] }
        guard let first = followed.first else { return }
        if first.axis != axis {
            guard followed.count == node.inputs.count, followed.dropFirst().allSatisfy({ unify(first, $0) }) else { return fixAll(node) }
            layouts[node.outputs[0]] = first
            return
        }
        var segments: [ChannelSegment] = []
        for id in node.inputs {
            if let layout = layouts[id] {
                guard layout.axis == axis else { return fixAll(node) }
                segments += layout.segments
            } else {
                // Channels that nobody follows lie between the others, and stay.
                guard let size = shape(id)[axis].fixed else { return fixAll(node) }
                let group = newGroup(size)
                fixed.insert(group)
                segments.append(ChannelSegment(group: group, repeats: 1))
            }
        }
        layouts[node.outputs[0]] = ChannelLayout(axis: axis, segments: segments)
    }
}
