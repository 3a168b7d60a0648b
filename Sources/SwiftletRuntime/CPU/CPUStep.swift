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
    case window(WindowStep)
    case copy(CopyStep)
    case elements(ElementStep)
    case reduce(ReduceStep)
    case product(ProductStep)
    case resize(ResizeStep)
    case recurrent(RecurrentStep)
    case quantizedWindow(QuantizedWindowStep)
    case levels(LevelStep)
    case cast(CastStep)
    case chain(ChainStep)
    case ranked(RankedStep)
    /// What became part of a later step.
    case nothing

    /// The rows of a step that makes each row from the same row of what it reads: it may run beside its neighbours of that kind, row by row.
    var rows: RowTasks? {
        switch self {
        case .embedding(let step): step.tasks
        case .rows(let step): step.tasks
        case .binary(let step): step.tasks
        case .quantise(let step): step.tasks
        case .rotaryTable(let step): step.tasks
        case .rotary(let step): step.tasks
        case .cacheWrite(let step): step.tasks
        case .gatherRows, .linear, .attention, .window, .copy, .elements, .reduce, .product, .resize, .recurrent, .quantizedWindow, .levels, .cast, .chain, .ranked, .nothing: nil
        }
    }

    /// Where the step reads, if it is one that boundary values of any layout go through: setting it makes it read there. Nil for the others.
    var source: UnsafeRawPointer? {
        get {
            switch self {
            case .copy(let step): step.x
            case .levels(let step): step.readsFloats ? step.a : nil
            case .cast(let step): step.x
            default: nil
            }
        }
        set {
            guard let newValue else { return }
            switch self {
            case .copy(var step):
                step.x = newValue
                self = .copy(step)
            case .levels(var step):
                step.a = newValue
                self = .levels(step)
            case .cast(var step):
                step.x = newValue
                self = .cast(step)
            default: break
            }
        }
    }

    /// How many tasks the threads share.
    var taskCount: Int {
        switch self {
        case .gatherRows(let step): step.taskCount
        case .linear(let step): step.taskCount
        case .attention(let step): step.taskCount
        case .window(let step): step.taskCount
        case .copy(let step): step.taskCount
        case .elements(let step): step.taskCount
        case .reduce(let step): step.taskCount
        case .product(let step): step.taskCount
        case .resize(let step): step.taskCount
        case .recurrent(let step): step.taskCount
        case .quantizedWindow(let step): step.taskCount
        case .levels(let step): step.taskCount
        case .cast(let step): step.taskCount
        case .chain(let step): step.taskCount
        case .ranked(let step): step.taskCount
        case .nothing: 0
        case .embedding, .rows, .binary, .quantise, .rotaryTable, .rotary, .cacheWrite: rows?.taskCount ?? 0
        }
    }

    /// What the calling thread does for itself before its first task of this step.
    @inline(__always)
    func prepare(scratch: UnsafeMutableRawPointer) {
        if case .linear(let step) = self { step.prepare(scratch) }
    }

    /// Runs one task of a step that is not made of rows. `scratch` is the calling thread's own.
    @inline(__always)
    func execute(task: Int, scratch: UnsafeMutableRawPointer) {
        switch self {
        case .gatherRows(let step): step.execute(task)
        case .linear(let step): step.execute(task, scratch: scratch)
        case .attention(let step): step.execute(task, scratch: scratch)
        case .window(let step): step.execute(task, scratch: scratch)
        case .copy(let step): step.execute(task)
        case .elements(let step): step.execute(task)
        case .reduce(let step): step.execute(task)
        case .product(let step): step.execute(task, scratch: scratch)
        case .resize(let step): step.execute(task)
        case .recurrent(let step): step.execute(task, scratch: scratch)
        case .quantizedWindow(let step): step.execute(task)
        case .levels(let step): step.execute(task)
        case .cast(let step): step.execute(task)
        case .chain(let step): step.execute(task, scratch: scratch)
        case .ranked(let step): step.execute(task)
        case .embedding, .rows, .binary, .quantise, .rotaryTable, .rotary, .cacheWrite, .nothing: break
        }
    }

    /// Runs some rows of a step that is made of rows.
    @inline(__always)
    func execute(rows: Range<Int>) {
        switch self {
        case .embedding(let step): step.execute(rows)
        case .rows(let step): step.execute(rows)
        case .binary(let step): step.execute(rows)
        case .quantise(let step): step.execute(rows)
        case .rotaryTable(let step): step.execute(rows)
        case .rotary(let step): step.execute(rows)
        case .cacheWrite(let step): step.execute(rows)
        case .gatherRows, .linear, .attention, .window, .copy, .elements, .reduce, .product, .resize, .recurrent, .quantizedWindow, .levels, .cast, .chain, .ranked, .nothing: break
        }
    }
}

/// `count` rows cut into tasks of `rowsPerTask`: the scheme of every step that works row by row.
struct RowTasks {
    let count: Int
    let elementsPerRow: Int
    let rowsPerTask: Int

    /// Tasks of at least `minimumElements` elements, so that handing one out costs little beside doing it.
    init(count: Int, elementsPerRow: Int, minimumElements: Int = 4096) {
        self.count = count
        self.elementsPerRow = elementsPerRow
        rowsPerTask = max(1, minimumElements / max(1, elementsPerRow))
    }

    var taskCount: Int { (count + rowsPerTask - 1) / rowsPerTask }

    @inline(__always)
    func rows(of task: Int) -> Range<Int> { task * rowsPerTask..<min(count, (task + 1) * rowsPerTask) }
}
