// 1×1 convolutions most of whose weights are zero: when they run without their zeros (ckernels/sparse_conv.h).
//
// A weight is looked at when it is packed. From the part of zeros on that was measured for the kernels at hand it is packed without them; below that it stays
// dense. Nothing in the graph knows.
import CKernels

extension CPULowering {
    /// How a convolution runs without its zeros.
    struct SparsePointwise {
        let kernel: WindowStep.Kernel
        let panels: UnsafeRawPointer
        let cut: WindowCut
    }

    /// The convolution of one group, weights `[outputs, inputs, 1, 1]`, without its zeros; nil where that is not faster.
    mutating func sparsePointwise(_ value: ValueID, _ shape: ck_conv_shape) throws -> SparsePointwise? {
        guard let row = ck_sparse_conv_find(backend.isa), let function = row.pointee.function else { return nil }
        func pays(_ kept: Int64) -> Bool { withUnsafePointer(to: shape) { ck_sparse_conv_pays(row, $0, kept) } }
        let (outputs, inputs) = (Int(shape.output_channels), Int(shape.input_channels))
        // Weights are read only where nothing else speaks against it.
        guard pays(0) else { return nil }
        let kept = try constant(value).store.withBytes { bytes in
            bytes.count == outputs * inputs * MemoryLayout<Float>.stride ? ck_sparse_conv_count(bytes.baseAddress, Int64(outputs * inputs)) : .max
        }
        guard pays(kept) else { return nil }
        let bytes = ck_sparse_conv_packed_bytes(Int64(outputs), Int64(inputs), kept)
        let name = graph[value].name
        let packed = try packed(value, .sparseConvolution(outputs: outputs, inputs: inputs), partBytes: bytes) { source, _, target in
            var call = ck_conv_weights()
            call.values = source.assumingMemoryBound(to: Float.self)
            (call.output_channels, call.input_channels, call.taps) = (Int64(outputs), Int64(inputs), 1)
            (call.output_stride, call.input_stride, call.tap_stride) = (Int64(inputs), 1, 1)
            guard ck_sparse_conv_pack(&call, target, bytes) == 0 else {
                throw SwiftletError.numerical(routine: "ck_sparse_conv_pack", reason: "refuses \(name)", remedy: "Report it as a bug.")
            }
        }
        let pixels = Int(shape.output_height * shape.output_width)
        return SparsePointwise(
            kernel: .scratch(function, bytes: ck_sparse_conv_scratch_bytes(Int64(inputs))), panels: packed,
            cut: WindowCut(
                pixels: pixels, channels: outputs, pixelTile: Int(CK_SPARSE_CONV_STRIP) / 4, panelTile: 1,
                // Turning a number costs about as much as four products; tasks on the same pixels turn the same input each for itself.
                multiplyAccumulates: pixels * (Int(kept) + 4 * outputs), threads: pool.threadCount, weightBytes: bytes,
                inputBytes: pixels * inputs * MemoryLayout<Float>.stride, repeatedWork: 4 * pixels * inputs))
    }
}
