// Convolutions, linear layers, means and sums of 8-bit numbers. Sums are whole numbers, which Double holds exactly; what comes behind is computed in
// f32, step by step, as the operations say.

extension ReferenceStep {
    func quantizedConvolution(_ convolution: QuantizedConvolution) throws {
        let values = try inputs[0].values().map { $0 - Double(convolution.inputZero) }
        let (bias, factors) = (try inputs[2].values(), try inputs[3].values())
        try convolve(values, convolution.window, groups: convolution.groups) { feature, _, sums in
            for place in sums.indices {
                let scaled = (Float(sums[place] + bias[feature]) * Float(factors[feature])).rounded(.toNearestOrEven)
                sums[place] = level(scaled + Float(convolution.outputZero), convolution.range)
            }
        }
    }

    func quantizedLinear(_ linear: QuantizedLinear) throws {
        let (features, columns) = (inputs[1].shape[0], inputs[1].shape[1])
        let values = try inputs[0].values().map { $0 - Double(linear.inputZero) }
        let (weight, bias, factors) = (try inputs[1].values(), try inputs[2].values(), try inputs[3].values())
        let rows = inputs[0].shape.dropLast().reduce(1, *)
        try outputs[0].store((0..<rows * features).map { index in
            let (row, feature) = index.quotientAndRemainder(dividingBy: features)
            var sum = bias[feature]
            for column in 0..<columns { sum += values[row * columns + column] * weight[feature * columns + column] }
            let scaled = (Float(sum) * Float(factors[feature])).rounded(.toNearestOrEven)
            return level(scaled + Float(linear.outputZero), linear.range)
        })
    }

    func quantizedMean(_ mean: QuantizedMean) throws {
        let x = inputs[0]
        let plane = x.shape.dropFirst(2).reduce(1, *)
        let values = try x.values()
        try outputs[0].store((0..<outputs[0].count).map { place in
            let sum = values[place * plane..<(place + 1) * plane].reduce(0) { $0 + $1 - Double(mean.inputZero) }
            return level((Float(sum) * mean.factor).rounded(.toNearestOrEven) + Float(mean.outputZero), mean.range)
        })
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
