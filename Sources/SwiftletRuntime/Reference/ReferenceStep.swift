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
        case .unary(let function): try unary(function)
        case .binary(let function): try binary(function)
        case .rotaryTable(let table): try rotaryTable(table)
        case .rotary(let layout): try rotary(layout)
        case .cacheWrite: try cacheWrite()
        case .attention(let attention): try self.attention(attention)
        case .reshape: break  // the output is the operand's memory
        case .tensor(let op): try withDenseOperands { try $0.tensor(op) }
        }
    }

    private func tensor(_ op: TensorOp) throws {
        switch op {
        case .select: try select()
        case .cast(_, let saturates): try cast(saturates: saturates)
        case .bitcast: break  // the output is the operand's memory
        case .quantize: try quantize()
        case .dequantize: try dequantize()
        case .transpose(let permutation): transpose(permutation)
        case .slice(let slice): self.slice(slice)
        case .concat(let axis): concat(axis: axis)
        case .pad(let pad): self.pad(pad)
        case .expand: expand()
        case .gather(let axis): try gather(axis: axis)
        case .gatherElements(let axis): try gatherElements(axis: axis)
        case .gatherND(let batchAxes): try gatherND(batchAxes: batchAxes)
        case .matmul, .pool, .scatterElements, .scatterND, .reduce, .argument, .topK, .cumulative: try numbers(op)
        case .convolution(let convolution): try self.convolution(convolution)
        case .transposedConvolution(let convolution): try transposedConvolution(convolution)
        case .deformableConvolution(let convolution): try deformableConvolution(convolution)
        case .quantizedConvolution(let convolution): try quantizedConvolution(convolution)
        case .quantizedLinear(let linear): try quantizedLinear(linear)
        case .quantizedMean(let mean): try quantizedMean(mean)
        case .quantizedSum(let sum): try quantizedSum(sum)
        case .recurrent(let recurrent): try self.recurrent(recurrent)
        case .resize(let resize): try self.resize(resize)
        case .gridSample(let sample): try gridSample(sample)
        case .roiAlign(let align): try roiAlign(align)
        }
    }

    /// The operations that are defined in every domain of numbers.
    private func numbers(_ op: TensorOp) throws {
        switch inputs[0].element.domain {
        case .float: try ReferenceNumbers<Double>(step: self).run(op)
        case .signed: try ReferenceNumbers<Int64>(step: self).run(op)
        case .unsigned: try ReferenceNumbers<UInt64>(step: self).run(op)
        }
    }

    /// Runs `body` on a step whose operands are dense: weights in blocks are unpacked to f32 first.
    private func withDenseOperands(_ body: (ReferenceStep) throws -> Void) throws {
        guard inputs.contains(where: { if case .block = $0.format { true } else { false } }) else { return try body(self) }
        var memory: [AlignedMemory] = []
        let dense = try inputs.map { input in
            guard case .block = input.format else { return input }
            let bytes = try AlignedMemory(byteCount: input.count * 4, purpose: "an unpacked weight")
            memory.append(bytes)
            let tensor = ReferenceTensor(shape: input.shape, format: .dense(.f32), bytes: bytes.base)
            try tensor.store(input.values())
            return tensor
        }
        try withExtendedLifetime(memory) { try body(ReferenceStep(node: node, inputs: dense, outputs: outputs, pool: pool)) }
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
