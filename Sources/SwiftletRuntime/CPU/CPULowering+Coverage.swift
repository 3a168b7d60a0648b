// What the CPU backend can lower: the partitioner asks before anything is packed.
import CKernels

extension CPULowering {
    /// Whether the backend runs `node` as it stands: its formats, shapes and epilogue.
    static func canLower(_ node: Node, in graph: Graph) -> Bool {
        let operands = node.inputs.map { graph[$0] }
        func isFloat(_ index: Int) -> Bool { operands[index].type.element == .f32 && operands[index].weight == nil }
        func isVector(_ index: Int) -> Bool { operands[index].weight?.format == .dense(.f32) }
        /// Indices are checked before a run, which needs them to be the caller's own.
        func isIndexInput(_ index: Int) -> Bool {
            if case .input = operands[index].origin { operands[index].type.element == .i32 } else { false }
        }
        switch node.op {
        case .linear(let linear):
            let weights = operands[1...linear.weightCount]
            guard isFloat(0), weights.allSatisfy({ $0.weight.flatMap { PackedMatrix.panelFormat(of: $0.format) } != nil }) else { return false }
            if linear.hasBias, !(linear.weightCount + 1...2 * linear.weightCount).allSatisfy(isVector) { return false }
            if linear.isRanked, !isIndexInput(operands.count - 1) { return false }
            switch linear.epilogue {
            case .none, .gated(.relu), .gated(.sigmoid), .gated(.silu), .gated(.gelu), .gated(.geluTanh): return true
            case .activation(let function): return VectorKernels.has(function)
            case .gated: return false
            case .residual: return isFloat(operands.count - 1)
            }
        case .embedding:
            guard let table = operands[0].weight else { return false }
            switch table.format {
            case .dense(.f32), .dense(.f16), .dense(.bf16), .block: return isIndexInput(1)
            case .dense: return false
            }
        case .gatherRows: return operands[0].weight == nil && operands[0].state == nil && isIndexInput(1)
        case .rmsNorm, .layerNorm: return isFloat(0) && (1..<operands.count).allSatisfy(isVector)
        case .softmax: return isFloat(0)
        case .unary(let function):
            if operands[0].type.element == .bf16 { return canLowerBF16(node, in: graph) }
            return isFloat(0) && (VectorKernels.has(function) || (!function.isTest && operands[0].type.shape.fixedSizes != nil))
        case .binary(let function):
            if operands[0].type.element == .bf16 { return canLowerBF16(node, in: graph) }
            func isElements(_ index: Int) -> Bool { operands[index].type.element == .f32 && operands[index].weight.map { $0.format == .dense(.f32) } ?? true }
            guard isElements(0), isElements(1), !function.isComparison else { return false }
            return isRowWise(function, operands[0], operands[1]) || operands.allSatisfy { $0.type.shape.fixedSizes != nil }
        case .rotaryTable(let table): return isIndexInput(0) && (!table.hasFactors || isVector(1))
        case .rotary: return isFloat(0) && isFloat(1) && operands[0].type.shape[1].fixed != nil && operands[0].type.shape[2].fixed != nil
        case .cacheWrite: return isFloat(1) && isIndexInput(2) && isIndexInput(3) && cacheFormat(node.inputs[0], in: graph) != nil
        case .attention(let attention):
            return attention.headDimension % 8 == 0 && attention.headDimension <= 256 && isFloat(0) && isIndexInput(3) && isIndexInput(4)
                && cacheFormat(node.inputs[1], in: graph) != nil && cacheFormat(node.inputs[1], in: graph) == cacheFormat(node.inputs[2], in: graph)
        case .reshape: return true
        case .tensor(let op): return canLower(op, node, in: graph)
        }
    }

    /// Whether an operation of two operands is one of rows: of the same shape, or the second one row for all.
    static func isRowWise(_ function: Binary, _ a: Value, _ b: Value) -> Bool {
        guard a.weight == nil, b.weight.map({ $0.format == .dense(.f32) && $0.shape.rank == 1 }) ?? true else { return false }
        guard [.add, .subtract, .multiply].contains(function), b.weight != nil || b.type.shape == a.type.shape || b.type.shape.count == 1 else { return false }
        return a.type.shape == b.type.shape || (b.type.shape.count == 1 && b.type.shape.first == a.type.shape.last)
    }

    /// The format of the cache that `value` is, or is an alias of; nil when attention does not read it.
    static func cacheFormat(_ value: ValueID, in graph: Graph) -> ck_kv_format? {
        var value = value
        // Asked for every cache of every layer: a search for the one node beats a dictionary of all of them.
        while graph[value].state == nil, let alias = graph.nodes.first(where: { $0.op.aliasesFirstInput && $0.outputs[0] == value }) {
            value = alias.inputs[0]
        }
        switch graph[value].state?.format {
        case .dense(.f32): return CK_KV_F32
        case .dense(.f16): return CK_KV_F16
        case .block(.q8_0): return CK_KV_Q8_0
        default: return nil
        }
    }
}
