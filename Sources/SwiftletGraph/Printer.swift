// The graph as text, for `swiftlet inspect --graph` and for reading what a pass did.
//
//     graph tiny
//     input tokens: i32[tokens]
//     state cache_k: F16[slots, 2, context, 4]
//     embed: f32[tokens, 16] = embedding token_embd.weight{Q8_0 [32, 16], 544 bytes}, tokens
//     …
//     output head
//     parameters: 512
//     …

extension Graph {
    /// One line for each input, state, node and output, then the counts. The same graph gives the same text. The graph must verify.
    public func summary() throws -> String {
        var lines = ["graph \(name)"]
        lines += inputs.map { "input \(self[$0].name): \(self[$0].type)" }
        for id in states {
            guard let state = self[id].state else { continue }
            lines.append("state \(self[id].name): \(state.format)[" + state.shape.map(\.description).joined(separator: ", ") + "]")
        }
        lines += nodes.map(line)
        lines += outputs.map { "output \(self[$0].name)" }
        lines.append("nodes: \(nodes.count)")
        lines.append("parameters: \(parameterCount)")
        lines.append("weight bytes: \(weightBytes)")
        lines.append("weight bytes read per token: \(weightBytesPerToken)")
        lines.append("multiply-accumulates: \(try symbolicMultiplyAccumulates())")
        return lines.joined(separator: "\n") + "\n"
    }

    private func line(_ node: Node) -> String {
        let types = node.outputs.map { self[$0].type.description }.joined(separator: ", ")
        let operands = node.inputs.map(label).joined(separator: ", ")
        // The value that a fused node computes keeps its own name, which readers refer to.
        let names = node.outputs.map { self[$0].name }
        let computed = names == [node.name] ? node.name : "\(node.name) → " + names.joined(separator: ", ")
        return "\(computed): \(types) = \(node.op) \(operands)"
    }

    private func label(_ id: ValueID) -> String {
        let value = self[id]
        guard let weight = value.weight else { return value.name }
        return "\(value.name){\(weight.format) \(weight.shape), \(weight.store.byteCount) bytes}"
    }
}

extension Op: CustomStringConvertible {
    /// The operation with its attributes, for example `rmsNorm(epsilon: 1e-05)`.
    public var description: String {
        switch self {
        case .linear(let linear): linear.description
        case .embedding: "embedding"
        case .gatherRows: "gatherRows"
        case .rmsNorm(let epsilon): "rmsNorm(epsilon: \(epsilon))"
        case .layerNorm(let epsilon): "layerNorm(epsilon: \(epsilon))"
        case .softmax: "softmax"
        case .unary(let function): "\(function)"
        case .binary(let function): "\(function)"
        case .rotaryTable(let table): table.description
        case .rotary(let layout): "rotary(\(layout.rawValue))"
        case .cacheWrite: "cacheWrite"
        case .attention(let attention): attention.description
        case .reshape(let shape): "reshape[" + shape.map(\.description).joined(separator: ", ") + "]"
        case .tensor(let op): op.description
        }
    }
}

extension Linear: CustomStringConvertible {
    public var description: String {
        var attributes: [String] = []
        if weightCount != 1 { attributes.append("weights: \(weightCount)") }
        if hasBias { attributes.append("bias") }
        switch epilogue {
        case .none: break
        case .activation(let function): attributes.append("\(function)")
        case .gated(let function): attributes.append("gated \(function)")
        case .residual: attributes.append("residual")
        }
        if isRanked { attributes.append("ranked") }
        return attributes.isEmpty ? "linear" : "linear(\(attributes.joined(separator: ", ")))"
    }
}

extension RotaryTable: CustomStringConvertible {
    public var description: String {
        var attributes = ["dimensions: \(dimensions)", "base: \(base)"]
        switch scaling {
        case .none: break
        case .linear(let factor): attributes.append("linear scaling \(factor)")
        case .yarn(let factor, let originalContext, let betaFast, let betaSlow, let extrapolation, let attentionFactor):
            attributes.append(
                "YaRN \(factor) of \(originalContext), beta \(betaFast) to \(betaSlow), extrapolation \(extrapolation), attention \(attentionFactor)"
            )
        }
        if hasFactors { attributes.append("factors") }
        if magnitude != 1 { attributes.append("magnitude: \(magnitude)") }
        return "rotaryTable(\(attributes.joined(separator: ", ")))"
    }
}

extension Attention: CustomStringConvertible {
    public var description: String {
        var attributes = ["heads: \(heads)/\(keyValueHeads)", "scale: \(scale)"]
        if let softcap { attributes.append("softcap: \(softcap)") }
        if let window { attributes.append("window: \(window)") }
        return "attention(\(attributes.joined(separator: ", ")))"
    }
}
