// The vector sets on the widths of a model: every operation, results held against the scalar set.
import CKernels
import SwiftletTensor

enum VectorCases {
    /// Cases of one set on one layer: the row operations on a vector layer, the rotary embeddings on the query heads of an attention layer.
    static func make(set: ck_vector_set, layer: Layer) -> [KernelCase] {
        let n: Int
        let operations: [VectorOperation]
        switch layer.shape {
        case .vector(let elements): (n, operations) = (elements, VectorOperation.rowOperations)
        case .attention(let heads, _, let dimension):
            (n, operations) = (heads * dimension, VectorOperation.rotary(headDimension: dimension))
        case .linear, .convolution: return []
        }
        let kernel = String(cString: set.name)
        return operations.map { operation in
            KernelCase(
                family: .vector, kernel: kernel, isa: set.isa, model: layer.model, shape: "\(layer.name)/\(operation.name)/n=\(n)",
                operations: 0,
                bytes: Double(n * operation.bytesPerElement), streamsMemory: false, peakUnit: nil, isOwnFormat: true
            ) {
                try VectorKernel(set: set, operation: operation, count: n)
            }
        }
    }
}

/// Operands of a row operation, each of n elements.
final class VectorOperands {
    let a: Operand<Float>
    let b: Operand<Float>
    let c: Operand<Float>
    let halves: Operand<UInt16>
    let out: Operand<Float>
    let outHalves: Operand<UInt16>

    init(count: Int) throws {
        a = try Operand(count: count, purpose: "the operands of a kernel benchmark")
        b = try Operand(count: count, purpose: "the operands of a kernel benchmark")
        c = try Operand(count: count, purpose: "the operands of a kernel benchmark")
        halves = try Operand(count: count, purpose: "the operands of a kernel benchmark")
        out = try Operand(count: count, purpose: "the output of a kernel benchmark")
        outHalves = try Operand(count: count, purpose: "the output of a kernel benchmark")
        var random = FillGenerator(seed: 4)
        random.fill(a.elements, magnitude: 4)
        random.fill(b.elements, magnitude: 1)
        random.fill(c.elements, magnitude: 1)
        // Ordinary numbers both as f16 and as bf16: any sign and fraction, an exponent in the middle.
        for index in halves.elements.indices { halves.elements[index] = UInt16(truncatingIfNeeded: random.next()) & 0x83ff | 0x3c00 }
    }
}

/// One operation of a vector set.
struct VectorOperation {
    enum Result {
        case floats, halves, first
    }

    let name: String
    /// Bytes read and written for one element.
    let bytesPerElement: Int
    var result = Result.floats
    /// The largest difference from the scalar set over max(1, |result|), for n elements.
    var tolerance: (Int) -> Float = { _ in 2e-6 }
    /// Puts the input where an operation that works in place expects it.
    var reset: ((VectorOperands, Int) -> Void)?
    let call: (ck_vector_set, VectorOperands, Int64) -> Void

    /// Sums of n floats in another order.
    private static func ofSums(_ n: Int) -> Float { 4 * 0x1p-23 * Float(n + 1) }

    private static func unary(_ name: String, _ function: @escaping (ck_vector_set) -> ck_unary_function?) -> VectorOperation {
        VectorOperation(name: name, bytesPerElement: 8) { function($0)?($1.a.base, $2, $1.out.base) }
    }

    private static func binary(_ name: String, _ function: @escaping (ck_vector_set) -> ck_binary_function?) -> VectorOperation {
        VectorOperation(name: name, bytesPerElement: 12) { function($0)?($1.a.base, $1.b.base, $2, $1.out.base) }
    }

    private static func reduction(_ name: String, _ call: @escaping (ck_vector_set, VectorOperands, Int64) -> Float?) -> VectorOperation {
        VectorOperation(name: name, bytesPerElement: 4, result: .first, tolerance: ofSums) { $1.out.base[0] = call($0, $1, $2) ?? .nan }
    }

    static var unaryOperations: [VectorOperation] {
        [
            unary("exp") { $0.exp }, unary("tanh") { $0.tanh }, unary("sigmoid") { $0.sigmoid }, unary("relu") { $0.relu },
            unary("silu") { $0.silu },
            unary("gelu") { $0.gelu }, unary("gelu_tanh") { $0.gelu_tanh },
        ]
    }

    static var binaryOperations: [VectorOperation] {
        [
            binary("silu_gate") { $0.silu_gate }, binary("gelu_gate") { $0.gelu_gate }, binary("gelu_tanh_gate") { $0.gelu_tanh_gate },
            binary("relu_gate") { $0.relu_gate }, binary("sigmoid_gate") { $0.sigmoid_gate }, binary("add") { $0.add },
            binary("multiply") { $0.multiply },
        ]
    }

