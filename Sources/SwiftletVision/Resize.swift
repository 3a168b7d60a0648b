// Resizing in two passes, along rows and along columns. ResizeTaps.swift has the weights.
//
// With antialiasing the levels between the passes have 8 bits, as in Pillow (13.0). Without, nothing is rounded between them, as in OpenCV
// and PyTorch.
import SwiftletTensor

extension Image {
    /// The picture at another size.
    ///
    /// - Parameters:
    ///   - filter: how levels between pixels are found.
    ///   - antialias: whether shrinking takes every source pixel into account, as Pillow does and training recipes with it. Without it results
    ///     are those of OpenCV and of PyTorch's plain `interpolate`. `nearest` and `area` have no choice.
    /// - Throws: `SwiftletError.invalidArgument` when a side is 0 or above `maximumSide`.
    public func resized(to target: ImageSize, filter: ResizeFilter = .bilinear, antialias: Bool = true) throws -> Image {
        let sides = 1...Self.maximumSide
        guard sides.contains(target.width), sides.contains(target.height) else {
            throw SwiftletError.invalidArgument(
                name: "target", reason: "a picture cannot be \(target)", remedy: "Choose sides from 1 to \(Self.maximumSide) pixels.")
        }
        if target == size { return self }
        if filter == .nearest { return try nearest(target) }
        // What is transparent has no colour: levels count as much as they are seen.
        if format == .rgba {
            return try weightedByAlpha().convolved(target, filter, antialias).unweightedByAlpha()
        }
        return try convolved(target, filter, antialias)
    }

    private func convolved(_ target: ImageSize, _ filter: ResizeFilter, _ antialias: Bool) throws -> Image {
        let across = ResizeTaps(source: width, target: target.width, filter: filter, antialias: antialias)
        let down = ResizeTaps(source: height, target: target.height, filter: filter, antialias: antialias)
        if !antialias && filter != .area { return try sampled(across, down) }
        // As Pillow orders them: rows first, unless that would only make more work for the columns.
        if target.width > width && target.height < height { return try shortened(down).narrowed(across) }
        return try narrowed(across).shortened(down)
    }

    private func nearest(_ target: ImageSize) throws -> Image {
        try withLevels { source in
            try Image(size: target, format: format) { result in
                let channels = format.channels
                let (across, down) = (Double(width) / Double(target.width), Double(height) / Double(target.height))
                let columns = (0..<target.width).map { min(width - 1, Int((Double($0) + 0.5) * across)) * channels }
                var place = 0
                for y in 0..<target.height {
                    let row = min(height - 1, Int((Double(y) + 0.5) * down)) * width * channels
                    for column in columns {
                        for channel in 0..<channels { result[place + channel] = source[row + column + channel] }
                        place += channels
                    }
                }
            }
        }
    }

    private func weightedByAlpha() throws -> Image {
        try mappingPixels { color, alpha in
            let product = Int(color) * Int(alpha) + 128
            return UInt8((product + product >> 8) >> 8)  // color × alpha / 255, rounded
        }
    }

    private func unweightedByAlpha() throws -> Image {
        try mappingPixels { color, alpha in alpha == 0 ? color : UInt8(min(255, 255 * Int(color) / Int(alpha))) }
    }

    /// Each colour level of an RGBA picture changed, given its pixel's alpha.
    private func mappingPixels(_ change: (_ color: UInt8, _ alpha: UInt8) -> UInt8) throws -> Image {
        try withLevels { source in
            try Image(size: size, format: format) { result in
                for pixel in stride(from: 0, to: source.count, by: 4) {
                    let alpha = source[pixel + 3]
                    for channel in pixel..<pixel + 3 { result[channel] = change(source[channel], alpha) }
                    result[pixel + 3] = alpha
                }
            }
        }
    }

    private static let half: Int32 = 1 << (ResizeTaps.fractionBits - 1)

    private static func level(_ sum: Int32) -> UInt8 { UInt8(truncatingIfNeeded: min(max(sum >> ResizeTaps.fractionBits, 0), 255)) }

    /// Another width: each target pixel is a sum over neighbours in its row.
    private func narrowed(_ taps: ResizeTaps) throws -> Image {
        let targetWidth = taps.first.count
        if targetWidth == width { return self }
        return try withLevels { source in
            try Image(size: ImageSize(width: targetWidth, height: height), format: format) { result in
                taps.weights.withUnsafeBufferPointer { weights in
                    guard let from = source.baseAddress, let to = result.baseAddress, let weights = weights.baseAddress else { return }
                    let channels = format.channels
                    for y in 0..<height {
                        let (row, target) = (from + y * width * channels, to + y * targetWidth * channels)
                        switch format {
                        case .gray: Self.grayRow(row, target, taps, weights)
                        case .rgb: Self.colorRow(row, target, taps, weights)
                        case .rgba: Self.transparentRow(row, target, taps, weights)
                        }
                    }
                }
            }
        }
    }

