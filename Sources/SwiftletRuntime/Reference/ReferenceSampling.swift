// Sampling: reading an image at the places of a grid, and boxes of it as tensors of one size.

extension ReferenceStep {
    /// A place becomes a few elements an axis with their weights; the value is the sum over all their combinations. Images are shared out
    /// by channel.
    func gridSample(_ sample: GridSample) throws {
        let (x, grid, output) = (inputs[0], inputs[1], outputs[0])
        if output.count == 0 { return }
        let space = Array(x.shape.dropFirst(2))
        let strides = Strides.dense(space)
        let (plane, places, channels) = (space.reduce(1, *), output.shape.dropFirst(2).reduce(1, *), x.shape[1])
        let (values, coordinates) = (try x.values(), try grid.values())
        var results = [Double](repeating: 0, count: output.count)
        try results.withUnsafeMutableBufferPointer { results in
            try forEach(x.shape[0]) { image in
                for place in 0..<places {
                    // The grid names the last axis first.
                    let start = (image * places + place) * space.count
                    var terms: [(offset: Int, weight: Double)] = [(0, 1)]
                    for axis in space.indices {
                        let taps = sample.taps(coordinates[start + space.count - 1 - axis], length: space[axis])
                        terms = terms.flatMap { term in taps.map { (term.offset + $0.index * strides[axis], term.weight * $0.weight) } }
                    }
                    for channel in 0..<channels {
                        let from = (image * channels + channel) * plane
                        var sum = 0.0
                        for term in terms { sum += term.weight * values[from + term.offset] }
                        results[(image * channels + channel) * places + place] = sum
                    }
                }
            }
        }
        try output.store(results)
    }

    /// As Detectron and ONNX have it: samples beyond an element outside the image are 0, those up to it lie on its border. The largest is taken
    /// of the weighted corners of the samples, as ONNX defines it.
    func roiAlign(_ align: RoiAlign) throws {
        let (x, boxes, output) = (inputs[0], inputs[1], outputs[0])
        let (channels, height, width) = (x.shape[1], x.shape[2], x.shape[3])
        let images = try inputs[2].places(in: x.shape[0], node: node.name)
        if output.count == 0 { return }
        let (values, corners) = (try x.values(), try boxes.values())
        let bins = align.height * align.width
        let scale = Double(align.scale)
        var results = [Double](repeating: 0, count: output.count)
        try results.withUnsafeMutableBufferPointer { results in
            try forEach(images.count) { box in
                let moved = (0..<4).map { corners[box * 4 + $0] * scale - (align.isHalfPixel ? 0.5 : 0) }
                var (boxWidth, boxHeight) = (moved[2] - moved[0], moved[3] - moved[1])
                if !align.isHalfPixel { (boxWidth, boxHeight) = (max(boxWidth, 1), max(boxHeight, 1)) }
                let (binHeight, binWidth) = (boxHeight / Double(align.height), boxWidth / Double(align.width))
                let (rows, columns) = (try samples(align, binHeight), try samples(align, binWidth))
                for bin in 0..<bins {
                    var taps: [SampledCorners] = []
                    for row in 0..<rows {
                        let y = moved[1] + (Double(bin / align.width) + (Double(row) + 0.5) / Double(rows)) * binHeight
                        for column in 0..<columns {
                            let x = moved[0] + (Double(bin % align.width) + (Double(column) + 0.5) / Double(columns)) * binWidth
                            taps.append(SampledCorners(y: y, x: x, height: height, width: width))
                        }
                    }
                    for channel in 0..<channels {
                        let start = (images[box] * channels + channel) * height * width
                        var result = 0.0
                        if align.takesMaximum {
                            result = taps.isEmpty ? 0 : -.infinity
                            for tap in taps { for corner in 0..<4 { result = Double.larger(result, tap.value(values, start, corner)) } }
                        } else {
                            for tap in taps { for corner in 0..<4 { result += tap.value(values, start, corner) } }
                            result /= Double(max(taps.count, 1))
                        }
                        results[(box * channels + channel) * bins + bin] = result
                    }
                }
            }
        }
        try output.store(results)
    }

