// The activation quantisers on the row lengths of linear layers; bytes held against the scalar quantiser.
import CKernels
import Foundation
import SwiftletTensor

enum QuantizerCases {
    /// Cases of one row of the table on one layer's inputs.
    static func make(row: ck_quantize_row, layer: Layer) -> [KernelCase] {
        guard case .linear(_, _, let inputs) = layer.shape, let function = row.function else { return [] }
        let kernel = String(cString: row.name)
        return LinearCases.rowCounts.map { rows in
            KernelCase(
                family: .quantize, kernel: kernel, isa: row.isa, model: layer.model, shape: "k=\(inputs)/rows=\(rows)", operations: 0,
                bytes: Double(rows * (4 * inputs + ck_activation_row_bytes(row.activation, Int64(inputs)))), streamsMemory: false,
                peakUnit: nil,
                isOwnFormat: true
            ) {
                try QuantizerKernel(kernel: kernel, function: function, activation: row.activation, inputs: inputs, rows: rows)
            }
        }
    }
}

final class QuantizerKernel: PreparedKernel {
    private let kernel: String
    private let function: ck_quantize_function
    private let activation: ck_activation_format
    private let inputs: Int
    private let rows: Int
    private let rowBytes: Int
    private let values: Operand<Float>
    private let output: Operand<UInt8>

    init(kernel: String, function: @escaping ck_quantize_function, activation: ck_activation_format, inputs: Int, rows: Int) throws {
        self.kernel = kernel
        self.function = function
        self.activation = activation
        self.inputs = inputs
        self.rows = rows
        rowBytes = ck_activation_row_bytes(activation, Int64(inputs))
        values = try Operand(count: rows * inputs, purpose: "the activations of a kernel benchmark")
        output = try Operand(count: rows * rowBytes, purpose: "the output of a kernel benchmark")
        var random = FillGenerator(seed: 2)
        random.fill(values.elements, magnitude: 3)
    }

    func run(calls: Int) {
        for _ in 0..<calls { function(values.base, Int64(inputs), Int64(rows), Int64(inputs), 0, Int64(inputs), output.base, rowBytes) }
    }

    func verify() throws {
        guard let scalar = ck_quantize_find(activation, 0)?.pointee.function else { return }
        let expected = try Operand<UInt8>(count: rows * rowBytes, purpose: "the check of a kernel benchmark")
        scalar(values.base, Int64(inputs), Int64(rows), Int64(inputs), 0, Int64(inputs), expected.base, rowBytes)
        output.elements.update(repeating: 0)
        run(calls: 1)
        for (index, (actual, wanted)) in zip(output.elements, expected.elements).enumerated() where actual != wanted {
            throw difference(kernel, at: "byte \(index)", actual: Float(actual), expected: Float(wanted))
        }
    }
}
