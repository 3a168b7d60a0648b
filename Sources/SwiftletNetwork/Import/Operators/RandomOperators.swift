// Operators that draw numbers: other ones in each run, or the same in each run when the model gives a seed.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let randomOperators: [String: OperatorImporter] = [
        "RandomNormal": { try $0.randomNumbers($1, isLike: false, Importer.normal($1)) },
        "RandomNormalLike": { try $0.randomNumbers($1, isLike: true, Importer.normal($1)) },
        "RandomUniform": { try $0.randomNumbers($1, isLike: false, Importer.uniform($1)) },
        "RandomUniformLike": { try $0.randomNumbers($1, isLike: true, Importer.uniform($1)) },
        "Bernoulli": { importer, call in
            let type = try call.node.int("dtype").map { try importer.dtype($0, call) } ?? importer.element(call.tensor(0))
            let seed = try call.node.float("seed")
            return try importer.hostResults(call, isRandom: true) { operands in
                let x = try operands.tensor(0)
                try operands.require(x.type.isFloat, "\(x) holds no probabilities")
                var generator = RandomNumbers(seed)
                return [.tensor(try Tensor(x.doubles().map { generator.unit() < $0 ? 1 : 0 }, shape: x.shape, as: type))]
            }
        },
        "Multinomial": { importer, call in
            let type = try importer.dtype(call.int("dtype", 6), call)
            let (count, seed) = (try call.int("sample_size", 1), try call.node.float("seed"))
            try call.require(count >= 0 && count < 1 << 28, "\(count) is no number of samples")
            try call.require(type == .i32 || type == .i64, "samples are i32 or i64")
            return try importer.hostResults(call, isRandom: true) { [.tensor(try Importer.samples($0, count: count, type, seed))] }
        },
    ]

    private static func normal(_ call: OperatorCall) throws -> @Sendable (inout RandomNumbers) -> Double {
        let (mean, scale) = (Double(try call.float("mean", 0)), Double(try call.float("scale", 1)))
        return { mean + scale * $0.normal() }
    }

    private static func uniform(_ call: OperatorCall) throws -> @Sendable (inout RandomNumbers) -> Double {
        let (low, high) = (Double(try call.float("low", 0)), Double(try call.float("high", 1)))
        return { low + (high - low) * $0.unit() }
    }

    /// A tensor of the shape of the attribute, or of the operand's.
    private mutating func randomNumbers(
        _ call: OperatorCall, isLike: Bool, _ draw: @escaping @Sendable (inout RandomNumbers) -> Double
    ) throws -> [Imported] {
        let seed = try call.node.float("seed")
        let given = try call.node.int("dtype").map { try dtype($0, call) }
        let shape = Shape(isLike ? self.shape(try call.tensor(0)) : try call.ints("shape") ?? [])
        let type = try given ?? (isLike ? element(call.tensor(0)) : .f32)
        try call.require([.f64, .f32, .f16, .bf16].contains(type), "\(type.rawValue) holds no random numbers")
        guard let count = shape.checkedElementCount, count <= Self.mostFoldedBytes else { throw call.invalid("\(shape) is too large a shape") }
        return try hostResults(call, isRandom: true) { _ in
            var generator = RandomNumbers(seed)
            return [.tensor(try Tensor((0..<count).map { _ in draw(&generator) }, shape: shape, as: type))]
        }
    }

    /// `[batches, count]`: classes drawn with probabilities whose logarithms, up to a constant, are `[batches, classes]`.
    private static func samples(_ operands: HostOperands, count: Int, _ type: DType, _ seed: Float?) throws -> Tensor {
        let x = try operands.tensor(0)
        try operands.require(x.shape.rank == 2 && x.shape[1] > 0 && x.type.isFloat, "\(x) is no batch of logarithms of probabilities")
        let (logits, classes) = (try x.doubles(), x.shape[1])
        let (total, overflow) = x.shape[0].multipliedReportingOverflow(by: count)
        try operands.require(!overflow && total < 1 << 28, "draws \(x.shape[0]) × \(count) numbers")
        var generator = RandomNumbers(seed)
        var drawn: [Double] = []
        drawn.reserveCapacity(total)
        for row in 0..<x.shape[0] {
            let own = logits[row * classes..<(row + 1) * classes]
            let peak = own.max() ?? 0
            var sum = 0.0
            let bounds = own.map { logit in
                sum += Double.exponential(logit - peak)
                return sum
            }
            try operands.require(sum.isFinite && sum > 0, "the row \(row) has no probabilities")
            for _ in 0..<count {
                let place = generator.unit() * sum
                drawn.append(Double(bounds.firstIndex { place < $0 } ?? classes - 1))
            }
        }
        return try Tensor(drawn, shape: [x.shape[0], count], as: type)
    }
}
