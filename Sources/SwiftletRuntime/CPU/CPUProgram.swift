// The compiled form of a partition on the CPU, and what a binding makes concrete.
import CKernels
import Synchronization

/// A lowered partition: slots and the makers of steps. Shared by all sessions; holds the packed weights.
///
/// `@unchecked Sendable`: immutable after construction; the raw pointers lead to weights that `owners` keep alive.
final class CPUProgram: Program, @unchecked Sendable {
    let name: String
    let pool: ThreadPool
    let slots: [Slot]
    let steps: [LoweredStep]
    let checks: [IndexCheck]
    /// Whatever the steps point to.
    let owners: [AnyObject]
    /// The graph the steps were made from, for names.
    let graph: Graph

    init(graph: Graph, name: String, pool: ThreadPool, slots: [Slot], steps: [LoweredStep], checks: [IndexCheck], owners: [AnyObject]) {
        self.graph = graph
        self.name = name
        self.pool = pool
        self.slots = slots
        self.steps = steps
        self.checks = checks
        self.owners = owners
    }

    func workspaceBytes(under binding: Binding) throws -> Int { try layout(binding).byteCount }

    private func layout(_ binding: Binding) throws -> WorkspaceLayout {
        let scratch = try steps.map { try $0.scratchBytes(binding) }.max() ?? 0
        return try WorkspaceLayout(slots, binding: binding, scratchBytes: (scratch + 63) / 64 * 64, threadCount: pool.threadCount)
    }

    func bind(_ memory: BoundMemory) throws -> any BoundProgram {
        let layout = try layout(memory.binding)
        let addresses = try slots.enumerated().map { index, slot -> UnsafeMutableRawPointer in
            switch slot.home {
            case .boundary(let value): try memory.address(of: value)
            case .constant(let pointer): UnsafeMutableRawPointer(mutating: pointer)
            case .planned: memory.workspace + layout.offsets[index]
            }
        }
        let binder = StepBinder(binding: memory.binding, addresses: addresses)
        let scratchBytes = (layout.byteCount - layout.scratchOffset) / pool.threadCount
        let bound = try steps.map { (step: try $0.bind(binder), stage: $0.stage, nodes: $0.nodes) }
        return CPUBoundProgram(
            program: self, steps: bound, readers: soleReaders(of: addresses, bound), tables: binder.tables, checks: try checks.map { try $0.bound(binder) },
            scratch: memory.workspace + layout.scratchOffset, scratchBytes: scratchBytes)
    }

    /// The steps that are alone in reading a boundary value, and can read it elsewhere as well: those that change its layout or round it.
    private func soleReaders(of addresses: [UnsafeMutableRawPointer], _ bound: [(step: CPUStep, stage: Int, nodes: [Int])]) -> [ValueID: Int] {
        var readers: [ValueID: Int] = [:]
        for (index, slot) in slots.enumerated() {
            guard case .boundary(let value) = slot.home, slot.first == slot.last else { continue }
            let steps = bound.indices.filter { bound[$0].stage == slot.first }
            if steps.count == 1, bound[steps[0]].step.source == UnsafeRawPointer(addresses[index]) { readers[value] = steps[0] }
        }
        return readers
    }
}

/// A step before binding: how to make the real one, and the scratch each thread needs for it.
struct LoweredStep {
    let bind: (StepBinder) throws -> CPUStep
    let scratchBytes: (Binding) throws -> Int
    /// Whether each row of what it makes comes from the same row of what it reads.
    let isRowWise: Bool
    /// The nodes it belongs to.
    let nodes: [Int]
    /// Steps of one stage may run side by side, row by row, so what any of them names lives as long as the stage.
    var stage = 0
}

/// What a step needs to become concrete. Collects the small tables that bound steps point to.
final class StepBinder {
    let binding: Binding
    let addresses: [UnsafeMutableRawPointer]
    private(set) var tables: [AlignedMemory] = []
    /// What is left of the memory steps are kept in.
    private var chunk = UnsafeMutableRawPointer(bitPattern: 64).unsafelyUnwrapped
    private var chunkLeft = 0
    private static let chunkBytes = 16 * 1024

    init(binding: Binding, addresses: [UnsafeMutableRawPointer]) {
        self.binding = binding
        self.addresses = addresses
    }

    /// A copy of `elements` that lives as long as the bound program. The elements must be plain data.
    func store<Element>(_ elements: [Element]) throws -> UnsafePointer<Element> {
        let memory = try AlignedMemory(byteCount: elements.count * MemoryLayout<Element>.stride, purpose: "step table")
        tables.append(memory)
        let pointer = memory.base.bindMemory(to: Element.self, capacity: elements.count)
        pointer.initialize(from: elements, count: elements.count)
        return UnsafePointer(pointer)
    }

    /// A step's data, in a place of its own: a step is then as small as a pointer, and handing one to a task copies nothing else.
    func keep<Step>(_ step: Step) throws -> UnsafeMutablePointer<Step> {
        precondition(_isPOD(Step.self), "\(Step.self) is not plain data")
        let bytes = (MemoryLayout<Step>.stride + 63) / 64 * 64
        if bytes > chunkLeft {
            chunkLeft = max(bytes, Self.chunkBytes)
            let memory = try AlignedMemory(byteCount: chunkLeft, purpose: "steps")
            tables.append(memory)
            chunk = memory.base
        }
        let pointer = chunk.bindMemory(to: Step.self, capacity: 1)
        pointer.initialize(to: step)
        chunk += bytes
        chunkLeft -= bytes
        return pointer
    }

    /// Counters the tasks of one step share, zero at first, that live as long as the bound program.
    func counters(_ count: Int) throws -> UnsafeMutablePointer<Atomic<Int>> {
        let memory = try AlignedMemory(byteCount: max(1, count) * MemoryLayout<Atomic<Int>>.stride, purpose: "step counters")
        tables.append(memory)
        let pointer = memory.base.bindMemory(to: Atomic<Int>.self, capacity: max(1, count))
        for index in 0..<max(1, count) { (pointer + index).initialize(to: Atomic(0)) }
        return pointer
    }

    func floats(_ slot: SlotID) -> UnsafeMutablePointer<Float> { addresses[slot.index].assumingMemoryBound(to: Float.self) }
    func indices(_ slot: SlotID) -> UnsafePointer<Int32> { UnsafePointer(addresses[slot.index].assumingMemoryBound(to: Int32.self)) }
    func raw(_ slot: SlotID) -> UnsafeMutableRawPointer { addresses[slot.index] }
    func size(_ dimension: Dimension) throws -> Int { try dimension.resolved(binding) }
    func product(_ dimensions: some Sequence<Dimension>) throws -> Int { try dimensions.reduce(1) { $0 * (try $1.resolved(binding)) } }
}

/// Indices a caller supplies must be inside what they index, or kernels would read elsewhere: checked before the threads start.
struct IndexCheck {
    let node: String
    let slot: SlotID
    /// The shape of the indices: all of them are checked.
    let count: [Dimension]
    let limit: Dimension

    struct Bound {
        let node: String
        let indices: UnsafePointer<Int32>
        let count: Int
        let limit: Int

        func verify() throws {
            for position in 0..<count where indices[position] < 0 || Int(indices[position]) >= limit {
                throw SwiftletError.invalidArgument(
                    name: node, reason: "index \(indices[position]) (element \(position)) is outside 0..<\(limit)",
                    remedy: "Give indices inside the tensor they select from.")
            }
        }
    }

    func bound(_ binder: StepBinder) throws -> Bound {
        Bound(node: node, indices: binder.indices(slot), count: try binder.product(count), limit: try binder.size(limit))
    }
}
