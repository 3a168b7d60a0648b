// Slots: the buffers of a lowered partition. A slot is a boundary value, a state, constant data, or workspace planned by lifetime.

/// An index into the slots of a program.
struct SlotID: Hashable {
    let index: Int
}

/// One buffer of a program.
struct Slot {
    enum Home {
        /// A graph input, a value that crosses the partition's border, or a state.
        case boundary(ValueID)
        case constant(UnsafeRawPointer)
        /// Workspace, alive from the first to the last stage that names it.
        case planned
    }

    let home: Home
    var byteCount: @Sendable (Binding) throws -> Int
    var first = Int.max
    var last = -1
    /// A slot whose bytes this one may take over where it dies (elementwise steps write in place).
    var reuses: SlotID?
}

/// Where the planned slots of a program lie in its workspace under one binding.
struct WorkspaceLayout {
    /// Offsets in bytes by slot index; meaningful for planned slots.
    let offsets: [Int]
    /// Where the threads' scratch starts.
    let scratchOffset: Int
    let byteCount: Int

    init(_ slots: [Slot], binding: Binding, scratchBytes: Int, threadCount: Int) throws {
        var positions = [Int?](repeating: nil, count: slots.count)
        var uses: [BufferUse] = []
        for (index, slot) in slots.enumerated() {
            guard case .planned = slot.home, slot.last >= 0 else { continue }
            positions[index] = uses.count
            uses.append(BufferUse(bytes: try slot.byteCount(binding), first: slot.first, last: slot.last))
        }
        for (index, slot) in slots.enumerated() {
            guard let position = positions[index], let reused = slot.reuses, let earlier = positions[reused.index] else { continue }
            uses[position].reuses = earlier
        }
        let plan = try MemoryPlan(uses: uses)
        offsets = positions.map { $0.map { plan.offsets[$0] } ?? 0 }
        scratchOffset = (plan.peakBytes + 63) / 64 * 64
        byteCount = scratchOffset + scratchBytes * threadCount
    }
}
