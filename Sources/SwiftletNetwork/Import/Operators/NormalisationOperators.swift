// Operators that bring elements to a common scale: softmax, and the normalisations by mean and variance or by a norm.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let normalisationOperators: [String: OperatorImporter] = {
        var table: [String: OperatorImporter] = [
            "Softmax": { importer, call in [.tensor(try importer.alongClasses(call) { try $0.softmax($1, axis: $2) })] },
            "LogSoftmax": { importer, call in [.tensor(try importer.alongClasses(call) { try $0.logSoftmax($1, axis: $2) })] },
            "BatchNormalization": { importer, call in try importer.batchNormalization(call) },
            "InstanceNormalization": { importer, call in [.tensor(try importer.instanceNormalization(call))] },
            "GroupNormalization": { importer, call in [.tensor(try importer.groupNormalization(call))] },
            "LpNormalization": { importer, call in [.tensor(try importer.normNormalization(call))] },
            "MeanVarianceNormalization": { importer, call in [.tensor(try importer.meanVarianceNormalization(call))] },
            "LRN": { importer, call in [.tensor(try importer.localResponseNormalization(call))] },
            "com.microsoft.SkipLayerNormalization": { importer, call in try importer.skipNormalization(call, centres: true) },
            "com.microsoft.SkipSimplifiedLayerNormalization": { importer, call in try importer.skipNormalization(call, centres: false) },
        ]
        for name in ["LayerNormalization", "com.microsoft.LayerNormalization"] {
            table[name] = { importer, call in
                try importer.layerNormalization(
                    call, call.tensor(0), scale: call.tensor(1), bias: call.optional(2), epsilon: call.float("epsilon", 1e-5), centres: true)
            }
        }
        for name in ["RMSNormalization", "SimplifiedLayerNormalization", "com.microsoft.SimplifiedLayerNormalization"] {
            table[name] = { importer, call in
                try importer.layerNormalization(
                    call, call.tensor(0), scale: call.tensor(1), bias: nil, epsilon: call.float("epsilon", 1e-5), centres: false)
            }
        }
        return table
    }()

    // MARK: Softmax

    /// `x − ln Σ eˣ` along the axis.
    mutating func logSoftmax(_ x: ValueID, axis: Int) throws -> ValueID {
        try widened(x) { importer, x in
            try importer.binary(.subtract, x, importer.logSumOfExponentials(x, [axis], keepsAxes: true), "logSoftmax")
        }
    }

    // MARK: Mean and variance

    /// `(x − mean)/√(variance + ε)` over axes, with the mean and the inverse deviation. `epsilonOutside` adds ε behind the root instead.
    private mutating func standardise(
        _ x: ValueID, _ axes: [Int], epsilon: Double, epsilonOutside: Bool = false
    ) throws -> (result: ValueID, mean: ValueID, inverseDeviation: ValueID) {
        let mean = try reduce(.mean, x, axes, "mean")
        let centred = try binary(.subtract, x, mean, "centred")
        let variance = try reduce(.mean, binary(.multiply, centred, centred, "squares"), axes, "variance")
        let deviation =
            epsilonOutside
            ? try binary(.add, unary(.squareRoot, variance, "root"), epsilon, "deviation")
            : try unary(.squareRoot, binary(.add, variance, epsilon, "epsilon"), "deviation")
        let inverse = try unary(.reciprocal, deviation, "inverseDeviation")
        return (try binary(.multiply, centred, inverse, "normalised"), mean, inverse)
    }

    /// One number a channel, for values `[n, c, …]`.
    private mutating func perChannel(_ values: ValueID, like x: ValueID, _ type: DType) throws -> ValueID {
        try cast(reshape(values, [1, count(values)] + Array(repeating: 1, count: max(0, rank(x) - 2)), "channels"), type)
    }

    /// Two numbers a channel, which fold away when the statistics are constants: `x·factor + shift`.
    private mutating func batchNormalization(_ call: OperatorCall) throws -> [Imported] {
        let x = try call.tensor(0)
        let type = element(x)
        let shape = shape(x)
        try call.require(shape.count >= 1, "needs batches")
        let wide = type == .f64 ? DType.f64 : .f32
        let epsilon = Double(try call.float("epsilon", 1e-5))
        // Version 7 may have statistics of each place of a channel.
        let isSpatial = call.version >= 9 ? true : try call.bool("spatial", true)
        let statistics: [Int] =
            isSpatial
            ? (shape.count == 1 ? [1] : [1, shape[1]] + Array(repeating: 1, count: shape.count - 2)) : [1] + shape.dropFirst()
        func prepared(_ importer: inout Importer, _ index: Int) throws -> ValueID {
            let values = try call.tensor(index)
            try call.require(importer.count(values) == statistics.reduce(1, *), "the input \(index) does not have one number a channel")
            return try importer.cast(importer.reshape(values, statistics, "channels"), wide)
        }
        let (scale, bias) = (try prepared(&self, 1), try prepared(&self, 2))
        var (mean, variance) = (try prepared(&self, 3), try prepared(&self, 4))
        let wideX = try cast(x, wide)
        let trains = call.version >= 14 ? try call.bool("training_mode") : (1...4).contains { call.wants($0) }
        var statisticsOut: [ValueID] = []
        if trains {
            let axes = shape.indices.filter { isSpatial ? $0 != 1 : $0 == 0 }
            let momentum = Double(try call.float("momentum", 0.9))
            let (running, runningVariance) = (mean, variance)
            mean = try reduce(.mean, wideX, axes, "batchMean")
            let centred = try binary(.subtract, wideX, mean, "centred")
            variance = try reduce(.mean, binary(.multiply, centred, centred, "squares"), axes, "batchVariance")
            for (old, new) in [(running, mean), (runningVariance, variance)] {
                let kept = try binary(.multiply, old, momentum, "kept")
                statisticsOut.append(try binary(.add, kept, binary(.multiply, new, 1 - momentum, "new"), "running"))
            }
            if call.version < 14 { statisticsOut += [mean, variance] }
        }
        let factor = try binary(.divide, scale, unary(.squareRoot, binary(.add, variance, epsilon, "epsilon"), "deviation"), "factor")
        let shift = try binary(.subtract, bias, binary(.multiply, mean, factor, "centre"), "shift")
        let result = try binary(.add, binary(.multiply, wideX, factor, "scale"), shift, "result")
        var results = [try cast(result, type, "castBack")]
        for (index, values) in statisticsOut.enumerated() {
            let like = try call.tensor(index % 2 == 0 ? 3 : 4)
            results.append(try cast(reshape(values, self.shape(like), "statistics"), element(like), "castBack"))
        }
        return results.map { .tensor($0) }
    }

    private mutating func instanceNormalization(_ call: OperatorCall) throws -> ValueID {
        let (x, scale, bias) = (try call.tensor(0), try call.tensor(1), try call.tensor(2))
        try call.require(rank(x) >= 2, "needs instances and channels")
        let epsilon = Double(try call.float("epsilon", 1e-5))
        let axes = Array(2..<rank(x))
        return try widened(x) { importer, x in
            let type = importer.element(x)
            let (factor, shift) = (try importer.perChannel(scale, like: x, type), try importer.perChannel(bias, like: x, type))
            // Without axes of space each element is its own mean.
            let normalised = axes.isEmpty ? try importer.binary(.subtract, x, x, "zero") : try importer.standardise(x, axes, epsilon: epsilon).result
            return try importer.binary(.add, importer.binary(.multiply, normalised, factor, "scale"), shift, "shift")
        }
    }

    private mutating func groupNormalization(_ call: OperatorCall) throws -> ValueID {
        let (x, scale, bias) = (try call.tensor(0), try call.tensor(1), try call.tensor(2))
        let shape = shape(x)
        let groups = try call.int("num_groups", 0)
        try call.require(shape.count >= 2 && groups > 0 && shape[1] % groups == 0, "\(shape) does not divide into \(groups) groups")
        let epsilon = Double(try call.float("epsilon", 1e-5))
        // Version 18 has one scale a group, later ones one a channel.
        let isPerGroup = call.version < 21
        try call.require(count(scale) == (isPerGroup ? groups : shape[1]) && count(bias) == count(scale), "scale and bias have \(count(scale)) elements")
        return try widened(x) { importer, x in
            let type = importer.element(x)
            let parts = try importer.reshape(x, [shape[0], groups, shape[1] / groups * shape[2...].reduce(1, *)], "groups")
            var result = try importer.standardise(parts, [2], epsilon: epsilon).result
            if !isPerGroup { result = try importer.reshape(result, shape, "channels") }
            let (factor, shift) = (try importer.perChannel(scale, like: result, type), try importer.perChannel(bias, like: result, type))
            result = try importer.binary(.add, importer.binary(.multiply, result, factor, "scale"), shift, "shift")
            return try importer.reshape(result, shape, "shape")
        }
    }

    private mutating func meanVarianceNormalization(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let axes = try call.axes(call.ints("axes") ?? [0, 2, 3], rank: rank(x))
        return try widened(x) { try $0.standardise($1, axes, epsilon: 1e-9, epsilonOutside: true).result }
    }

    // MARK: Over trailing axes

    /// Layer and RMS normalisation over the axes from `axis` on. More results: the mean (of layer normalisation only), the inverse deviation.
    /// Over f32 with a constant scale that covers those axes they are operations of their own, which backends know.
    private mutating func layerNormalization(
        _ call: OperatorCall, _ x: ValueID, scale: ValueID, bias: ValueID?, epsilon: Float, centres: Bool
    ) throws -> [Imported] {
        let shape = shape(x)
        let first = try call.axis(call.int("axis", -1), rank: shape.count)
        let trailing = Array(shape[first...])
        let width = trailing.reduce(1, *)
        let hasPlainScale = element(x) == .f32 && isConstant(scale) && element(scale) == .f32 && self.shape(scale) == trailing && width > 0
        let hasPlainBias = bias.map { isConstant($0) && element($0) == .f32 && self.shape($0) == trailing } ?? true
        if hasPlainScale, hasPlainBias, !call.wants(1), !call.wants(2) {
            let rows = try reshape(x, shape[..<first] + [width], "rows")
            let operands = [rows, try reshape(scale, [width])] + (try bias.map { [try reshape($0, [width])] } ?? [])
            let result = try apply(centres ? .layerNorm(epsilon: epsilon) : .rmsNorm(epsilon: epsilon), operands)
            return [.tensor(try reshape(result, shape, "shape"))]
        }
        let stash = try call.node.int("stash_type").map { try dtype($0, call) } ?? .f32
        let wide = element(x) == .f64 ? DType.f64 : stash == .f64 ? .f64 : .f32
        let axes = Array(first..<shape.count)
        let wideX = try cast(x, wide, "wide")
        let normalised: ValueID, mean: ValueID?, inverse: ValueID
        if centres {
            let standard = try standardise(wideX, axes, epsilon: Double(epsilon))
            (normalised, mean, inverse) = (standard.result, standard.mean, standard.inverseDeviation)
        } else {
            let square = try reduce(.mean, binary(.multiply, wideX, wideX, "squares"), axes, "meanSquare")
            inverse = try unary(.reciprocal, unary(.squareRoot, binary(.add, square, Double(epsilon), "epsilon"), "root"), "inverseRoot")
            (normalised, mean) = (try binary(.multiply, wideX, inverse, "normalised"), nil)
        }
        // The result has the type of the scale, which RMSNormalization may have of its own.
        var result = try binary(.multiply, cast(normalised, element(scale), "castBack"), scale, "scale")
        if let bias { result = try binary(.add, result, bias, "bias") }
        guard call.wants(1) || call.wants(2) else { return [.tensor(result)] }
        return [.tensor(result)] + (try [mean, inverse].compactMap { $0 }.map { .tensor(try cast($0, stash, "statistics")) })
    }

    /// A sum of two inputs and a bias, normalised; the sum is the fourth result.
    private mutating func skipNormalization(_ call: OperatorCall, centres: Bool) throws -> [Imported] {
        if !centres, call.wants(1) || call.wants(2) { throw call.unsupported("the statistics of RMS normalisation are not given out") }
        var sum = try binary(.add, call.tensor(0), call.tensor(1), "skip")
        if let bias = try call.optional(centres ? 4 : 3) { sum = try binary(.add, sum, bias, "bias") }
        let results = try layerNormalization(
            call, sum, scale: call.tensor(2), bias: centres ? call.optional(3) : nil, epsilon: call.float("epsilon", 1e-12), centres: centres)
        return results + Array(repeating: .tensor(sum), count: max(0, 4 - results.count))
    }

    // MARK: Norms

    /// `x/‖x‖` along an axis, 0 where the norm is 0.
    private mutating func normNormalization(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let (p, axis) = (try call.int("p", 2), try call.axis(call.int("axis", -1), rank: rank(x)))
        try call.require(p == 1 || p == 2, "there is no norm \(p)")
        return try widened(x) { importer, x in
            var norm = try importer.reduce(p == 1 ? .sumOfMagnitudes : .sumOfSquares, x, [axis], "norm")
            if p == 2 { norm = try importer.unary(.squareRoot, norm, "root") }
            let zero = try importer.scalar(0, importer.element(x))
            let quotient = try importer.binary(.divide, x, norm, "quotient")
            return try importer.select(importer.binary(.equal, norm, zero, "isZero"), zero, quotient, "normalised")
        }
    }

    /// `x/(bias + alpha/size·Σx²)^beta`, the sum over neighbouring channels: the average of a window over the channels, borders counting as 0.
    private mutating func localResponseNormalization(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let shape = shape(x)
        let size = try call.int("size", 0)
        try call.require(shape.count >= 2 && size > 0 && size <= 1 << 20, "a window of \(size) channels over \(shape)")
        let (alpha, beta, bias) = (try call.float("alpha", 1e-4), try call.float("beta", 0.75), try call.float("bias", 1))
        return try widened(x) { importer, x in
            let planes = try importer.reshape(importer.binary(.multiply, x, x, "squares"), [shape[0], 1, shape[1], shape[2...].reduce(1, *)], "planes")
            let window = Window(kernel: [size, 1], low: [(size - 1) / 2, 0], high: [size / 2, 0])
            let average = try importer.apply(.pool(Pool(kind: .average(countsPadding: true), window: window)), [planes], "average")
            let sum = try importer.reshape(importer.binary(.add, importer.binary(.multiply, average, Double(alpha), "alpha"), Double(bias), "bias"), shape)
            return try importer.binary(.divide, x, importer.binary(.power, sum, Double(beta), "power"), "normalised")
        }
    }
}