    /// Samples along an axis of a bin of this size.
    private func samples(_ align: RoiAlign, _ size: Double) throws -> Int {
        if align.samples > 0 { return align.samples }
        guard size.isFinite, size < 65536 else {
            throw SwiftletError.invalidArgument(
                name: node.name, reason: "a bin of \(size) elements would take as many samples", remedy: "Give boxes of a size like the image's.")
        }
        return max(0, Int(size.rounded(.up)))
    }
}

extension GridSample {
    /// The elements along an axis of `length`, and their weights, that a coordinate from −1 to 1 reads. Elements outside are left out.
    fileprivate func taps(_ coordinate: Double, length: Int) -> [(index: Int, weight: Double)] {
        let size = Double(length)
        // Where the image ends: at the centres or the edges of its outermost elements.
        let (low, high) = alignsCorners ? (0, size - 1) : (-0.5, size - 0.5)
        var x = alignsCorners ? (coordinate + 1) / 2 * (size - 1) : ((coordinate + 1) * size - 1) / 2
        if interpolation == .nearest { x = x.rounded(.toNearestOrEven) }
        if length == 0 { return [] }
        if !x.isFinite {
            if padding == .zeros { return [] }
            x = x > 0 ? high : low
        }
        if x < low || x > high {
            switch padding {
            case .zeros: break
            case .border: x = min(max(x, 0), size - 1)
            case .reflection: x = Self.reflected(x, low, high)
            }
        }
        if abs(x) > 0x1p52 { return [] }
        /// The element at a whole place; nil outside.
        func element(_ place: Double) -> Int? {
            switch padding {
            case .zeros: place >= 0 && place < size ? Int(place) : nil
            case .border: Int(min(max(place, 0), size - 1))
            case .reflection: Int(min(max(Self.reflected(place, low, high), 0), size - 1))
            }
        }
        let floor = x.rounded(.down)
        let weights: [(place: Double, weight: Double)] =
            switch interpolation {
            case .nearest: [(x.rounded(.towardZero), 1)]
            case .linear: [(floor, 1 - (x - floor)), (floor + 1, x - floor)]
            case .cubic: (-1...2).map { (floor + Double($0), SwiftletRuntime.cubic(floor + Double($0) - x, -0.75)) }
            }
        return weights.compactMap { item in element(item.place).map { ($0, item.weight) } }
    }

    /// Mirrored at both ends as often as it takes.
    private static func reflected(_ x: Double, _ low: Double, _ high: Double) -> Double {
        let range = high - low
        if range <= 0 { return low }
        if x >= low, x <= high { return x }
        let distance = x < low ? low - x : x - high
        let turns = (distance / range).rounded(.down)
        let rest = distance - turns * range
        let isEven = turns.truncatingRemainder(dividingBy: 2) == 0
        return (x < low) == isEven ? low + rest : high - rest
    }
}

/// The four elements around a sample, kept inside the image, with their weights.
private struct SampledCorners {
    private var places = SIMD4<Int>.zero
    private var weights = SIMD4<Double>.zero
    private var isInside = false

    init(y: Double, x: Double, height: Int, width: Int) {
        // NaN fails this as well.
        guard height > 0, width > 0, y >= -1, y <= Double(height), x >= -1, x <= Double(width) else { return }
        func ends(_ place: Double, _ length: Int) -> (low: Int, high: Int, rest: Double) {
            let low = Int(max(place, 0))
            return low >= length - 1 ? (length - 1, length - 1, 0) : (low, low + 1, max(place, 0) - Double(low))
        }
        let (rows, columns) = (ends(y, height), ends(x, width))
        places = SIMD4(
            rows.low * width + columns.low, rows.low * width + columns.high, rows.high * width + columns.low, rows.high * width + columns.high)
        weights = SIMD4(
            (1 - rows.rest) * (1 - columns.rest), (1 - rows.rest) * columns.rest, rows.rest * (1 - columns.rest), rows.rest * columns.rest)
        isInside = true
    }

    /// A corner's element times its weight; 0 for a sample outside.
    func value(_ values: [Double], _ start: Int, _ corner: Int) -> Double {
        isInside ? weights[corner] * values[start + places[corner]] : 0
    }
}
