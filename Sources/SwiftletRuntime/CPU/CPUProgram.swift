// The compiled form of a partition on the CPU, and the loop that runs it: every thread walks the same steps, sharing each step's tasks.
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

    init(name: String, pool: ThreadPool, slots: [Slot], steps: [LoweredStep], checks: [IndexCheck], owners: [AnyObject]) {
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
        let boundSteps = try steps.map { try $0.bind(binder) }
        return CPUBoundProgram(
            program: self, steps: boundSteps, tables: binder.tables, checks: try checks.map { try $0.bound(binder) },
            scratch: memory.workspace + layout.scratchOffset, scratchBytes: scratchBytes)
    }
}

/// A step before binding: how to make the real one, and the scratch each thread needs for it.
struct LoweredStep {
    let bind: (StepBinder) throws -> CPUStep
    let scratchBytes: (Binding) throws -> Int
}

/// What a step needs to become concrete. Collects the small tables that bound steps point to.
final class StepBinder {
    let binding: Binding
    let addresses: [UnsafeMutableRawPointer]
    private(set) var tables: [AlignedMemory] = []

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

/// The steps of one binding of one session.
final class CPUBoundProgram: PoolTask, BoundProgram {
    private struct Phase {
        let steps: Range<Int>
        let tasks: Int
    }

    private let program: CPUProgram
    private let steps: UnsafeMutableBufferPointer<CPUStep>
    /// What the threads share at once: one step with its tasks, or a run of steps of one task each, which count as a single task.
    private let phases: UnsafeMutableBufferPointer<Phase>
    private let tables: [AlignedMemory]
    private let checks: [IndexCheck.Bound]
    private let scratch: UnsafeMutableRawPointer
    private let scratchBytes: Int

    init(
        program: CPUProgram, steps: [CPUStep], tables: [AlignedMemory], checks: [IndexCheck.Bound], scratch: UnsafeMutableRawPointer, scratchBytes: Int
    ) {
        self.program = program
        self.tables = tables
        // Every layer reads the same positions: looking at them once is enough.
        var unique: [IndexCheck.Bound] = []
        for check in checks where !unique.contains(where: { $0.indices == check.indices && $0.count == check.count && $0.limit == check.limit }) {
            unique.append(check)
        }
        self.checks = unique
        self.scratch = scratch
        self.scratchBytes = scratchBytes
        self.steps = .allocate(capacity: steps.count)
        _ = self.steps.initialize(from: steps)
        var phases: [Phase] = []
        for (index, tasks) in steps.map(\.taskCount).enumerated() where tasks > 0 {
            if tasks == 1, let last = phases.last, last.tasks == 1, last.steps.upperBound == index {
                phases[phases.count - 1] = Phase(steps: last.steps.lowerBound..<index + 1, tasks: 1)
            } else {
                phases.append(Phase(steps: index..<index + 1, tasks: tasks))
            }
        }
        self.phases = .allocate(capacity: phases.count)
        _ = self.phases.initialize(from: phases)
        super.init()
    }

    deinit {
        steps.deinitialize()
        steps.deallocate()
        phases.deinitialize()
        phases.deallocate()
    }

    func run() throws {
        for check in checks { try check.verify() }
        program.pool.run(self)
    }

    override func execute(_ worker: inout ThreadPool.Worker) {
        let scratch = scratch + worker.index * scratchBytes
        for phase in phases {
            // Only a thread that has a task prepares: what it reads cannot change before that task is done.
            var isPrepared = false
            worker.share(phase.tasks) { task in
                for index in phase.steps {
                    if !isPrepared { steps[index].prepare(scratch: scratch) }
                    steps[index].execute(task: task, scratch: scratch)
                }
                isPrepared = true
            }
        }
    }
}
