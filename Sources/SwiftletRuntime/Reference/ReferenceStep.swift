// One node with its tensors, and the switch from operations to their definitions.

/// A node bound to memory. Each operation is one method, grouped by file.
struct ReferenceStep {
    let node: Node
    let inputs: [ReferenceTensor]
    let outputs: [ReferenceTensor]
    let pool: ThreadPool?

    func run() throws {
        switch node.op {
        case .linear(let linear): try self.linear(linear)
        case .embedding: try embedding()
        case .gatherRows: try gatherRows()
        case .rmsNorm(let epsilon): try rmsNorm(epsilon: Double(epsilon))
        case .layerNorm(let epsilon): try layerNorm(epsilon: Double(epsilon))
        case .softmax: try softmax()
        case .unary(let function): try outputs[0].store(inputs[0].values().map(function.callAsFunction))
        case .binary(let function): try binary(function)
        case .rotaryTable(let table): try rotaryTable(table)
        case .rotary(let layout): try rotary(layout)
        case .cacheWrite: try cacheWrite()
        case .attention(let attention): try self.attention(attention)
        case .reshape: break  // the output is the operand's memory
        case .tensor:
            throw SwiftletError.unsupported(file: "reference", place: node.name, reason: "has no definition of \(node.op)", remedy: "Add one.")
        }
    }

    /// Runs `body(0)…body(count − 1)` on the pool, if there is one, and throws the first error in that order.
    func forEach(_ count: Int, _ body: (Int) throws -> Void) throws {
        guard let pool else { return try (0..<count).forEach(body) }
        var failures = [(any Error)?](repeating: nil, count: count)
        failures.withUnsafeMutableBufferPointer { failures in
            pool.forEach(count) { index in
                do { try body(index) } catch { failures[index] = error }
            }
        }
        if let error = failures.lazy.compactMap({ $0 }).first { throw error }
    }
}
