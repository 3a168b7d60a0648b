// Products that are wanted for their largest elements alone: what follows the coarse product of a split matrix.
import CKernels

extension CPULowering {
    /// Emits the steps that make the largest elements of `sums` whole, the coarse product of `node` whose rounded operand is `activations`.
    mutating func rank(_ node: Node, _ sums: SlotID, activations: SlotID, _ fine: FineRows) throws {
        let (x, best) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[node.inputs.count - 1]))
        let leading = Array(graph[node.inputs[0]].type.shape.dropLast())
        func room(_ bytesPerRow: Int) -> SlotID {
            temporary { binding in
                let rows = try leading.reduce(1) { $0 * (try $1.resolved(binding)) }
                return rows > RankedStep.mostRows ? 0 : rows * bytesPerRow
            }
        }
        let maxima = room(RankedStep.blockCount(fine.count) * MemoryLayout<Float>.stride)
        let heaps = room(RankedStep.mostBest * MemoryLayout<Float>.stride)
        let reaches = room(MemoryLayout<RankedStep.Reach>.stride)
        guard let refine = ck_split_find(backend.isa)?.pointee.refine else { throw noKernel(node) }
        let (reductions, activation) = (try RowReductions(isa: backend.isa), backend.activation.format)
        for stage in [RankedStep.Stage.maxima, .threshold, .refinement] {
            for slot in [x, best, activations, sums, maxima, heaps, reaches] { touch(slot) }
            emit { binder in
                let rows = try binder.product(leading)
                return .ranked(
                    try binder.keep(RankedStep(
                        stage: stage, sums: binder.floats(sums), fine: fine, refine: refine, reductions: reductions, x: binder.floats(x),
                        activations: binder.raw(activations), activationRowBytes: ck_activation_row_bytes(activation, Int64(fine.columns)),
                        activation: activation, best: binder.indices(best), rows: rows > RankedStep.mostRows ? 0 : rows, maxima: binder.floats(maxima),
                        heaps: binder.floats(heaps), reaches: binder.raw(reaches).assumingMemoryBound(to: RankedStep.Reach.self))))
            }
        }
    }
}

extension Node {
    /// Whether the node is a product that is wanted for its largest elements alone.
    var isRanked: Bool { if case .linear(let linear) = op { linear.isRanked } else { false } }
}
