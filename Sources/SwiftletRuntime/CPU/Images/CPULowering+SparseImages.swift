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
        return SparsePointwise(
            kernel: .sparse(function, scratchBytes: ck_sparse_conv_scratch_bytes(Int64(inputs))), panels: packed,
            cut: WindowCut(sparse: shape, kept: Int(kept), threads: pool.threadCount))
    }
}

extension WindowCut {
    /// The cut of a sparse 1×1 convolution that should be done first. Tasks on the same pixels turn the same input each for itself, and tasks on few pixels
    /// leave parts of vectors empty, so more tasks are more work: as many as it takes to keep all threads busy to the end, and no more.
    ///
    /// - kept: weights that are not zero.
    init(sparse shape: ck_conv_shape, kept: Int, threads: Int) {
        let (inputs, outputs) = (Int(shape.input_channels), Int(shape.output_channels)), pixels = Int(shape.output_height * shape.output_width)
        let panelChannels = Int(CK_CONV_PANEL), quarter = Int(CK_SPARSE_CONV_STRIP) / 4
        let panels = (outputs + panelChannels - 1) / panelChannels, quarters = max(1, (pixels + quarter - 1) / quarter)
        /// Products that the slowest thread does, turning a number counted as four of them.
        func time(_ pixelTasks: Int, _ panelTasks: Int) -> Int {
            let (own, ownPanels) = ((quarters + pixelTasks - 1) / pixelTasks, (panels + panelTasks - 1) / panelTasks)
            let tasks = ((quarters + own - 1) / own) * ((panels + ownPanels - 1) / ownPanels)
            let products = quarter * (4 * inputs + ownPanels * panelChannels * (kept / max(1, outputs) + 4))
            return (tasks + threads - 1) / threads * (products * own * (own == 1 ? 3 : 2) / 2 + Self.handOver)
        }
        var best = (pixelTasks: 1, panelTasks: 1, time: time(1, 1))
        for pixelTasks in 1...min(quarters, 6 * threads) {
            for panelTasks in 1...min(panels, 6 * threads) {
                let time = time(pixelTasks, panelTasks)
                if time < best.time { best = (pixelTasks, panelTasks, time) }
            }
        }
        (self.pixels, self.panels) = (pixels, panels)
        pixelsPerTask = (quarters + best.pixelTasks - 1) / best.pixelTasks * quarter
        panelsPerTask = (panels + best.panelTasks - 1) / best.panelTasks
    }

    /// Products in the time that handing out a task takes.
    private static let handOver = 10_000
}
