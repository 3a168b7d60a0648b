// The linear table on linear layers: weights filled in their packed form, activations quantised, results held against the scalar row.
import CKernels
import SwiftletPortableKernels
import SwiftletTensor

enum LinearCases {
    /// Rows of activations timed: one token, and a batch of prompt tokens.
    static let rowCounts = [1, 64]

    /// Bytes of the layer's weight in the row's format; 0 for layers of other kinds.
    static func packedBytes(row: ck_linear_row, layer: Layer) -> Int {
        guard case .linear(_, let outputs, let inputs) = layer.shape else { return 0 }
        return ck_panel_bytes(row.panel, Int64(inputs)) * ((outputs + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS))
    }

    /// Bytes of the layer's weight in dense 8-bit panels; 0 for layers of other kinds.
    static func denseBytes(_ layer: Layer) -> Int {
        guard case .linear(_, let outputs, let inputs) = layer.shape else { return 0 }
        return ck_panel_bytes(CK_PANEL_Q8, Int64(inputs)) * ((outputs + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS))
    }

    /// Cases of one row of the table on one layer. A kernel is timed at the row counts at which dispatch within its own instruction sets
    /// picks it; an alternative, which dispatch never picks, at those it is meant for.
    static func make(row: ck_linear_row, layer: Layer, options: KernelCatalog.Options) -> [KernelCase] {
        guard case .linear(let format, let outputs, let inputs) = layer.shape, let function = row.function else { return [] }
        let isInteger = row.activation != CK_ACT_F32
        let kernel = String(cString: row.name)
        let weightBytes = packedBytes(row: row, layer: layer)
        return rowCounts.flatMap { rows -> [KernelCase] in
            if row.maximum_rows == 0 {
                guard rows >= row.minimum_rows else { return [] }
            } else {
                guard let picked = PortableKernels.findLinear(row.panel, row.activation, isa: row.isa, rows: Int64(rows)),
                    String(cString: picked.name) == kernel
                else { return [] }
            }
            let activationBytes = ck_activation_row_bytes(row.activation, Int64(inputs))
            // One token reads every weight of the model once: from memory. Cached figures say what the arithmetic allows.
            return (rows == 1 ? [true, false] : [false]).map { streams in
                KernelCase(
                    family: .linear, kernel: kernel, isa: row.isa, model: layer.model,
                    shape: "\(layer.name)/rows=\(rows)\(rows == 1 && !streams ? "-cached" : "")",
                    operations: 2 * Double(rows) * Double(outputs) * Double(inputs),
                    bytes: Double(weightBytes + rows * (activationBytes + 4 * outputs)), streamsMemory: streams,
                    peakUnit: kernel.contains("amxbf16") ? "bf16" : isInteger ? "int8" : "f32", isOwnFormat: ck_panel_for(weightType(format)) == row.panel
                ) {
                    try LinearKernel(
                        kernel: kernel, function: function, panel: row.panel, activation: row.activation, tolerance: row.tolerance,
                        outputs: outputs, inputs: inputs, rows: rows,
                        footprint: streams ? options.streamedBytes : 0)
                }
            }
        }
    }

    private static func weightType(_ format: WeightFormat) -> ck_weight_type {
        switch format {
        case .block(let block): ck_weight_type(rawValue: block.rawValue)
        case .dense(.bf16): CK_WEIGHT_BF16
        case .dense(.f16): CK_WEIGHT_F16
        case .dense: CK_WEIGHT_F32
        }
    }
}

