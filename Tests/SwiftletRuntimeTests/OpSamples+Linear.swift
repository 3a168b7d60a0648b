// Samples of matrix products: every weight format, edges of panels and of row blocks, biases, several weights, every epilogue.
import SwiftletRuntime
import TestSupport

extension OpSample {
    static let linears: [OpSample] = everyFormat + everyShape + everyEpilogue + severalWeights

    private static let everyFormat: [OpSample] = allFormats.flatMap { format in
        let block = if case .block(let block) = format { block.blockElements } else { 16 }
        return [
            linear("\(format) one row", [format], rows: [1], width: 2 * block, features: [37]),
            linear("\(format) rows", [format], rows: [3], width: block, features: [16], hasBias: true),
        ]
    }

    private static let everyShape: [OpSample] = [
        linear("no rows", [.dense(.f32)], rows: [0], width: 8, features: [5]),
        linear("no rows, rounded", [.block(.q8_0)], rows: [0], width: 32, features: [5]),
        linear("one by one", [.dense(.f32)], rows: [1], width: 1, features: [1]),
        linear("width 20", [.dense(.f32)], rows: [5], width: 20, features: [33]),
        linear("width 33", [.dense(.f16)], rows: [7], width: 33, features: [15]),
        linear("width 35", [.dense(.bf16)], rows: [2], width: 35, features: [17]),
        linear("no columns", [.dense(.f32)], rows: [2], width: 0, features: [3]),
        linear("a prompt, f32", [.dense(.f32)], rows: [130], width: 44, features: [100], hasBias: true),
        linear("a prompt, q4_1", [.block(.q4_1)], rows: [130], width: 64, features: [100], hasBias: true),
        linear("a prompt, q6_K", [.block(.q6_K)], rows: [67], width: 256, features: [40]),
        linear("many panels", [.block(.q8_0)], rows: [1], width: 96, features: [1000]),
        linear("three axes", [.block(.q4_0)], rows: [2, 3], width: 32, features: [20]),
        linear("a vector", [.dense(.f32)], rows: [], width: 12, features: [20]),
    ]

    private static let everyEpilogue: [OpSample] = [WeightFormat.dense(.f32), .block(.q4_0), .block(.q5_K)].flatMap { format in
        let width = format == .block(.q5_K) ? 256 : 32
        let activations = Unary.all.map { function in
            linear("\(format) then \(function)", [format], rows: [3], width: width, features: [21], hasBias: true, epilogue: .activation(function))
        }
        let gates = Unary.all.map { function in
            linear(
                "\(format) gated by \(function)", [format, format], rows: [3], width: width, features: [21, 21], hasBias: function == .silu,
                epilogue: .gated(function), isOnCPU: !([.tanh, .scale(-1.7), .softcap(3)] as [Unary]).contains(function))
        }
        let residuals = [1, 3, 67].map { rows in
            linear("\(format) plus residual, \(rows) rows", [format], rows: [rows], width: width, features: [50], hasBias: rows == 3, epilogue: .residual)
        }
        return activations + gates + residuals
    }

    private static let severalWeights: [OpSample] = [
        linear("two weights", [.block(.q4_0), .block(.q4_0)], rows: [2], width: 64, features: [16, 40], hasBias: true),
        linear("three formats", [.block(.q4_K), .dense(.f16), .block(.q6_K)], rows: [1], width: 256, features: [48, 16, 5]),
        linear("three formats, rows", [.block(.q4_K), .dense(.f32), .block(.q6_K)], rows: [70], width: 256, features: [48, 16, 5], hasBias: true),
        linear("three, then silu", [.dense(.f32), .dense(.f32), .dense(.bf16)], rows: [4], width: 24, features: [3, 16, 17], epilogue: .activation(.silu)),
        linear("gate of many rows", [.block(.q4_K), .block(.q4_K)], rows: [1, 5, 16, 17, 66], width: 256, features: [300, 300], epilogue: .gated(.silu)),
        linear("gate of two formats", [.block(.q4_K), .block(.q6_K)], rows: [66], width: 256, features: [300, 300], epilogue: .gated(.silu)),
        linear("gate of a float and a rounded format", [.dense(.f32), .block(.q8_0)], rows: [2], width: 64, features: [35, 35], epilogue: .gated(.geluTanh)),
    ]

