// Channels that can only go together: what structured pruning removes. Fang et al., 2023 (DepGraph), followed here on the graph's own operations.
//
// The outputs of a linear layer or a convolution are channels. Element-wise operations make channels of several layers the same ones (a residual
// sum, a gate), pooling and depthwise convolutions hand them on, joining puts groups side by side, flattening repeats each; a layer that multiplies
// them takes them in. Where channels reach something that mixes them otherwise (a norm over them, an output of the graph, attention), their group
// is fixed.
import SwiftletRuntime

/// The channels of a graph in groups.
package struct ChannelGroups: Sendable {
    /// Where a group's channels lie along an axis of a weight: channel `c` is the elements `offset + c·repeats ..< offset + (c + 1)·repeats`.
    package struct Slot: Sendable, Hashable {
        package let weight: ValueID
        package let axis: Int
        package let offset: Int
        package let repeats: Int
    }

    /// What a weight does with channels.
    package enum Role: Sendable, Hashable {
        /// Its rows make them.
        case producer
        /// It has a number or a kernel a channel: a bias, a factor, a depthwise kernel.
        case carrier
        /// Its columns take them in.
        case consumer
    }

    /// Channels with one fate.
    package struct Group: Sendable {
        package let id: Int
        package let count: Int
        package let producers: [Slot]
        package let carriers: [Slot]
        package let consumers: [Slot]

        package var slots: [Slot] { producers + carriers + consumers }
    }

    /// The groups whose channels may go, in the order their first producers run.
    package let groups: [Group]
    /// What the channels of values are; what the removal needs to bring operations in line.
    let layouts: [ValueID: ChannelLayout]
    /// For slices that begin behind channels, by node: those channels.
    let skipped: [Int: [ChannelSegment]]
    private let roots: [Int]
    private let counts: [Int]

    /// The group of a segment.
    func root(_ segment: ChannelSegment) -> Int { roots[segment.group] }
    func size(ofRoot root: Int) -> Int { counts[root] }

    /// Follows the channels of all layers.
    package init(_ graph: Graph) {
        var tracer = ChannelTracer(graph)
        tracer.run()
        layouts = tracer.layouts
        skipped = tracer.skipped
        counts = tracer.counts
        roots = (0..<tracer.counts.count).map { tracer.root($0) }
        var slots: [Int: [Role: [Slot]]] = [:]
        var order: [Int] = []
        for (group, role, slot) in tracer.slots {
            let root = roots[group]
            if slots[root] == nil { order.append(root) }
            if !(slots[root]?[role]?.contains(slot) ?? false) { slots[root, default: [:]][role, default: []].append(slot) }
        }
        let fixed = Set(tracer.fixed.map { [roots] in roots[$0] })
        groups = order.compactMap { [counts] root in
            guard !fixed.contains(root), counts[root] > 1, let own = slots[root], let producers = own[.producer], let consumers = own[.consumer] else { return nil }
            return Group(id: root, count: counts[root], producers: producers, carriers: own[.carrier] ?? [], consumers: consumers)
        }
    }
}

/// Consecutive channels of a value: those of one group, each `repeats` elements long.
struct ChannelSegment: Hashable, Sendable {
    let group: Int
    let repeats: Int
}

/// Which axis of a value holds channels, and whose.
struct ChannelLayout: Sendable {
    var axis: Int
    var segments: [ChannelSegment]
}
