// Values that linear layers read and that can be made smaller where they are made, at no cost or at that of one multiplication.
//
// Behind a normalisation the division goes into its scale and bias, when nobody else reads the result. Behind attention it goes into the rows of the matrix
// of values: what attention gives is a mean of values, so a channel that is scaled in all of them is scaled in the mean. Heads of queries that share a head
// of keys and values share its factors. Anywhere else it takes a node.
import SwiftletRuntime

/// One value that linear layers read.
struct SmoothingSite {
    /// Indices of their nodes.
    let linears: [Int]
    /// The value.
    let value: ValueID
    let source: Source

    enum Source {
        /// The node whose constants take the division, and which of its operands they are.
        case norm(node: Int, operands: [Int])
        /// The linear node that makes the values of an attention.
        case values(node: Int, Attention)
        /// A node has to be added.
        case inserted
    }

    /// The element of what is divided that decides column `column` of the value.
    func channel(_ column: Int) -> Int {
        guard case .values(_, let attention) = source else { return column }
        let (head, element) = column.quotientAndRemainder(dividingBy: attention.headDimension)
        return head / (attention.heads / attention.keyValueHeads) * attention.headDimension + element
    }
}

extension Graph {
    /// The sites whose layers are all in `scope`, in the order they run. A value and reshapes of it belong to one site: importers put a reshape behind
    /// normalisations.
    func smoothingSites(_ scope: Scope, inserts: Bool) -> [SmoothingSite] {
        let all = Dictionary(grouping: layers()) { $0.node }
        var readers: [ValueID: [Int]] = [:]
        for (index, node) in nodes.enumerated() { for input in Set(node.inputs) { readers[input, default: []].append(index) } }
        let outputs = Set(self.outputs), producers = self.producers()
        // Every weight of a node must be in the scope, and the value may be nothing but what it multiplies.
        func isSuitable(_ user: Int, _ value: ValueID) -> Bool {
            guard case .linear(let linear) = nodes[user].op, nodes[user].inputs[0] == value, let weights = all[user] else { return false }
            return weights.count == linear.weightCount && nodes[user].inputs.dropFirst().allSatisfy { $0 != value } && weights.allSatisfy { scope.contains($0.name) }
        }
        return nodes.indices.compactMap { index in
            let constants = normConstants(nodes[index])
            let values = valuesOfAttention(index, producers, readers)
            guard constants != nil || values != nil else { return nil }
            var value = nodes[index].outputs[0]
            while let users = readers[value], users.count == 1, case .reshape = nodes[users[0]].op, !outputs.contains(value),
                values != nil || self[nodes[users[0]].outputs[0]].type.shape.last == self[value].type.shape.last
            { value = nodes[users[0]].outputs[0] }
            let users = readers[value] ?? []
            let linears = users.filter { isSuitable($0, value) }
            guard !linears.isEmpty else { return nil }
            let isFree = linears.count == users.count && !outputs.contains(value)
            if let values {
                let width = values.attention.heads * values.attention.headDimension
                guard isFree, linears.allSatisfy({ all[$0]?.allSatisfy { $0.weight.columnCount == width } == true }) else { return nil }
                return SmoothingSite(linears: linears, value: value, source: .values(node: values.node, values.attention))
            }
            if isFree, let constants { return SmoothingSite(linears: linears, value: value, source: .norm(node: index, operands: constants)) }
            return inserts ? SmoothingSite(linears: linears, value: value, source: .inserted) : nil
        }
    }

    /// The linear node whose output an attention takes the mean of, through a cache that no other attention reads; nil where it is not that simple.
    ///
    /// Layers that share a cache write it one after the other, each over all that its attention reads (BERTGraph).
    private func valuesOfAttention(_ index: Int, _ producers: [ValueID: Int], _ readers: [ValueID: [Int]]) -> (node: Int, attention: Attention)? {
        guard case .attention(let attention) = nodes[index].op, let write = producers[nodes[index].inputs[2]], case .cacheWrite = nodes[write].op else { return nil }
        let others = (readers[nodes[write].outputs[0]] ?? []).filter { $0 != index }
        guard others.allSatisfy({ nodes[$0].op == .cacheWrite && nodes[$0].inputs[0] == nodes[write].outputs[0] }) else { return nil }
        var value = nodes[write].inputs[1]
        while let producer = producers[value], readers[value]?.count == 1 {
            switch nodes[producer].op {
            case .reshape: value = nodes[producer].inputs[0]
            case .linear(let linear):
                let operands = nodes[producer].inputs.dropFirst()
                let rows = attention.keyValueHeads * attention.headDimension
                guard linear.weightCount == 1, linear.epilogue == .none, self[nodes[producer].inputs[1]].weight?.rowCount == rows,
                    operands.allSatisfy({ self[$0].weight != nil && readers[$0]?.count == 1 })
                else { return nil }
                return (producer, attention)
            default: return nil
            }
        }
        return nil
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
}