    private static func linear(
        _ name: String, _ formats: [WeightFormat], rows: [Int], width: Int, features: [Int], hasBias: Bool = false,
        epilogue: Linear.Epilogue = .none, isOnCPU: Bool = true
    ) -> OpSample {
        OpSample(name: "linear: " + name, isOnCPU: isOnCPU) {
            var generator = SeededGenerator(seed: UInt64(width * 1000 + features[0]))
            let linear = Linear(weightCount: formats.count, hasBias: hasBias, epilogue: epilogue)
            let weights = try zip(formats, features).map { try generator.matrix($1, width, $0) }
            let biases = hasBias ? try features.map { try generator.vector($0) } : []
            // The first axis is symbolic, as in a model.
            let leading = rows.enumerated().map { $0 == 0 ? Dimension("tokens") : Dimension($1) }
            var builder = GraphBuilder(name: name)
            var operands = [builder.input("x", .f32, leading + [Dimension(width)])]
            for (index, weight) in weights.enumerated() { operands.append(builder.weight("w\(index)", weight)) }
            for (index, bias) in biases.enumerated() { operands.append(builder.weight("b\(index)", bias)) }
            var inputs = ["x": generator.tensor(rows + [width], in: -2...2)]
            if epilogue == .residual {
                operands.append(builder.input("residual", .f32, leading + [Dimension(features[0])]))
                inputs["residual"] = generator.tensor(rows + [features[0]])
            }
            for output in try builder.node(.linear(linear), operands, name: "linear") { builder.output(output) }
            return BuiltSample(
                graph: builder.graph, runs: [SampleRun(inputs: inputs, binding: rows.first.map { ["tokens": $0] } ?? [:])],
                bounds: { precision, inputs, _ in
                    let x = inputs["x"]?.values ?? []
                    let products = try weights.indices.map { index in
                        try product(x, weights[index], bias: biases.isEmpty ? nil : NaiveTensor(biases[index]).values, precision)
                    }
                    switch epilogue {
                    case .none: return products.map(\.errors)
                    case .activation(let function): return products.map { zip($0.values, $0.errors).map { function.slope * $1 + function.error(at: $0) } }
                    case .gated(let function):
                        let (gate, up) = (products[0], products[1])
                        return [
                            gate.values.indices.map { index in
                                let gated = abs(NaiveOps.unary(function, gate.values[index]))
                                let gateError = function.slope * gate.errors[index] + function.error(at: gate.values[index])
                                return gateError * (abs(up.values[index]) + up.errors[index]) + (gated + ulp) * up.errors[index]
                                    + 2 * ulp * gated * abs(up.values[index])
                            }
                        ]
                    case .residual:
                        let residual = inputs["residual"]?.values ?? []
                        return [products[0].values.indices.map { products[0].errors[$0] + ulp * (abs(products[0].values[$0]) + abs(residual[$0])) }]
                    }
                })
        }
    }

    /// `x·Wᵀ + b` and how far a kernel may be from each sum.
    ///
    /// - Float weights: `2ε(k+1)·max|x|·max|w|`, the bound of a sum of k products in any order.
    /// - Blocks: activations are rounded to multiples of `s = max|x|/top` of each 32 (top 127 for int8, 127·128 for int15), so each is off by
    ///   at most s/2 (0.51 s with the rounding of the quotient), which costs `Σ 0.51·s·|w|`. Formats whose scales are products lose up to 2⁻¹¹
    ///   of `scale·u` and of the minimum when packed to f16 again; both are at most 3 max|w| together here. The sum itself rounds as above.
    private static func product(
        _ x: [Double], _ weight: Weight, bias: [Double]?, _ precision: CPUBackend.ActivationPrecision
    ) throws -> (values: [Double], errors: [Double]) {
        let (features, width) = (weight.shape[0], weight.shape[1])
        let rows = width == 0 ? 2 : x.count / width
        let w = try NaiveTensor(weight).values
        let values = NaiveOps.linear(x, w, bias: bias, rows: rows, width: width, columns: features)
        let top: Double = precision == .int8 ? 127 : 127 * 128
        var errors: [Double] = []
        for row in 0..<rows {
            let tokens = x[row * width..<(row + 1) * width]
            let largest = tokens.reduce(0) { max($0, abs($1)) }
            for feature in 0..<features {
                let coefficients = w[feature * width..<(feature + 1) * width]
                let largestWeight = coefficients.reduce(0) { max($0, abs($1)) }
                var error = 2 * ulp * (Double(width + 1) * largest * largestWeight + abs(bias?[feature] ?? 0) + abs(values[row * features + feature]))
                if case .block(let block) = weight.format {
                    for start in stride(from: 0, to: width, by: 32) {
                        let step = (start..<start + 32).reduce(0) { max($0, abs(tokens[row * width + $1])) } / top
                        error += (start..<start + 32).reduce(0) { $0 + 0.51 * step * abs(coefficients[feature * width + $1]) }
                    }
                    error *= 1.01
                    if !block.keepsScalesWhenPacked { error += 0x1p-11 * 3 * largestWeight * tokens.reduce(0) { $0 + abs($1) } }
                }
                errors.append(error)
            }
        }
        return (values, errors)
    }
}
