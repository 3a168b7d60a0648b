// Linear layers with 8-bit weights run on kernels for blocks of 8-bit weights, which round each row of activations when it comes.

/// Makes blocks of Q8_0 of the weights of linear layers that were taken from i8 with one scale a row, where the blocks stand for exactly the same
/// numbers: rows of whole blocks, scales that an f16 holds. Layers whose activations were rounded by the file have been fused before.
public struct BlockLinears: GraphPass {
    public let name = "block linears"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var result = graph
        var blocks: [ValueID: ValueID] = [:]
        for (index, node) in graph.nodes.enumerated() {
            guard case .linear(let linear) = node.op else { continue }
            for operand in 1...linear.weightCount {
                let id = node.inputs[operand]
                if blocks[id] == nil, let weight = try graph.blocks(of: id) {
                    blocks[id] = result.add(Value(name: graph[id].name, type: weight.type, origin: .weight(weight)))
                }
                if let block = blocks[id] { result.nodes[index].inputs[operand] = block }
            }
        }
        return result
    }
}

extension Graph {
    /// A constant as Q8_0; nil where that would be another number.
    fileprivate func blocks(of id: ValueID) throws -> Weight? {
        guard let source = self[id].quantized, source.zeroPoint == nil, let values = self[source.values].weight, values.format == .dense(.i8),
            values.shape.rank == 2, values.shape[1] > 0, values.shape[1] % 32 == 0, let scale = self[source.scale].weight, scale.format == .dense(.f32),
            scale.shape.dimensions == [values.shape[0], 1] || scale.shape.elementCount == 1
        else { return nil }
        return try Weight(name: self[id].name, values: values, scales: scale)
    }
}

extension Weight {
    /// Blocks of Q8_0 that stand for exactly `values` (i8, `[rows, columns]`) times `scales` (f32, f16 or bf16): one scale for all, or `[rows, groups]` with
    /// columns divided evenly among the groups. Nil where no blocks are exactly that: groups that are no whole blocks, scales that are no f16.
    package init?(name: String, values: Weight, scales: Weight) throws {
        guard values.format == .dense(.i8), values.shape.rank == 2, values.shape.elementCount > 0 else { return nil }
        let (rows, columns) = (values.shape[0], values.shape[1])
        let isOne = scales.shape.elementCount == 1
        guard isOne || (scales.shape.rank == 2 && scales.shape[0] == rows && scales.shape[1] > 0 && columns % scales.shape[1] == 0) else { return nil }
        let group = isOne ? columns : columns / scales.shape[1]
        guard group % 32 == 0 else { return nil }
        let numbers = try scales.floats()
        guard let halves = numbers.map(\.halfBits) as? [UInt16] else { return nil }
        let count = columns / 32
        let store = try WeightStore(byteCount: rows * count * 34) { target in
            values.store.withBytes { source in
                for block in 0..<rows * count {
                    let half = isOne ? halves[0] : halves[block / count * (columns / group) + block % count * 32 / group]
                    target.storeBytes(of: half.littleEndian, toByteOffset: block * 34, as: UInt16.self)
                    UnsafeMutableRawBufferPointer(rebasing: target[block * 34 + 2..<block * 34 + 34])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[block * 32..<block * 32 + 32]))
                }
            }
        }
        try self.init(name: name, shape: values.shape, format: .block(.q8_0), store: store)
    }
}

extension Float {
    /// The bits of an f16 that is exactly this positive number; nil when there is none.
    fileprivate var halfBits: UInt16? {
        guard isNormal, self > 0, exponent <= 15 else { return nil }
        // Below 2⁻¹⁴ f16 counts in units of 2⁻²⁴.
        let place = Swift.max(Int(exponent), -14)
        let units = self * Float(sign: .plus, exponent: 10 - place, significand: 1)
        guard units == units.rounded(), units >= 1 else { return nil }
        return UInt16((place + 14) << 10 + Int(units))
    }
}