/// One product: weights in one or more equal copies, which the calls take in turn.
package final class LinearKernel: PreparedKernel {
    private let kernel: String
    private let function: ck_linear_function
    private let panel: ck_panel_format
    private let activation: ck_activation_format
    private let tolerance: Float
    private let outputs: Int
    private let inputs: Int
    private let rows: Int
    private let panelStride: Int
    private let panelCount: Int
    private let copies: Int
    private let weights: Operand<UInt8>
    private let activations: Operand<UInt8>
    private let activationStride: Int
    private let output: Operand<Float>
    private var nextCopy = 0

    /// - tolerance: of the kernel's row: 0 for the scalar row's results, else the error allowed as a part of Σ|a·w|.
    /// - footprint: bytes all copies of the weight together have at least; 0 for one copy.
    package init(
        kernel: String, function: @escaping ck_linear_function, panel: ck_panel_format, activation: ck_activation_format, tolerance: Float = 0,
        outputs: Int, inputs: Int, rows: Int,
        footprint: Int
    ) throws {
        self.kernel = kernel
        self.function = function
        self.panel = panel
        self.activation = activation
        self.tolerance = tolerance
        self.outputs = outputs
        self.inputs = inputs
        self.rows = rows
        panelStride = ck_panel_bytes(panel, Int64(inputs))
        panelCount = (outputs + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS)
        let weightBytes = panelStride * panelCount
        copies = max(1, (footprint + weightBytes - 1) / weightBytes)
        weights = try Operand(count: weightBytes * copies, purpose: "the weights of a kernel benchmark")
        activationStride = ck_activation_row_bytes(activation, Int64(inputs))
        activations = try Operand(count: activationStride * rows, purpose: "the activations of a kernel benchmark")
        output = try Operand(count: rows * outputs, purpose: "the output of a kernel benchmark")
        var random = FillGenerator(seed: 1)
        try fillWeights(&random)
        for copy in 0..<copies where copy > 0 { (weights.base + copy * weightBytes).update(from: weights.base, count: weightBytes) }
        try fillActivations(&random)
    }

    package func run(calls: Int) {
        var args = arguments(firstPanel: 0, panels: panelCount, output: output.base)
        let first = weights.base, weightBytes = panelStride * panelCount
        for _ in 0..<calls {
            args.panels = UnsafeRawPointer(first + nextCopy * weightBytes)
            function(&args)
            nextCopy = nextCopy + 1 == copies ? 0 : nextCopy + 1
        }
    }

    /// The whole result comes from one call, as it is timed. The scalar row computes as many panels as about 2²⁵ products allow, spread evenly from the
    /// first to the last (which may be partial): all of them for most layers.
    package func verify() throws {
        guard let scalar = ck_linear_find(panel, activation, 0, 1)?.pointee.function else { return }
        output.elements.update(repeating: .nan)
        var args = arguments(firstPanel: 0, panels: panelCount, output: output.base)
        function(&args)
        let panelRows = Int(CK_PANEL_ROWS)
        let checked = min(panelCount, max(2, (1 << 25) / (rows * panelRows * inputs)))
        let expected = try Operand<Float>(count: rows * panelRows, purpose: "the check of a kernel benchmark")
        // Both forms of Σ|a·w| are exact enough in Float: they only scale a tolerance.
        let activationMagnitudes = tolerance > 0 ? try magnitudesOfActivations() : nil
        for index in 0..<checked {
            let place = checked == 1 ? 0 : index * (panelCount - 1) / (checked - 1)
            let columns = min(panelRows, outputs - place * panelRows)
            var args = arguments(firstPanel: place, panels: 1, output: expected.base)
            args.output_stride = Int64(panelRows)
            args.columns = Int64(columns)
            scalar(&args)
            let magnitudes = try activationMagnitudes.map { try self.magnitudes(of: place, activations: $0) }
            for row in 0..<rows {
                for column in 0..<columns {
                    let wanted = expected.base[row * panelRows + column], actual = output.base[row * outputs + place * panelRows + column]
                    // Integer panels agree bit for bit; sums of floats, of weights within ±1 and activations within ±2, to 2·eps·(k + 1)·max.
                    let agrees =
                        if let magnitudes { abs(actual - wanted) <= tolerance * magnitudes[row * panelRows + column] }
                        else if activation == CK_ACT_F32 { abs(actual - wanted) <= 4 * 0x1p-23 * Float(inputs + 1) }
                        else { actual.bitPattern == wanted.bitPattern }
                    guard agrees else {
                        throw difference(kernel, at: "row \(row), output \(place * panelRows + column)", actual: actual, expected: wanted)
                    }
                }
            }
        }
    }

    /// |a| of every quantised activation, [rows, inputs].
    private func magnitudesOfActivations() throws -> Operand<Float> {
        let magnitudes = try Operand<Float>(count: rows * inputs, purpose: "the check of a kernel benchmark")
        let low = ck_activation_low_offset(Int64(inputs)), records = ck_activation_block_offset(activation, Int64(inputs))
        for row in 0..<rows {
            let base = UnsafeRawPointer(activations.base + row * activationStride)
            for index in 0..<inputs {
                let high = Float(base.load(fromByteOffset: index, as: Int8.self))
                let number = activation == CK_ACT_Q15 ? 128 * high + Float(base.load(fromByteOffset: low + index, as: Int8.self)) : high
                let record = base.load(
                    fromByteOffset: records + index / Int(CK_BLOCK) * MemoryLayout<ck_activation_block>.stride, as: ck_activation_block.self)
                magnitudes.base[row * inputs + index] = abs(number * record.scale)
            }
        }
        return magnitudes
    }

    /// Σ|a·w| of the outputs of one panel, [rows, 16].
    private func magnitudes(of place: Int, activations: Operand<Float>) throws -> [Float] {
        let panelRows = Int(CK_PANEL_ROWS), base = weights.base + place * panelStride
        var weight = [Float](repeating: 0, count: panelRows)
        var sums = [Float](repeating: 0, count: rows * panelRows)
        for index in 0..<inputs {
            for column in 0..<panelRows { weight[column] = abs(ck_panel_value(panel, base, Int64(column), Int64(index))) }
            for row in 0..<rows {
                for column in 0..<panelRows { sums[row * panelRows + column] += activations.base[row * inputs + index] * weight[column] }
            }
        }
        return sums
    }

    private func arguments(firstPanel: Int, panels: Int, output: UnsafeMutablePointer<Float>) -> ck_linear_args {
        ck_linear_args(
            panels: UnsafeRawPointer(weights.base + firstPanel * panelStride), panel_stride_bytes: panelStride, panel_count: Int64(panels),
            k: Int64(inputs),
            activations: UnsafeRawPointer(activations.base), activation_stride_bytes: activationStride, rows: Int64(rows), output: output,
            output_stride: Int64(outputs), columns: Int64(outputs), panel_offsets: nil, panel_offset_stride: 0)
    }

    /// Random quants with scales and minimums of ordinary size, by the layout of ckernels/linear.h. Filled as panels, because no file format fills
    /// some of them for every row length.
    private func fillWeights(_ random: inout FillGenerator) throws {
        let panels = panelStride * panelCount
        guard activation != CK_ACT_F32 else {
            let values = try Operand<Float>(count: Int(CK_PANEL_ROWS) * inputs, purpose: "the weights of a kernel benchmark")
            let convert = ck_vector_find(0)?.pointee
            for index in 0..<panelCount {
                random.fill(values.elements, magnitude: 1)
                let destination = UnsafeMutableRawPointer(weights.base + index * panelStride)
                switch panel {
                case CK_PANEL_F16:
                    convert?.f32_to_f16(values.base, Int64(values.elements.count), destination.assumingMemoryBound(to: UInt16.self))
                case CK_PANEL_BF16:
                    convert?.f32_to_bf16(values.base, Int64(values.elements.count), destination.assumingMemoryBound(to: UInt16.self))
                default: destination.copyMemory(from: values.base, byteCount: 4 * values.elements.count)
                }
            }
            return
        }
        let base = UnsafeMutableRawPointer(weights.base)
        for offset in stride(from: 0, to: panels, by: 8) { base.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self) }
        // f16 scales, then minimums, of a block; then its quants.
        let halves = ck_panel_scale_bytes(panel) / 2
        let blockBytes = (ck_panel_bytes(panel, 64) - 64) / 2
        for index in 0..<panelCount {
            let start = base + index * panelStride
            for row in 0..<Int(CK_PANEL_ROWS) { start.storeBytes(of: 1, toByteOffset: 4 * row, as: Float.self) }
            for block in 0..<inputs / Int(CK_BLOCK) {
                let scales = start + 4 * Int(CK_PANEL_ROWS) + block * blockBytes
                for half in 0..<halves {
                    // Magnitudes from 2^-9 to 2^-3, either sign.
                    let bits = random.next()
                    scales.storeBytes(
                        of: UInt16(6 + bits % 6) << 10 | UInt16(truncatingIfNeeded: bits >> 32) & 0x83ff, toByteOffset: 2 * half,
                        as: UInt16.self)
                }
            }
        }
    }

    private func fillActivations(_ random: inout FillGenerator) throws {
        let values = try Operand<Float>(count: rows * inputs, purpose: "the activations of a kernel benchmark")
        random.fill(values.elements, magnitude: 2)
        if let quantize = ck_quantize_find(activation, 0)?.pointee.function {
            quantize(values.base, Int64(inputs), Int64(rows), Int64(inputs), 0, Int64(inputs), activations.base, activationStride)
        } else {
            for row in 0..<rows {
                UnsafeMutableRawPointer(activations.base + row * activationStride).copyMemory(
                    from: values.base + row * inputs, byteCount: 4 * inputs)
            }
        }
    }
}
