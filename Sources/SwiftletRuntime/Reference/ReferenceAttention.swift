// Positions, the cache and attention.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceStep {
    /// `[t, dimensions]`: the cosines of a position's angles, then their sines.
    func rotaryTable(_ table: RotaryTable) throws {
        let factors = table.hasFactors ? try inputs[1].values().map { Float($0) } : nil
        let (radians, magnitude) = table.frequencies(factors: factors)
        let angles = try inputs[0].integers().map { position in radians.map { Double(position) * $0 } }
        try outputs[0].store(angles.flatMap { row in row.map { cos($0) * magnitude } + row.map { sin($0) * magnitude } })
    }

    /// Turns each pair `(a, b)` of a head to `(a·cos − b·sin, a·sin + b·cos)`; elements behind the rotated ones stay.
    func rotary(_ layout: RotaryLayout) throws {
        let (x, table) = (inputs[0], inputs[1])
        let half = table.width / 2
        let heads = x.shape[1]
        guard table.width <= x.width else {
            throw SwiftletError.invalidGraph(
                node: node.name, reason: "rotates \(table.width) dimensions of heads that have \(x.width)", remedy: "Bind sizes that fit.")
        }
        for token in 0..<x.shape[0] {
            let angles = try table.row(token)
            for row in token * heads..<(token + 1) * heads {
                var head = try x.row(row)
                for pair in 0..<half {
                    let (first, second) =
                        switch layout {
                        case .interleaved: (2 * pair, 2 * pair + 1)
                        case .split: (pair, pair + half)
                        }
                    let (a, b) = (head[first], head[second])
                    head[first] = a * angles[pair] - b * angles[half + pair]
                    head[second] = a * angles[half + pair] + b * angles[pair]
                }
                try outputs[0].store(head, at: row * x.width)
            }
        }
    }

    /// Replaces row `positions[i]` of slot `slots[i]`, for every head, by token i's; of two tokens for one place the later stays.
    func cacheWrite() throws {
        let (cache, x) = (inputs[0], inputs[1])
        let positions = try inputs[2].indices(below: cache.shape[2], node: node.name)
        let slots = try inputs[3].indices(below: cache.shape[0], node: node.name)
        for (token, (position, slot)) in zip(positions, slots).enumerated() {
            for head in 0..<x.shape[1] {
                try cache.store(x.row(token * x.shape[1] + head), at: cache.cacheRow(slot: slot, head: head, position: position) * cache.width)
            }
        }
    }

    /// `Σ softmax(cap(scale·q·k))·v` over the positions a token sees: its own and those before it, the last `window` of them.
    func attention(_ attention: Attention) throws {
        let (queries, keys, values) = (inputs[0], inputs[1], inputs[2])
        let positions = try inputs[3].indices(below: min(keys.shape[2], values.shape[2]), node: node.name)
        let slots = try inputs[4].indices(below: min(keys.shape[0], values.shape[0]), node: node.name)
        let group = attention.heads / attention.keyValueHeads
        try forEach(positions.count) { token in
            let end = positions[token] + 1
            let visible = max(0, end - max(0, attention.window ?? end))..<end
            for sharedHead in 0..<attention.keyValueHeads {
                let keyRows = try visible.map { try keys.row(keys.cacheRow(slot: slots[token], head: sharedHead, position: $0)) }
                let valueRows = try visible.map { try values.row(values.cacheRow(slot: slots[token], head: sharedHead, position: $0)) }
                for head in sharedHead * group..<(sharedHead + 1) * group {
                    let query = try queries.row(token * attention.heads + head)
                    let scores = keyRows.map { key in
                        let score = zip(query, key).reduce(0) { $0 + $1.0 * $1.1 } * Double(attention.scale)
                        return attention.softcap.map { Unary.softcap($0)(score) } ?? score
                    }
                    var result = [Double](repeating: 0, count: query.count)
                    for (weight, row) in zip(probabilities(scores), valueRows) {
                        for index in result.indices { result[index] += weight * row[index] }
                    }
                    try outputs[0].store(result, at: (token * attention.heads + head) * query.count)
                }
            }
        }
    }
}

extension ReferenceTensor {
    /// The number of the row of a cache `[slots, heads, context, headDim]` that holds a position.
    fileprivate func cacheRow(slot: Int, head: Int, position: Int) -> Int { (slot * shape[1] + head) * shape[2] + position }
}
