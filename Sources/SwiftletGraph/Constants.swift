// What constants hold, as numbers: for passes, importers and backends that must know them before a graph runs.

extension Weight {
    /// All elements as f32, row after row, whatever their format: 64-bit ones are rounded, `true` is 1. For small weights; backends pack the bytes.
    ///
    /// Throws `SwiftletError.invalidArgument` when blocks start at an odd address.
    package func floats() throws -> [Float] {
        try store.withBytes { try format.dequantizeRow($0, elements: shape.elementCount) }
    }

    /// The weight itself when it is dense f32, or its elements as such a weight: kernels read norms and biases as they lie. Throws as `floats()`.
    package func widened(name: String) throws -> Weight {
        if format == .dense(.f32) { return self }
        return try Weight(name: name, shape: shape, format: .dense(.f32), store: WeightStore(floats()))
    }
}

extension Graph {
    /// One number for each channel of `result`, `[n, c, space…]`, when an f32 constant that broadcasts to it has no more than that.
    package func channelConstant(_ id: ValueID, of result: ValueID) -> [Float]? {
        let shape = self[result].type.shape
        guard shape.count >= 3, let channels = shape[1].fixed, let weight = self[id].weight, weight.format == .dense(.f32), weight.shape.rank <= shape.count
        else { return nil }
        let padded = weight.shape.dimensions.padded(to: shape.count)
        guard padded[0] == 1, padded[2...].allSatisfy({ $0 == 1 }), padded[1] == 1 || padded[1] == channels, let values = try? weight.floats() else { return nil }
        return values.count == 1 ? [Float](repeating: values[0], count: channels) : values
    }

    /// Whether `id` is computed in f32, and one number for each channel of each image of `result`, `[n, c, space…]`: `[n, c, 1…]`.
    package func isChannelVector(_ id: ValueID, of result: ValueID) -> Bool {
        guard self[id].weight == nil, self[id].type.element == .f32, let own = self[id].type.shape.fixedSizes,
            let sizes = self[result].type.shape.fixedSizes, sizes.count >= 3, own.count <= sizes.count
        else { return false }
        return own.padded(to: sizes.count) == Array(sizes.prefix(2)) + [Int](repeating: 1, count: sizes.count - 2)
    }
}

extension [Int] {
    /// The sizes with ones before them, as shapes broadcast.
    fileprivate func padded(to rank: Int) -> [Int] { [Int](repeating: 1, count: rank - count) + self }
}
