// The loop that runs a bound program: every thread walks the same phases, sharing each phase's tasks.
//
// A phase costs a hand-over between cores, a microsecond or more where they share no cache, so there are as few as can be: row-wise steps over the
// same rows are one phase whose tasks are blocks of rows, and steps of a single task are done by whoever ends the phase before them. While a thread
// waits for the others, memory would idle: it fetches the weights that its next tasks begin with.
import CKernels

/// The steps of one binding of one session.
final class CPUBoundProgram: PoolTask, BoundProgram {
    /// What the threads share at once.
    private struct Phase {
        /// One step, or row-wise steps over the same rows.
        let steps: Range<Int>
        let tasks: Int
        /// How rows are cut into tasks, when the steps are row-wise.
        let rows: RowTasks?
        /// Steps of one task each that follow: done by the thread that ends the last task, before the others go on.
        var tail: Range<Int>
        /// The matrix product whose weights are fetched while waiting for the end of this phase.
        var next: Int?
    }

    private let program: CPUProgram
    private let steps: UnsafeMutableBufferPointer<CPUStep>
    /// The nodes of each step.
    private let nodes: [[Int]]
    private let phases: UnsafeMutableBufferPointer<Phase>
    private let tables: [AlignedMemory]
    private let checks: [IndexCheck.Bound]
    /// Steps that can be told to read a boundary value elsewhere.
    private let readers: [ValueID: Int]
    /// Where the calling thread notes the end of each phase, while it profiles.
    private var phaseEnds: UnsafeMutablePointer<ContinuousClock.Instant>?
    private let scratch: UnsafeMutableRawPointer
    private let scratchBytes: Int

