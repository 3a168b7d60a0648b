// Matrix products.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let productOperators: [String: OperatorImporter] = [
        "MatMul": { importer, call in [.tensor(try importer.product(call.tensor(0), call.tensor(1)))] },
        "Gemm": { importer, call in [.tensor(try importer.gemm(call))] },
        "MatMulInteger": { importer, call in
            let a = try importer.centred(call.tensor(0), call.optional(2), alongRows: true)
            let b = try importer.centred(call.tensor(1), call.optional(3), alongRows: false)
            return [.tensor(try importer.product(a, b))]
        },
    ]

    /// `a·b` by NumPy's rules: vectors get an axis for the product that goes again, leading axes broadcast.
    mutating func product(_ a: ValueID, _ b: ValueID) throws -> ValueID {
        let (left, right) = (shape(a), shape(b))
        if left.count == 1 || right.count == 1 {
            guard left.count > 0, right.count > 0 else {
                throw SwiftletError.invalidGraph(node: graph[a].name, reason: "a product of \(left) and \(right)", remedy: "Export the model again.")
            }
            let wide = try product(
                left.count == 1 ? reshape(a, [1, left[0]]) : a, right.count == 1 ? reshape(b, [right[0], 1]) : b)
            var result = shape(wide)
            if right.count == 1 { result.removeLast() }
            if left.count == 1 { result.remove(at: result.count - (right.count == 1 ? 1 : 2)) }
            return try reshape(wide, result, "squeeze")
        }
        // A constant matrix on the right is a linear layer, which backends pack.
        if right.count == 2, element(a) == .f32, isConstant(b), !isConstant(a), right[0] > 0, right[1] > 0 {
            return try linear(a, transpose(b, [1, 0], "weight"), bias: nil)
        }
        return try matmul(a, b)
    }

    /// `x·Wᵀ + bias` with the weight `[n, k]`.
    mutating func linear(_ x: ValueID, _ weight: ValueID, bias: ValueID?, _ detail: String = "linear") throws -> ValueID {
        try apply(.linear(Linear(hasBias: bias != nil)), [x, weight] + (bias.map { [$0] } ?? []), detail)
    }

    private mutating func gemm(_ call: OperatorCall) throws -> ValueID {
        var (a, b) = (try call.tensor(0), try call.tensor(1))
        let (alpha, beta) = (try call.float("alpha", 1), try call.float("beta", 1))
        try call.require(rank(a) == 2 && rank(b) == 2, "multiplies matrices only")
        let c = beta == 0 ? nil : try call.optional(2)
        if try call.bool("transA") { a = try transpose(a, [1, 0], "transposeA") }
        let transposesB = try call.bool("transB")
        let isLinear = element(a) == .f32 && isConstant(b) && !isConstant(a) && count(b) > 0
        if isLinear {
            var weight = transposesB ? b : try transpose(b, [1, 0], "weight")
            if alpha != 1 { weight = try binary(.multiply, weight, Double(alpha), "alpha") }
            let features = shape(weight)[0]
            if let c, isConstant(c), count(c) == features, shape(c).last == features {
                let bias = try reshape(beta == 1 ? c : binary(.multiply, c, Double(beta), "beta"), [features])
                return try linear(a, weight, bias: bias, "")
            }
            return try added(linear(a, weight, bias: nil), c, beta)
        }
        if transposesB { b = try transpose(b, [1, 0], "transposeB") }
        var product = try matmul(a, b)
        if alpha != 1 { product = try binary(.multiply, product, Double(alpha), "alpha") }
        return try added(product, c, beta)
    }

    private mutating func added(_ product: ValueID, _ c: ValueID?, _ beta: Float) throws -> ValueID {
        guard let c else { return product }
        return try binary(.add, product, beta == 1 ? c : binary(.multiply, c, Double(beta), "beta"), "add")
    }

    /// A quantised matrix as i32 with its zero point taken off. A zero point may be one number, or one a row (a column).
    private mutating func centred(_ x: ValueID, _ zeroPoint: ValueID?, alongRows: Bool) throws -> ValueID {
        let wide = try cast(x, .i32)
        guard let zeroPoint else { return wide }
        var zero = try cast(zeroPoint, .i32)
        if alongRows, rank(zero) == 1, shape(zero)[0] != 1 { zero = try reshape(zero, [shape(zero)[0], 1]) }
        return try binary(.subtract, wide, zero, "centre")
    }
}
