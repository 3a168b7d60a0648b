// Convolutions and sums of 8-bit numbers. Sums are whole numbers, which Double holds exactly; what comes behind is computed in f32, step by step, as
// the operations say.

extension ReferenceStep {
    func quantizedConvolution(_ convolution: QuantizedConvolution) throws {
        let (x, weight, output) = (inputs[0], inputs[1], outputs[0])
        if output.count == 0 { return }
        let (channels, features) = (x.shape[1], output.shape[1])
        let space = Array(output.shape.dropFirst(2)), xSpace = Array(x.shape.dropFirst(2))
        let taps = TapRows.all(convolution.window, places: space, elements: xSpace)
        let (plane, xPlane) = (space.reduce(1, *), xSpace.reduce(1, *))
        let (perGroup, featuresPerGroup) = (channels / convolution.groups, features / convolution.groups)
        let values = try x.values().map { $0 - Double(convolution.inputZero) }
        let (coefficients, bias, factors) = (try weight.values(), try inputs[2].values(), try inputs[3].values())
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
            for place in 0..<plane {
                let scaled = (Float(sums[place] + bias[feature]) * Float(factors[feature])).rounded(.toNearestOrEven)
                sums[place] = level(scaled + Float(convolution.outputZero), convolution.range)
            }
        }
    }

    func quantizedSum(_ sum: QuantizedSum) throws {
        let (a, b) = (try inputs[0].values(), try inputs[1].values())
        try outputs[0].store(zip(a, b).map { a, b in
            let value = (Float(a) - Float(sum.zeroA)) * sum.factorA + (Float(b) - Float(sum.zeroB)) * sum.factorB
            return level(value.rounded(.toNearestOrEven) + Float(sum.zero), sum.range)
        })
    }

    private func level(_ value: Float, _ range: ClosedRange<Int>) -> Double {
        Double(min(max(value, Float(range.lowerBound)), Float(range.upperBound)))
    }
}
