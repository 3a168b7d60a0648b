// Convolutions that follow each other become chains where what lies between them is larger than a cache: 1×1, depthwise and 1×1 again of the usual blocks.
//
// Once all nodes are lowered: a chain takes the place of its last step, the steps before that have no tasks any more.
import CKernels

extension CPULowering {
    /// Bytes of an image from which it pays not to write it: half of a second-level cache of today.
    private static let leastImageBytes = 512 << 10
    /// How many times larger than the input of the first step its output is.
    private static let leastExpansion = 2
    /// The steps of a chain: more would compute more rows twice where ranges meet.
    private static let mostSteps = 3
    /// Ranges of rows a thread takes, and the fewest rows of one: rows that two of them need are computed twice.
    private static let rangesPerThread = 2, leastRows = 6

    mutating func chainWindows() {
        var index = 0
        while index < steps.count {
            var chain = [index]
            // Only where the image between is larger than the one before: elsewhere there is less to save than reading weights anew for each band costs
            // (detection of text, 1×1 behind depthwise, lost 3 to 8 % to such chains).
            if let window = convolution(index), window.output.elements >= Self.leastExpansion * window.input.elements {
                while chain.count < Self.mostSteps, let last = chain.last, chains(last) { chain.append(last + 1) }
            }
            if chain.count > 1 { fuse(chain) }
            index += chain.count
        }
    }

    /// Whether the step behind `index` is a convolution that alone reads what the convolution at `index` makes, and that is large.
    private func chains(_ index: Int) -> Bool {
        guard let made = convolution(index), let next = convolution(index + 1), made.out == next.x, next.residual != made.out, next.factor != made.out else { return false }
        let slot = slots[made.out.index]
        guard case .planned = slot.home, slot.first == index, slot.last == index + 1, slot.reuses == nil, slots[next.out.index].reuses == nil else { return false }
        guard ranges(next.output.height) > 0 else { return false }
        return made.input.elementBytes == next.input.elementBytes && made.output.elements * made.output.elementBytes >= Self.leastImageBytes
    }

    /// The ranges that `rows` of the last output are cut into, as many for each thread; 0 where that would leave a thread without.
    private func ranges(_ rows: Int) -> Int {
        let threads = pool.threadCount
        return threads == 1 ? 1 : min(Self.rangesPerThread, rows / Self.leastRows / threads) * threads
    }

    /// The step at `index` when it is a convolution that can be part of a chain.
    private func convolution(_ index: Int) -> LoweredWindow? {
        guard let window = windowSteps[index]?.window, window.panels != nil, window.groups == 1, window.factor == nil, case .plain = window.kernel else { return nil }
        return window
    }

    private mutating func fuse(_ chain: [Int]) {
        let windows = chain.compactMap { convolution($0) }
        guard let end = chain.last, let first = windows.first, let last = windows.last, windows.count == chain.count else { return }
        for (place, window) in windows.enumerated() {
            // Everything is read until the end, and what lies between is nowhere.
            for slot in [place == 0 ? window.x : nil, window.residual].compactMap({ $0 }) { slots[slot.index].last = max(slots[slot.index].last, end) }
            if place < windows.count - 1 { slots[window.out.index].last = -1 }
        }
        let ranges = ranges(last.output.height), elementBytes = first.input.elementBytes
        func steps(_ binder: StepBinder?) -> [ck_conv_step] {
            windows.enumerated().map { place, window in
                guard case .plain(let kernel) = window.kernel else { return ck_conv_step() }
                return ck_conv_step(function: kernel, args: window.args(binder, readsInput: place == 0, writesOutput: place == windows.count - 1))
            }
        }
        let scratchBytes = steps(nil).withUnsafeBufferPointer { ck_conv_chain_scratch_bytes($0.baseAddress, Int64($0.count), Int64(elementBytes)) }
        let nodes = chain.flatMap { self.steps[$0].nodes }
        for index in chain { self.steps[index] = LoweredStep(bind: { _ in .nothing }, scratchBytes: { _ in 0 }, isRowWise: false, nodes: []) }
        self.steps[end] = LoweredStep(
            bind: { binder in
                let table = try binder.store(steps(binder))
                return .chain(try binder.keep(ChainStep(steps: table, count: windows.count, images: first.input.count, elementBytes: elementBytes, ranges: ranges)))
            }, scratchBytes: { _ in scratchBytes }, isRowWise: false, nodes: nodes)
    }
}
