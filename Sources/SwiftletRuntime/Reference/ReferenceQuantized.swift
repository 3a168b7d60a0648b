// Convolutions and sums of 8-bit numbers. Sums are whole numbers, which Double holds exactly; what comes behind is computed in f32, step by step, as
// the operations say.

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