    /// `steps` with their stages, in order; `readers`: those of them that are alone in reading a boundary value and have a `source`.
    init(
        program: CPUProgram, steps: [(step: CPUStep, stage: Int, nodes: [Int])], readers: [ValueID: Int], tables: [AlignedMemory], checks: [IndexCheck.Bound],
        scratch: UnsafeMutableRawPointer, scratchBytes: Int
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
        let kept = steps.indices.filter { steps[$0].step.taskCount > 0 }
        self.readers = readers.compactMapValues { kept.firstIndex(of: $0) }
        let steps = kept.map { steps[$0] }
        self.steps = .allocate(capacity: steps.count)
        _ = self.steps.initialize(from: steps.map(\.step))
        nodes = steps.map(\.nodes)
        let phases = Self.phases(of: steps.map { ($0.step, $0.stage) }, threads: program.pool.threadCount)
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

    func read(_ input: ValueID, at address: UnsafeRawPointer) -> Bool {
        guard let reader = readers[input] else { return false }
        steps[reader].source = address
        return true
    }

    /// Runs as `run` does, and says when the calling thread came to the end of each phase: what it waited is in the figures.
    func profile() throws -> [NodeTiming] {
        for check in checks { try check.verify() }
        let ends = UnsafeMutablePointer<ContinuousClock.Instant>.allocate(capacity: phases.count)
        ends.initialize(repeating: ContinuousClock.now, count: phases.count)
        phaseEnds = ends
        defer {
            phaseEnds = nil
            ends.deallocate()
        }
        var start = ContinuousClock.now
        program.pool.run(self)
        return phases.indices.map { index in
            let time = ends[index] - start
            start = ends[index]
            var names = nodes[phases[index].steps.lowerBound..<phases[index].tail.upperBound].flatMap { $0.map { program.graph.nodes[$0] } }
            names = names.reduce(into: []) { if $0.last?.name != $1.name { $0.append($1) } }
            let bytes = names.last.map { $0.outputs.reduce(0) { $0 + ((try? program.graph[$1].type.byteCount(under: [:])) ?? 0) } }
            return NodeTiming(
                node: names.map(\.name).joined(separator: " → "), operation: names.map { "\($0.op)" }.joined(separator: " → "), backend: "cpu",
                nanoseconds: Int(time / .nanoseconds(1)), outputBytes: bytes ?? 0)
        }
    }

    // MARK: Planning

    private static func phases(of steps: [(step: CPUStep, stage: Int)], threads: Int) -> [Phase] {
        var phases: [Phase] = []
        var index = 0
        while index < steps.count {
            var (end, rows) = (index + 1, steps[index].step.rows)
            while let own = rows, end < steps.count, steps[end].stage == steps[index].stage, let other = steps[end].step.rows, other.count == own.count {
                rows = RowTasks(count: own.count, elementsPerRow: own.elementsPerRow + other.elementsPerRow)
                end += 1
            }
            let tasks = rows?.taskCount ?? steps[index].step.taskCount
            // One thread has nobody to hand over to: there a phase costs nothing, and is timed by itself.
            if tasks == 1, threads > 1, let last = phases.indices.last {
                phases[last].tail = phases[last].tail.lowerBound..<end
            } else {
                phases.append(Phase(steps: index..<end, tasks: tasks, rows: rows, tail: end..<end))
            }
            index = end
        }
        var next: Int?
        for index in phases.indices.reversed() {
            phases[index].next = next
            if case .linear(let step) = steps[phases[index].steps.lowerBound].step { next = step.pointee.readsWeightsOnce ? phases[index].steps.lowerBound : nil }
        }
        return phases
    }

    // MARK: Running

    override func execute(_ worker: inout ThreadPool.Worker) {
        let scratch = scratch + worker.index * scratchBytes
        var ahead = WeightsAhead()
        let phaseEnds = worker.index == 0 ? phaseEnds : nil
        for index in phases.indices {
            let phase = phases[index]
            // Only a thread that has a task prepares: what it reads cannot change before that task is done.
            var isPrepared = false
            if let next = phase.next, ahead.step != next, case .linear(let step) = steps[next] {
                ahead = WeightsAhead(step.pointee, number: next, worker: worker.index, of: program.pool.threadCount)
            }
            if ahead.step == phase.steps.lowerBound { ahead.fetchFirst() }
            worker.share(phase.tasks) { task in
                if let rows = phase.rows {
                    let range = rows.rows(of: task)
                    for index in phase.steps { steps[index].execute(rows: range) }
                } else {
                    let index = phase.steps.lowerBound
                    if !isPrepared { steps[index].prepare(scratch: scratch) }
                    steps[index].execute(task: task, scratch: scratch)
                    isPrepared = true
                }
            } last: {
                for index in phase.tail { executeWhole(steps[index], scratch) }
            } waiting: {
                ahead.fetch()
            }
            if let phaseEnds { phaseEnds[index] = .now }
        }
    }

    /// A step of one task.
    private func executeWhole(_ step: CPUStep, _ scratch: UnsafeMutableRawPointer) {
        if let rows = step.rows {
            step.execute(rows: rows.rows(of: 0))
        } else {
            step.prepare(scratch: scratch)
            step.execute(task: 0, scratch: scratch)
        }
    }
}

/// The weights a thread's next matrix product begins with, fetched into its cache while it has nothing else to do.
private struct WeightsAhead {
    /// The number of the step they belong to.
    let step: Int
    private var address: UnsafeRawPointer?
    private var bytesLeft: Int

    /// A fraction of the second-level cache, and more than a wait has time for.
    private static let mostBytes = 64 * 1024

    /// Nothing to fetch.
    init() {
        step = -1
        bytesLeft = 0
    }

    /// What the first task of thread `worker`, one of `threads`, reads of the step `number`.
    init(_ linear: LinearStep, number: Int, worker: Int, of threads: Int) {
        step = number
        let panels = linear.panels(of: worker * linear.taskCount / threads)
        address = panels.baseAddress
        bytesLeft = min(panels.count, Self.mostBytes)
    }

    /// What comes while the thread prepares its activations.
    @inline(__always)
    mutating func fetchFirst() {
        for _ in 0..<16 { fetch() }
    }

    @inline(__always)
    mutating func fetch() {
        guard bytesLeft > 0, let next = address else { return }
        ck_prefetch_far(next)
        address = next + Int(CK_PREFETCH_BYTES)
        bytesLeft -= Int(CK_PREFETCH_BYTES)
    }
}
