// One step of a bound program: plain data (addresses, sizes, kernel pointers) behind a pointer, so that running a token touches no reference count and
// copies no data to get at a step.

/// A step with everything fixed. Each case's payload has a file in Steps/.
enum CPUStep {
    /// Where `StepBinder.keep` put it.
    typealias Kept = UnsafeMutablePointer

    case embedding(Kept<EmbeddingStep>)
    case gatherRows(Kept<GatherRowsStep>)
    case rows(Kept<RowStep>)
    case binary(Kept<BinaryStep>)
    case quantise(Kept<QuantiseStep>)
    case linear(Kept<LinearStep>)
    case rotaryTable(Kept<RotaryTableStep>)
    case rotary(Kept<RotaryStep>)
    case cacheWrite(Kept<CacheWriteStep>)
    case attention(Kept<AttentionStep>)
    case window(Kept<WindowStep>)
    case copy(Kept<CopyStep>)
    case elements(Kept<ElementStep>)
    case reduce(Kept<ReduceStep>)
    case product(Kept<ProductStep>)
    case resize(Kept<ResizeStep>)
    case recurrent(Kept<RecurrentStep>)
    case quantizedWindow(Kept<QuantizedWindowStep>)
    case levels(Kept<LevelStep>)
    case cast(Kept<CastStep>)
    case chain(Kept<ChainStep>)
    case ranked(Kept<RankedStep>)
    /// What became part of a later step.
    case nothing

    /// The rows of a step that makes each row from the same row of what it reads: it may run beside its neighbours of that kind, row by row.
    var rows: RowTasks? {
        switch self {
        case .embedding(let step): step.pointee.tasks
        case .rows(let step): step.pointee.tasks
        case .binary(let step): step.pointee.tasks
        case .quantise(let step): step.pointee.tasks
        case .rotaryTable(let step): step.pointee.tasks
        case .rotary(let step): step.pointee.tasks
        case .cacheWrite(let step): step.pointee.tasks
        case .gatherRows, .linear, .attention, .window, .copy, .elements, .reduce, .product, .resize, .recurrent, .quantizedWindow, .levels, .cast, .chain, .ranked, .nothing: nil
        }
    }

    /// Where the step reads, if it is one that boundary values of any layout go through: setting it makes it read there. Nil for the others.
    var source: UnsafeRawPointer? {
        get {
            switch self {
            case .copy(let step): step.pointee.x
            case .levels(let step): step.pointee.readsFloats ? step.pointee.a : nil
            case .cast(let step): step.pointee.x
            default: nil
            }
        }
        nonmutating set {
            guard let newValue else { return }
            switch self {
            case .copy(let step): step.pointee.x = newValue
            case .levels(let step): step.pointee.a = newValue
            case .cast(let step): step.pointee.x = newValue
            default: break
            }
        }
    }

    /// How many tasks the threads share.
    var taskCount: Int {
        switch self {
        case .gatherRows(let step): step.pointee.taskCount
        case .linear(let step): step.pointee.taskCount
        case .attention(let step): step.pointee.taskCount
        case .window(let step): step.pointee.taskCount
        case .copy(let step): step.pointee.taskCount
        case .elements(let step): step.pointee.taskCount
        case .reduce(let step): step.pointee.taskCount
        case .product(let step): step.pointee.taskCount
        case .resize(let step): step.pointee.taskCount
        case .recurrent(let step): step.pointee.taskCount
        case .quantizedWindow(let step): step.pointee.taskCount
        case .levels(let step): step.pointee.taskCount
        case .cast(let step): step.pointee.taskCount
        case .chain(let step): step.pointee.taskCount
        case .ranked(let step): step.pointee.taskCount
        case .nothing: 0
        case .embedding, .rows, .binary, .quantise, .rotaryTable, .rotary, .cacheWrite: rows?.taskCount ?? 0
        }
    }

    /// What the calling thread does for itself before its first task of this step.
    @inline(__always)
    func prepare(scratch: UnsafeMutableRawPointer) {
        if case .linear(let step) = self { step.pointee.prepare(scratch) }
    }

    /// Runs one task of a step that is not made of rows. `scratch` is the calling thread's own.
    @inline(__always)
    func execute(task: Int, scratch: UnsafeMutableRawPointer) {
        switch self {
        case .gatherRows(let step): step.pointee.execute(task)
        case .linear(let step): step.pointee.execute(task, scratch: scratch)
        case .attention(let step): step.pointee.execute(task, scratch: scratch)
        case .window(let step): step.pointee.execute(task, scratch: scratch)
        case .copy(let step): step.pointee.execute(task)
        case .elements(let step): step.pointee.execute(task)
        case .reduce(let step): step.pointee.execute(task)
        case .product(let step): step.pointee.execute(task, scratch: scratch)
        case .resize(let step): step.pointee.execute(task)
        case .recurrent(let step): step.pointee.execute(task, scratch: scratch)
        case .quantizedWindow(let step): step.pointee.execute(task)
        case .levels(let step): step.pointee.execute(task)
        case .cast(let step): step.pointee.execute(task)
        case .chain(let step): step.pointee.execute(task, scratch: scratch)
        case .ranked(let step): step.pointee.execute(task)
        case .embedding, .rows, .binary, .quantise, .rotaryTable, .rotary, .cacheWrite, .nothing: break
        }
    }

    /// Runs some rows of a step that is made of rows.
    @inline(__always)
    func execute(rows: Range<Int>) {
        switch self {
        case .embedding(let step): step.pointee.execute(rows)
        case .rows(let step): step.pointee.execute(rows)
        case .binary(let step): step.pointee.execute(rows)
        case .quantise(let step): step.pointee.execute(rows)
        case .rotaryTable(let step): step.pointee.execute(rows)
        case .rotary(let step): step.pointee.execute(rows)
        case .cacheWrite(let step): step.pointee.execute(rows)
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
