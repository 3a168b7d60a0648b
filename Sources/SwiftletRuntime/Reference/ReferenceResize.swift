// Resizing: one axis after the other, each place of the result a weighted sum of places along the axis (ONNX Resize).
//
// A kernel K gives the weights K(j − x) of the elements j around the place x. Shrinking with antialiasing widens it: K((j − x)·scale).

extension ReferenceStep {
    /// Whole numbers are rounded to nearest, ties to even, and kept in range. Nearest neighbours are moved, not computed.
    func resize(_ resize: Resize) throws {
        var shape = inputs[0].shape
        if outputs[0].count == 0 { return }
        if case .nearest(let rounding) = resize.interpolation, !resize.coordinates.leavesInput {
            return moveNearest(resize, rounding)
        }
        var values = try inputs[0].values()
        for axis in shape.indices {
            // Every place then reads all elements many times over: sizes and scales that contradict each other.
            if resize.antialiases, Double(resize.scales[axis]) * Double(shape[axis]) < 0x1p-10 {
                throw SwiftletError.invalidArgument(
                    name: node.name, reason: "a scale of \(resize.scales[axis]) leaves nothing of \(shape[axis]) elements",
                    remedy: "Give scales that make the sizes.")
            }
            let line = ResizedAxis(resize, axis, length: shape[axis])
            if line.isIdentity { continue }
            values = try resized(values, shape, axis, line)
            shape[axis] = resize.sizes[axis]
        }
        if inputs[0].element.domain != .float {
            let element = outputs[0].element
            let low = element.integerRange.map { Double($0.lowerBound) } ?? 0
            let high = element.integerRange.map { Double($0.upperBound) } ?? (element == .bool ? 1 : 0x1p64)
            values = values.map { $0.isNaN ? 0 : min(max($0.rounded(.toNearestOrEven), low), high) }
        }
        try outputs[0].store(values)
    }

    private func resized(_ values: [Double], _ shape: [Int], _ axis: Int, _ line: ResizedAxis) throws -> [Double] {
        let inner = shape[(axis + 1)...].reduce(1, *)
        let (length, size) = (shape[axis], line.places.count)
        var results = [Double](repeating: 0, count: values.count / length * size)
        try results.withUnsafeMutableBufferPointer { results in
            try values.withUnsafeBufferPointer { values in
                try forEach(shape[..<axis].reduce(1, *)) { outer in
                    for (place, sources) in line.places.enumerated() {
                        let target = (outer * size + place) * inner
                        guard let sources else {
                            for index in 0..<inner { results[target + index] = line.extrapolation }
                            continue
                        }
                        for source in sources {
                            let start = (outer * length + source.index) * inner
                            for index in 0..<inner { results[target + index] += source.weight * values[start + index] }
                        }
                    }
                }
            }
        }
        return results
    }

    private func moveNearest(_ resize: Resize, _ rounding: Resize.NearestRounding) {
        let (x, output) = (inputs[0], outputs[0])
        guard let source = x.bytes, let target = output.bytes else { return }
        let bytes = x.element.byteCount
        let tables = x.shape.indices.map { axis in
            let line = ResizedAxis(resize, axis, length: x.shape[axis])
            return line.isIdentity ? Array(0..<x.shape[axis]) : line.places.map { $0?.first?.index ?? 0 }
        }
        let last = x.shape.count - 1
        let strides = x.strides
        for row in 0..<output.rows {
            var (rest, start) = (row, 0)
            for axis in stride(from: last - 1, through: 0, by: -1) {
                start += tables[axis][rest % output.shape[axis]] * strides[axis]
                rest /= output.shape[axis]
            }
            for column in 0..<output.width {
                let place = last < 0 ? 0 : tables[last][column]
                moveElements(1, of: bytes, from: source + (start + place) * bytes, step: 0, to: target + (row * output.width + column) * bytes)
            }
        }
    }
}

extension Resize.Coordinates {
    /// Whether places may lie outside the input, where there is a value instead of elements.
    fileprivate var leavesInput: Bool { if case .cropAndResize = self { true } else { false } }
}