    private static func grayRow(
        _ row: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>, _ taps: ResizeTaps, _ weights: UnsafePointer<Int32>
    ) {
        for x in taps.first.indices {
            let (pixels, weights) = (row + taps.first[x], weights + x * taps.stride)
            var sum = half
            for tap in 0..<taps.count[x] { sum &+= weights[tap] &* Int32(pixels[tap]) }
            target[x] = level(sum)
        }
    }

    private static func colorRow(
        _ row: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>, _ taps: ResizeTaps, _ weights: UnsafePointer<Int32>
    ) {
        for x in taps.first.indices {
            let weights = weights + x * taps.stride
            var pixel = row + taps.first[x] * 3
            var (red, green, blue) = (half, half, half)
            for tap in 0..<taps.count[x] {
                let weight = weights[tap]
                red &+= weight &* Int32(pixel[0])
                green &+= weight &* Int32(pixel[1])
                blue &+= weight &* Int32(pixel[2])
                pixel += 3
            }
            (target[3 * x], target[3 * x + 1], target[3 * x + 2]) = (level(red), level(green), level(blue))
        }
    }

    private static func transparentRow(
        _ row: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>, _ taps: ResizeTaps, _ weights: UnsafePointer<Int32>
    ) {
        for x in taps.first.indices {
            let weights = weights + x * taps.stride
            var pixel = row + taps.first[x] * 4
            var (red, green, blue, alpha) = (half, half, half, half)
            for tap in 0..<taps.count[x] {
                let weight = weights[tap]
                red &+= weight &* Int32(pixel[0])
                green &+= weight &* Int32(pixel[1])
                blue &+= weight &* Int32(pixel[2])
                alpha &+= weight &* Int32(pixel[3])
                pixel += 4
            }
            (target[4 * x], target[4 * x + 1], target[4 * x + 2], target[4 * x + 3]) = (level(red), level(green), level(blue), level(alpha))
        }
    }

    /// Another height: each target row is a sum of whole rows.
    private func shortened(_ taps: ResizeTaps) throws -> Image {
        let targetHeight = taps.first.count
        if targetHeight == height { return self }
        let rowBytes = width * format.channels
        return try withLevels { source in
            try Image(size: ImageSize(width: width, height: targetHeight), format: format) { result in
                guard let from = source.baseAddress, let to = result.baseAddress else { return }
                var sums = [Int32](repeating: 0, count: rowBytes)
                sums.withUnsafeMutableBufferPointer { sums in
                    for y in 0..<targetHeight {
                        sums.update(repeating: Self.half)
                        for tap in 0..<taps.count[y] {
                            let (row, weight) = (from + (taps.first[y] + tap) * rowBytes, taps.weights[y * taps.stride + tap])
                            for index in 0..<rowBytes { sums[index] &+= weight &* Int32(row[index]) }
                        }
                        let target = to + y * rowBytes
                        for index in 0..<rowBytes { target[index] = Self.level(sums[index]) }
                    }
                }
            }
        }
    }

    /// Both passes without rounding between them, a target row at a time; the few source rows it needs are kept at the target's width.
    private func sampled(_ across: ResizeTaps, _ down: ResizeTaps) throws -> Image {
        let (channels, targetWidth, targetHeight) = (format.channels, across.first.count, down.first.count)
        let rowLevels = targetWidth * channels
        let one = Float(1 << ResizeTaps.fractionBits)
        let (acrossWeights, downWeights) = (across.weights.map { Float($0) / one }, down.weights.map { Float($0) / one })
        let kept = down.stride
        return try withLevels { source in
            try Image(size: ImageSize(width: targetWidth, height: targetHeight), format: format) { result in
                var rows = [Float](repeating: 0, count: kept * rowLevels)
                var held = [Int](repeating: -1, count: kept)
                var sums = [Float](repeating: 0, count: rowLevels)
                for y in 0..<targetHeight {
                    sums.withUnsafeMutableBufferPointer { $0.update(repeating: 0.5) }
                    for tap in 0..<down.count[y] {
                        let row = down.first[y] + tap
                        let place = row % kept * rowLevels
                        if held[row % kept] != row {
                            held[row % kept] = row
                            for x in 0..<targetWidth {
                                for channel in 0..<channels {
                                    var sum: Float = 0
                                    let pixel = (row * width + across.first[x]) * channels + channel
                                    for tap in 0..<across.count[x] {
                                        sum += acrossWeights[x * across.stride + tap] * Float(source[pixel + tap * channels])
                                    }
                                    rows[place + x * channels + channel] = sum
                                }
                            }
                        }
                        let weight = downWeights[y * down.stride + tap]
                        for index in 0..<rowLevels { sums[index] += weight * rows[place + index] }
                    }
                    for index in 0..<rowLevels { result[y * rowLevels + index] = UInt8(min(max(sums[index], 0), 255)) }
                }
            }
        }
    }
}