    static var rowOperations: [VectorOperation] {
        unaryOperations + binaryOperations + [
            VectorOperation(name: "rms_norm", bytesPerElement: 12, tolerance: ofSums) {
                $0.rms_norm?($1.a.base, $1.b.base, $2, 1e-5, $1.out.base)
            },
            VectorOperation(name: "layer_norm", bytesPerElement: 16, tolerance: ofSums) {
                $0.layer_norm?($1.a.base, $1.b.base, $1.c.base, $2, 1e-5, $1.out.base)
            },
            // In place: after the first call it works on its own result, which costs the same.
            VectorOperation(
                name: "softmax", bytesPerElement: 8, tolerance: ofSums,
                reset: { operands, n in operands.out.base.update(from: operands.a.base, count: n) }
            ) { $0.softmax?($1.out.base, nil, $2, 1, 0) },
            VectorOperation(name: "add_scaled", bytesPerElement: 12) { $0.add_scaled?($1.a.base, $1.b.base, 0.5, $2, $1.out.base) },
            VectorOperation(name: "scale", bytesPerElement: 8) { $0.scale?($1.a.base, 0.5, $2, $1.out.base) },
            VectorOperation(name: "softcap", bytesPerElement: 8, tolerance: { _ in 2e-5 }) { $0.softcap?($1.a.base, 30, $2, $1.out.base) },
            reduction("log_sum_exp") { $0.log_sum_exp?($1.a.base, $2) },
            reduction("max") { $0.max?($1.a.base, $2) },
            reduction("argmax") { ($0.argmax?($1.a.base, $2)).map { Float($0) } },
            reduction("sum") { $0.sum?($1.a.base, $2) },
            VectorOperation(name: "dot", bytesPerElement: 8, result: .first, tolerance: ofSums) {
                $1.out.base[0] = $0.dot?($1.a.base, $1.b.base, $2) ?? .nan
            },
            VectorOperation(name: "f32_to_f16", bytesPerElement: 6, result: .halves) { $0.f32_to_f16?($1.a.base, $2, $1.outHalves.base) },
            VectorOperation(name: "f32_to_bf16", bytesPerElement: 6, result: .halves) { $0.f32_to_bf16?($1.a.base, $2, $1.outHalves.base) },
            VectorOperation(name: "f16_to_f32", bytesPerElement: 6) { $0.f16_to_f32?($1.halves.base, $2, $1.out.base) },
            VectorOperation(name: "bf16_to_f32", bytesPerElement: 6) { $0.bf16_to_f32?($1.halves.base, $2, $1.out.base) },
        ]
    }

    static func rotary(headDimension: Int) -> [VectorOperation] {
        func rope(_ name: String, _ function: @escaping (ck_vector_set) -> ck_rope_function?) -> VectorOperation {
            // The table of angles is any numbers within ±1: b as cosines, c as sines.
            VectorOperation(name: name, bytesPerElement: 8) {
                function($0)?(
                    $1.a.base, $1.b.base, $1.c.base, $2 / Int64(headDimension), Int64(headDimension), Int64(headDimension), $1.out.base)
            }
        }
        return [rope("rope_adjacent") { $0.rope_adjacent }, rope("rope_half") { $0.rope_half }]
    }
}

final class VectorKernel: PreparedKernel {
    private let set: ck_vector_set
    private let operation: VectorOperation
    private let count: Int
    private let operands: VectorOperands

    init(set: ck_vector_set, operation: VectorOperation, count: Int) throws {
        self.set = set
        self.operation = operation
        self.count = count
        operands = try VectorOperands(count: count)
        operation.reset?(operands, count)
    }

    func run(calls: Int) {
        for _ in 0..<calls { operation.call(set, operands, Int64(count)) }
    }

    func verify() throws {
        guard let scalar = ck_vector_find(0)?.pointee else { return }
        let expected = result(of: scalar), actual = result(of: set)
        for (index, (actual, wanted)) in zip(actual, expected).enumerated() {
            guard abs(actual - wanted) <= operation.tolerance(count) * max(1, abs(wanted)) else {
                throw difference("\(String(cString: set.name)) \(operation.name)", at: "element \(index)", actual: actual, expected: wanted)
            }
        }
    }

    /// Halves are compared as their bit patterns, which are exact in Float.
    private func result(of set: ck_vector_set) -> [Float] {
        operands.out.elements.update(repeating: .nan)
        operands.outHalves.elements.update(repeating: 0xffff)
        operation.reset?(operands, count)
        operation.call(set, operands, Int64(count))
        return switch operation.result {
        case .floats: Array(operands.out.elements)
        case .first: [operands.out.base[0]]
        case .halves: operands.outHalves.elements.map(Float.init)
        }
    }
}