/// What each place of the result along an axis is the sum of.
struct ResizedAxis {
    /// Nil where the place is outside the input and there is a value for that.
    let places: [[(index: Int, weight: Double)]?]
    let extrapolation: Double
    /// Whether every place is the element with its own number.
    let isIdentity: Bool

    init(_ resize: Resize, _ axis: Int, length: Int) {
        let size = resize.sizes[axis]
        // A scale that was computed from sizes is not rounded twice.
        let scale = resize.scales[axis] == Float(size) / Float(length) ? Double(size) / Double(length) : Double(resize.scales[axis])
        let whole = scale * Double(length)
        var region: (start: Double, end: Double, value: Double)?
        if case .cropAndResize(let starts, let ends, let value) = resize.coordinates {
            region = (Double(starts[axis]), Double(ends[axis]), Double(value))
        }
        extrapolation = region?.value ?? 0
        isIdentity = size == length && abs(scale - 1) <= 1e-9 && (region.map { $0.start == 0 && $0.end == 1 } ?? true)
        if isIdentity {
            places = []
            return
        }
        let last = Double(length - 1)
        places = (0..<size).map { index in
            let y = Double(index)
            let x: Double
            switch resize.coordinates {
            case .halfPixel: x = (y + 0.5) / scale - 0.5
            case .halfPixelSymmetric: x = Double(length) / 2 * (1 - Double(size) / whole) + (y + 0.5) / scale - 0.5
            case .pytorchHalfPixel: x = whole == 1 ? -0.5 : (y + 0.5) / scale - 0.5
            case .alignCorners: x = whole == 1 ? 0 : y * last / (whole - 1)
            case .asymmetric: x = y / scale
            case .cropAndResize(let starts, let ends, _):
                let (start, end) = (Double(starts[axis]), Double(ends[axis]))
                x = start * last + (whole == 1 ? (end - start) * last / 2 : y * (end - start) * last / (whole - 1))
                if !(x >= 0 && x <= last) { return nil }
            }
            return Self.sources(resize, around: x, scale: scale, length: length)
        }
    }

    private static func sources(_ resize: Resize, around x: Double, scale: Double, length: Int) -> [(index: Int, weight: Double)] {
        // Beyond the input by more than this everything is its border.
        let x = x.isNaN ? 0 : min(max(x, -1e9), Double(length) + 1e9)
        func inside(_ index: Double) -> Int { Int(min(max(index, 0), Double(length - 1))) }
        let shrink = resize.antialiases ? min(scale, 1) : 1
        let reach: Double
        let kernel: (Double) -> Double
        switch resize.interpolation {
        case .nearest(let rounding):
            switch rounding {
            case .preferFloor: return [(inside((x - 0.5).rounded(.up)), 1)]
            case .preferCeil: return [(inside((x + 0.5).rounded(.down)), 1)]
            case .floor: return [(inside(x.rounded(.down)), 1)]
            case .ceil: return [(inside(x.rounded(.up)), 1)]
            }
        case .linear:
            reach = 1
            kernel = { max(0, 1 - abs($0)) }
        case .cubic(let coefficient):
            reach = 2
            kernel = { cubic($0, Double(coefficient)) }
        }
        let first = Int((x - reach / shrink).rounded(.up)), end = Int((x + reach / shrink).rounded(.down))
        var sources: [(index: Int, weight: Double)] = []
        var (total, isShort) = (0.0, resize.antialiases)
        for index in first...max(first, end) {
            if resize.excludesOutside, !(0..<length).contains(index) {
                isShort = true
                continue
            }
            let weight = kernel((Double(index) - x) * shrink)
            total += weight
            let place = inside(Double(index))
            // What falls on the border adds up there.
            if let known = sources.last, known.index == place { sources[sources.count - 1].weight += weight } else { sources.append((place, weight)) }
        }
        if isShort, total != 0 { for index in sources.indices { sources[index].weight /= total } }
        return sources
    }
}

/// The cubic convolution kernel (Keys, 1981).
func cubic(_ distance: Double, _ a: Double) -> Double {
    let x = abs(distance)
    if x <= 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0
}
