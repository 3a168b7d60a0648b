// Convolutions of any number of axes. Each plane of the result is summed on its own, channel by channel and tap by tap, in Double.

extension ReferenceStep {
    func convolution(_ convolution: Convolution) throws {
        let bias = convolution.hasBias ? try inputs[2].values() : nil
        let residual = convolution.hasResidual ? try inputs[inputs.count - 1].values() : nil
        try convolve(inputs[0].values(), convolution.window, groups: convolution.groups) { feature, first, sums in
            for place in sums.indices {
                var sum = sums[place] + (bias?[feature] ?? 0)
                let added = residual?[first + place] ?? 0
                if convolution.addsResidualFirst { sum += added }
                if let activation = convolution.activation { sum = activation(sum) }
                sums[place] = convolution.addsResidualFirst ? sum : sum + added
            }
        }
    }

    /// The products of the second input with `values`, the elements of the first, summed over taps and the channels of a group. `finish` makes the
    /// results of a plane out of its sums: it gets the feature, and the place of the plane among the elements of the output.
    func convolve(
        _ values: [Double], _ window: Window, groups: Int, finish: (_ feature: Int, _ first: Int, _ sums: UnsafeMutableBufferPointer<Double>) -> Void
    ) throws {
        let (x, output) = (inputs[0], outputs[0])
        if output.count == 0 { return }
        let (channels, features) = (x.shape[1], output.shape[1])
        let space = Array(output.shape.dropFirst(2)), xSpace = Array(x.shape.dropFirst(2))
        let taps = TapRows.all(window, places: space, elements: xSpace)
        let (plane, xPlane) = (space.reduce(1, *), xSpace.reduce(1, *))
        let (perGroup, featuresPerGroup) = (channels / groups, features / groups)
        let coefficients = try inputs[1].values()

        try sumPlanes(x.shape[0] * features, of: plane) { task, sums in
            let (image, feature) = (task / features, task % features)
            values.withUnsafeBufferPointer { values in
                for channel in 0..<perGroup {
                    let start = (image * channels + feature / featuresPerGroup * perGroup + channel) * xPlane
                    for (index, tap) in taps.enumerated() {
                        let factor = coefficients[(feature * perGroup + channel) * taps.count + index]
                        for run in tap.starts {
                            addMultiples(
                                of: values, from: start + run.element, step: tap.elementStep, factor, to: sums, at: run.place, step: tap.placeStep,
                                count: tap.count)
                        }
                    }
                }
            }
            finish(feature, task * plane, UnsafeMutableBufferPointer(start: sums, count: plane))
        }
    }

    /// The window's places are the elements of x, what it meets is the result.
    func transposedConvolution(_ convolution: TransposedConvolution) throws {
        let (x, output) = (inputs[0], outputs[0])
        if output.count == 0 { return }
        let (channels, features) = (x.shape[1], output.shape[1])
        let space = Array(output.shape.dropFirst(2)), xSpace = Array(x.shape.dropFirst(2))
        let taps = TapRows.all(convolution.window, places: xSpace, elements: space)
        let (plane, xPlane) = (space.reduce(1, *), xSpace.reduce(1, *))
        let (perGroup, featuresPerGroup) = (channels / convolution.groups, features / convolution.groups)
        let (values, coefficients) = (try x.values(), try inputs[1].values())
        let bias = convolution.hasBias ? try inputs[2].values() : nil

        try sumPlanes(x.shape[0] * features, of: plane) { task, sums in
            let (image, feature) = (task / features, task % features)
            let group = feature / featuresPerGroup
            values.withUnsafeBufferPointer { values in
                for channel in group * perGroup..<(group + 1) * perGroup {
                    let start = (image * channels + channel) * xPlane
                    for (index, tap) in taps.enumerated() {
                        let factor = coefficients[(channel * featuresPerGroup + feature % featuresPerGroup) * taps.count + index]
                        for run in tap.starts {
                            addMultiples(
                                of: values, from: start + run.place, step: tap.placeStep, factor, to: sums, at: run.element, step: tap.elementStep,
                                count: tap.count)
                        }
                    }
                }
            }
            if let bias { for place in 0..<plane { sums[place] += bias[feature] } }
            if let activation = convolution.activation { for place in 0..<plane { sums[place] = activation(sums[place]) } }
        }
    }

