// The fine parts of split heads: one token whose sums are all made whole, the most there can be to do. What is usual, hardly any of them, is a pass over sums.
import CKernels
import SwiftletTensor

enum SplitCases {
    /// Rows of the cases, when a head has more: these many come from memory.
    private static let mostRows = 65_536
    /// Fewer are no vocabulary.
    private static let leastRows = 1_024

    static func make(row: ck_split_row, layer: Layer) -> [KernelCase] {
        guard case .linear(let format, let outputs, let inputs) = layer.shape, let function = row.refine, format == .block(.q8_0), inputs % 32 == 0,
            inputs <= Int(CK_SPLIT_MOST_K), outputs >= leastRows
        else { return [] }
        let (kernel, rows) = (String(cString: row.name), min(outputs, mostRows))
        return [("q8", CK_ACT_Q8), ("q15", CK_ACT_Q15)].map { name, activation in
            KernelCase(
                family: .sparse, kernel: kernel, isa: row.isa, model: layer.model, shape: "\(layer.name)/fine-rows/\(name)",
                operations: 2 * Double(rows) * Double(inputs), bytes: Double(rows * (ck_split_fine_bytes(Int64(inputs)) + 12)), streamsMemory: true,
                peakUnit: "int8", isOwnFormat: true
            ) {
                try SplitKernel(kernel: kernel, function: function, activation: activation, inputs: inputs, rows: rows)
            }
        }
    }
}

/// Fine sums of all rows of a split matrix.
final class SplitKernel: PreparedKernel {
    private let kernel: String
    private let function: ck_split_function
    private let activation: ck_activation_format
    private let inputs, rows: Int
    private let fine: Operand<UInt8>
    private let norms, sums: Operand<Float>
    private let activations: Operand<UInt8>

    init(kernel: String, function: @escaping ck_split_function, activation: ck_activation_format, inputs: Int, rows: Int) throws {
        (self.kernel, self.function, self.activation, self.inputs, self.rows) = (kernel, function, activation, inputs, rows)
        let purpose = "the weights of a kernel benchmark"
        let (panelRows, rowBytes, fineBytes) = (Int(CK_PANEL_ROWS), inputs / 32 * 34, ck_split_fine_bytes(Int64(inputs)))
        fine = try Operand(count: rows * fineBytes, purpose: purpose)
        norms = try Operand(count: rows, purpose: purpose)
        sums = try Operand(count: rows, purpose: purpose)
        activations = try Operand(count: ck_activation_row_bytes(activation, Int64(inputs)), purpose: "the activations of a kernel benchmark")
        let source = try Operand<UInt8>(count: panelRows * rowBytes, purpose: purpose)
        let coarse = try Operand<UInt8>(count: ck_panel_bytes(CK_PANEL_Q5, Int64(inputs)), purpose: purpose)
        var random = FillGenerator(seed: 4)
        for first in stride(from: 0, to: rows, by: panelRows) {
            for index in 0..<panelRows * rowBytes { source.base[index] = index % 34 == 1 ? 0x20 : UInt8(truncatingIfNeeded: random.next()) }  // f16 scales about 2^-7
            let status = ck_split_pack(
                source.base, rowBytes, Int64(min(panelRows, rows - first)), Int64(inputs), coarse.base, fine.base + first * fineBytes, norms.base + first)
            guard status == 0 else {
                throw SwiftletError.numerical(routine: "ck_split_pack", reason: "refuses row \(first)", remedy: "Repair it, with CKernelsTests as the guide.")
            }
        }
        let values = try Operand<Float>(count: inputs, purpose: "the activations of a kernel benchmark")
        random.fill(values.elements, magnitude: 2)
        ck_quantize_find(activation, 0)?.pointee.function(
            values.base, Int64(inputs), 1, Int64(inputs), 0, Int64(inputs), activations.base, ck_activation_row_bytes(activation, Int64(inputs)))
    }

    func run(calls: Int) { for _ in 0..<calls { refine(function, rows) } }

    /// Against the scalar row, as many rows as about 2²² products allow.
    func verify() throws {
        guard let scalar = ck_split_row_at(ck_split_row_count() - 1)?.pointee.refine else { return }
        let checked = min(rows, max(33, (1 << 22) / inputs))
        let results = [scalar, function].map { function in
            sums.elements.update(repeating: 0)
            refine(function, checked)
            return Array(sums.elements.prefix(checked))
        }
        // Sums of as many products as there are inputs, each at most as large as the norms say together.
        let largest = results[0].map(abs).max() ?? 0
        for row in 0..<checked where !(abs(results[0][row] - results[1][row]) <= 1e-4 * largest) {
            throw difference(kernel, at: "row \(row)", actual: results[1][row], expected: results[0][row])
        }
    }

    private func refine(_ function: ck_split_function, _ count: Int) {
        var args = ck_split_args(
            sums: sums.base, norms: norms.base, count: Int64(count), fine: fine.base, k: Int64(inputs), activations: activations.base, activation: activation,
            reach: 0, threshold: -.infinity)
        function(&args)
    }
}
