// The bytes that generating one token moves, from the graph: what the speed of generation is held against.
import CKernels
import SwiftletGraph
import SwiftletRuntime

/// Bytes one token reads.
package struct DecodeTraffic: Sendable, Equatable {
    /// Weights in the layout the CPU's kernels read them in, every matrix as often as a node reads it, one row of a table that is looked up.
    package let weightBytes: Int

    private struct Attending: Equatable {
        /// Bytes of keys and values of one position.
        let rowBytes: Int
        let window: Int?
    }
    private let attentions: [Attending]

    /// - isa: the instruction sets products may use: they decide whether weights with many zeros lie in sparse panels.
    package init(_ graph: Graph, isa: UInt32 = ck_isa_detect()) {
        var weightBytes = 0
        var attentions: [Attending] = []
        let roots = graph.storageRoots()
        for node in graph.nodes {
            for (place, input) in node.inputs.enumerated() {
                guard let weight = graph[input].weight else { continue }
                switch node.op {
                case .linear(let linear) where (1...linear.weightCount).contains(place): weightBytes += PackedTraffic.bytes(of: weight, ranked: linear.isRanked, isa: isa)
                case .embedding where place == 0: weightBytes += weight.store.byteCount / max(1, weight.shape[0])
                case .gatherRows where place == 0: weightBytes += weight.store.byteCount / max(1, weight.shape[0])
                default: weightBytes += weight.store.byteCount
                }
            }
            guard case .attention(let attention) = node.op else { continue }
            // Operands 1 and 2: state [slots, heads, context, headDim].
            let rowBytes = node.inputs[1...2].reduce(0) { total, input in
                guard let state = graph[roots[input] ?? input].state, state.shape.count == 4, let heads = state.shape[1].fixed,
                    let dimension = state.shape[3].fixed, let bytes = state.format.rowBytes(elements: dimension)
                else { return total }
                return total + heads * bytes
            }
            attentions.append(Attending(rowBytes: rowBytes, window: attention.window))
        }
        self.weightBytes = weightBytes
        self.attentions = attentions
    }

    /// Bytes of keys and values read on average by tokens at `positions`: each sees itself and all before it, within the layer's window.
    package func cacheBytes(positions: Range<Int>) -> Int {
        guard !positions.isEmpty else { return 0 }
        let total = attentions.reduce(0.0) { total, attention in
            let rows = positions.reduce(0) { $0 + min($1 + 1, attention.window ?? .max) }
            return total + Double(rows) * Double(attention.rowBytes)
        }
        return Int(total / Double(positions.count))
    }
}