    /// Taps read between elements, by bilinear interpolation; what lies outside x is 0. Rows of the result are shared out.
    func deformableConvolution(_ convolution: DeformableConvolution) throws {
        let (x, weight, output) = (inputs[0], inputs[1], outputs[0])
        if output.count == 0 { return }
        let window = convolution.window
        let (channels, features) = (x.shape[1], output.shape[1])
        let (height, width, outHeight, outWidth) = (x.shape[2], x.shape[3], output.shape[2], output.shape[3])
        let taps = window.kernel[0] * window.kernel[1]
        let (perGroup, featuresPerGroup) = (channels / convolution.groups, features / convolution.groups)
        let channelsPerOffset = channels / convolution.offsetGroups
        let (values, coefficients, offsets) = (try x.values(), try weight.values(), try inputs[2].values())
        let bias = convolution.hasBias ? try inputs[3].values() : nil
        let mask = convolution.hasMask ? try inputs[inputs.count - 1].values() : nil
        let outPlane = outHeight * outWidth
        var results = [Double](repeating: 0, count: output.count)

        try results.withUnsafeMutableBufferPointer { results in
            try forEach(x.shape[0] * outHeight) { task in
                let (image, row) = (task / outHeight, task % outHeight)
                var samples = [Double](repeating: 0, count: channels * taps)
                for column in 0..<outWidth {
                    let place = row * outWidth + column
                    for offsetGroup in 0..<convolution.offsetGroups {
                        for tap in 0..<taps {
                            let number = (image * convolution.offsetGroups + offsetGroup) * taps + tap
                            let (tapRow, tapColumn) = (tap / window.kernel[1], tap % window.kernel[1])
                            let y = Double(row * window.strides[0] - window.low[0] + tapRow * window.dilations[0]) + offsets[2 * number * outPlane + place]
                            let x =
                                Double(column * window.strides[1] - window.low[1] + tapColumn * window.dilations[1])
                                + offsets[(2 * number + 1) * outPlane + place]
                            let corners = Corners(y: y, x: x, height: height, width: width)
                            let factor = mask?[number * outPlane + place] ?? 1
                            for channel in offsetGroup * channelsPerOffset..<(offsetGroup + 1) * channelsPerOffset {
                                samples[channel * taps + tap] = corners.sample(values, (image * channels + channel) * height * width) * factor
                            }
                        }
                    }
                    for feature in 0..<features {
                        var sum = 0.0
                        let first = feature / featuresPerGroup * perGroup * taps
                        for index in 0..<perGroup * taps { sum += samples[first + index] * coefficients[feature * perGroup * taps + index] }
                        results[(image * features + feature) * outPlane + place] = sum + (bias?[feature] ?? 0)
                    }
                }
            }
        }
        try output.store(results)
    }

    /// Runs `body` with each plane of the output, zeroed, and stores them all.
    func sumPlanes(_ count: Int, of plane: Int, _ body: (Int, UnsafeMutablePointer<Double>) -> Void) throws {
        var results = [Double](repeating: 0, count: count * plane)
        try results.withUnsafeMutableBufferPointer { results in
            guard let base = results.baseAddress else { return }
            try forEach(count) { body($0, base + $0 * plane) }
        }
        try outputs[0].store(results)
    }
}

/// `target[i] += factor·source[i]` for `count` elements.
@inline(__always)
func addMultiples(
    of source: UnsafeBufferPointer<Double>, from start: Int, step: Int, _ factor: Double, to target: UnsafeMutablePointer<Double>, at place: Int,
    step placeStep: Int, count: Int
) {
    guard let base = source.baseAddress else { return }
    let (source, target) = (base + start, target + place)
    if step == 1, placeStep == 1 {
        for index in 0..<count { target[index] += factor * source[index] }
    } else {
        for index in 0..<count { target[index * placeStep] += factor * source[index * step] }
    }
}

/// The four elements around a place in a plane, with their weights; those outside the plane have none.
private struct Corners {
    private var places = SIMD4<Int>.zero
    private var weights = SIMD4<Double>.zero

    init(y: Double, x: Double, height: Int, width: Int) {
        // NaN fails this as well.
        guard y > -1, y < Double(height), x > -1, x < Double(width) else { return }
        let (top, left) = (y.rounded(.down), x.rounded(.down))
        for corner in 0..<4 {
            let (row, column) = (Int(top) + corner / 2, Int(left) + corner % 2)
            guard (0..<height).contains(row), (0..<width).contains(column) else { continue }
            places[corner] = row * width + column
            weights[corner] = (1 - abs(y - Double(row))) * (1 - abs(x - Double(column)))
        }
    }

    func sample(_ values: [Double], _ plane: Int) -> Double {
        var sum = 0.0
        for corner in 0..<4 where weights[corner] != 0 { sum += weights[corner] * values[plane + places[corner]] }
        return sum
    }
}
