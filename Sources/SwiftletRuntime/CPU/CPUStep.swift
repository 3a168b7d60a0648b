// One step of a bound program: plain data (addresses, sizes, kernel pointers), so that running a token touches no reference count.

/// A step with everything fixed. Each case's payload has a file in Steps/.
enum CPUStep {
    case embedding(EmbeddingStep)
    case gatherRows(GatherRowsStep)
    case rows(RowStep)
    case binary(BinaryStep)
    case quantise(QuantiseStep)
    case linear(LinearStep)
    case rotaryTable(RotaryTableStep)
    case rotary(RotaryStep)
    case cacheWrite(CacheWriteStep)
    case attention(AttentionStep)

    /// How many tasks the threads share.
    var taskCount: Int {
        switch self {
        case .embedding(let step): step.taskCount
        case .gatherRows(let step): step.taskCount
        case .rows(let step): step.taskCount
        case .binary(let step): step.taskCount
        case .quantise(let step): step.taskCount
        case .linear(let step): step.taskCount
        case .rotaryTable(let step): step.taskCount
        case .rotary(let step): step.taskCount
        case .cacheWrite(let step): step.taskCount
        case .attention(let step): step.taskCount
        }
    }

    /// What the calling thread does for itself before its first task of this step.
    @inline(__always)
    func prepare(scratch: UnsafeMutableRawPointer) {
        if case .linear(let step) = self { step.prepare(scratch) }
    }

    /// Runs one task. `scratch` is the calling thread's own.
    @inline(__always)
    func execute(task: Int, scratch: UnsafeMutableRawPointer) {
        switch self {
        case .embedding(let step): step.execute(task)
        case .gatherRows(let step): step.execute(task)
        case .rows(let step): step.execute(task)
        case .binary(let step): step.execute(task)
        case .quantise(let step): step.execute(task)
        case .linear(let step): step.execute(task, scratch: scratch)
        case .rotaryTable(let step): step.execute(task)
        case .rotary(let step): step.execute(task)
        case .cacheWrite(let step): step.execute(task)
        case .attention(let step): step.execute(task, scratch: scratch)
        }
    }
}

/// `count` rows cut into tasks of `rowsPerTask`: the scheme of every step that works row by row.
struct RowTasks {
    let count: Int
    let rowsPerTask: Int

    /// Tasks of at least `minimumElements` elements, so that handing one out costs little beside doing it.
    init(count: Int, elementsPerRow: Int, minimumElements: Int = 4096) {
        self.count = count
        rowsPerTask = max(1, minimumElements / max(1, elementsPerRow))
    }

    var taskCount: Int { (count + rowsPerTask - 1) / rowsPerTask }

    @inline(__always)
    func rows(of task: Int) -> Range<Int> { task * rowsPerTask..<min(count, (task + 1) * rowsPerTask) }
}
