// What depthwise-separable convolutions save. Howard et al. (2017, section 3.1 and table 4) compare a depthwise convolution and the pointwise one
// behind it with the one plain convolution they stand for: the kernel of the first, the channels that come in and the features that go out of both.

/// A graph beside the one with plain convolutions in the place of depthwise-separable ones.
public struct DepthwiseSaving: Sendable, Hashable {
    /// Depthwise convolutions found.
    public let depthwiseConvolutions: Int
    /// Of the graph, and of the one with plain convolutions.
    public let multiplyAccumulates: Int
    public let plainMultiplyAccumulates: Int
    /// Elements of the kernels of all convolutions and products, in the two graphs.
    public let parameters: Int
    public let plainParameters: Int
}

extension Graph {
    /// Compares the graph with its plain twin under `binding`; nil when it has no depthwise convolution.
    ///
    /// A depthwise convolution and the pointwise one it leads to, through functions, products and sums of elements, count as one plain
    /// convolution; without such a one it stands for a plain one from its channels to as many features.
    /// Throws as `multiplyAccumulates(under:)`.
    public func depthwiseSaving(under binding: Binding) throws -> DepthwiseSaving? {
        var readers: [ValueID: [Int]] = [:]
        for (index, node) in nodes.enumerated() { for input in Set(node.inputs) { readers[input, default: []].append(index) } }
        let total = try multiplyAccumulates(under: binding)
        var (plain, parameters) = (total, parameterCount)
        var count = 0
        var claimed: Set<Int> = []
        func add(_ number: Int, to sum: inout Int) throws {
            let (result, overflow) = sum.addingReportingOverflow(number)
            guard !overflow else { throw SwiftletError.invalidArgument(name: name, reason: "the count overflows", remedy: "Bind smaller sizes.") }
            sum = result
        }
        for node in nodes {
            guard let channels = depthwiseChannels(node) else { continue }
            count += 1
            let kernel = self[node.inputs[1]].type.shape.dropFirst(2).reduce(1) { $0 * ($1.fixed ?? 1) }
            let output = try self[node.outputs[0]].type.shape(under: binding).dimensions
            let places = output.enumerated().reduce(1) { $1.offset == 1 ? $0 : $0 * $1.element }
            var features = output[1]
            var (replaced, replacedParameters) = (output.reduce(1, *) * kernel, features * kernel)
            if let index = pointwise(behind: node, readers), claimed.insert(index).inserted {
                features = self[nodes[index].outputs[0]].type.shape[1].fixed ?? features
                replaced += places * features * output[1]
                replacedParameters += features * output[1]
            }
            let (twin, overflow) = (places * kernel).multipliedReportingOverflow(by: channels * features)
            try add(overflow ? .max : twin, to: &plain)
            try add(-replaced, to: &plain)
            try add(kernel * channels * features - replacedParameters, to: &parameters)
        }
        guard count > 0 else { return nil }
        return DepthwiseSaving(
            depthwiseConvolutions: count, multiplyAccumulates: total, plainMultiplyAccumulates: plain, parameters: parameterCount,
            plainParameters: parameters)
    }

    /// The channels of a depthwise convolution; nil for any other node.
    private func depthwiseChannels(_ node: Node) -> Int? {
        guard case .tensor(.convolution(let convolution)) = node.op, convolution.groups > 1,
            self[node.inputs[0]].type.shape[1].fixed == convolution.groups
        else { return nil }
        return convolution.groups
    }

    /// The first plain convolution of single elements that what a node makes leads to, element by element and at the same size.
    private func pointwise(behind node: Node, _ readers: [ValueID: [Int]]) -> Int? {
        let shape = self[node.outputs[0]].type.shape
        var (value, seen): (ValueID, Set<Int>) = (node.outputs[0], [])
        search: while true {
            for index in readers[value] ?? [] where seen.insert(index).inserted {
                let next = nodes[index]
                switch next.op {
                case .tensor(.convolution(let convolution))
                where convolution.groups == 1 && convolution.window.kernel.allSatisfy({ $0 == 1 })
                    && convolution.window.strides.allSatisfy({ $0 == 1 }) && next.inputs[0] == value:
                    return index
                case .unary, .binary:
                    guard self[next.outputs[0]].type.shape == shape else { continue }
                    value = next.outputs[0]
                    continue search
                default: continue
                }
            }
            return nil
        }
    }
}
