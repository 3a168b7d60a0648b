// Matrix products: activations rounded once for all their readers, then panels of weights shared out over the threads, with bias,
// activation, gate or residual applied while a tile of outputs is still in cache.
import CKernels

/// How a thread makes the activations of a linear step for itself: the norm before it, if nobody else reads that, and the rounding.
///
/// With one row or a few, sharing these out is dearer than doing them on every thread: it would cost two hand-overs between the cores a layer.
struct LinearPrologue {
    /// Nil: x is rounded as it is.
    let norm: RootMeanSquareNorm?
    let x: UnsafePointer<Float>
    let width: Int
    let rows: Int
    let quantise: ck_quantize_function
    let rowBytes: Int

    /// Elements a thread prepares in the time two hand-overs take, or a little more.
    static let mostElements = 16 * 1024

    /// Whether the rows are so few that sharing them out would not pay.
    static func suits(rows: Int, width: Int) -> Bool { rows * width <= mostElements }

    /// Bytes of a thread's scratch: the rounded rows, then one normalised row.
    static func scratchBytes(rows: Int, rowBytes: Int, width: Int) -> Int {
        rows * rowBytes + (width * MemoryLayout<Float>.stride + 63) / 64 * 64
    }

    var scratchBytes: Int { Self.scratchBytes(rows: rows, rowBytes: rowBytes, width: width) }

    /// Asks for rows that other cores wrote parts of: all at once, their lines come in the time of a few.
    static func fetch(_ rows: UnsafeRawPointer, _ bytes: Int) {
        for offset in stride(from: 0, to: bytes, by: Int(CK_PREFETCH_BYTES)) { ck_prefetch_far(rows + offset) }
    }

    func execute(_ scratch: UnsafeMutableRawPointer) {
        Self.fetch(x, rows * width * MemoryLayout<Float>.stride)
        guard let norm else {
            quantise(x, Int64(width), Int64(rows), Int64(width), 0, Int64(width), scratch, rowBytes)
            return
        }
        let normalised = (scratch + rows * rowBytes).assumingMemoryBound(to: Float.self)
        for row in 0..<rows {
            norm.kernel(x + row * width, norm.scale, Int64(width), norm.epsilon, normalised)
            quantise(normalised, Int64(width), 1, Int64(width), 0, Int64(width), scratch + row * rowBytes, rowBytes)
        }
    }
}

/// One weight matrix of a linear step and where its product goes.
struct LinearTarget {
    let kernel: ck_linear_function
    let panels: PanelPlaces
    let panelCount: Int
    let features: Int
    let bias: UnsafePointer<Float>?
    /// Where the rows to multiply with are, unless the step has a prologue.
    let activations: UnsafeRawPointer
    let activationRowBytes: Int
    let out: UnsafeMutablePointer<Float>
    /// Panels of one task, and the number of the first task of this target.
    let panelsPerTask: Int
    let firstTask: Int
    /// Makes of a sparse or split panel the dense one that `kernel` reads; nil where it reads the panels as they lie.
    let expansion: PanelExpansion?

    var taskCount: Int { (panelCount + panelsPerTask - 1) / panelsPerTask }
    /// Bytes of the panels of one task once they are expanded.
    var expandedBytes: Int { expansion.map { panelsPerTask * $0.panelBytes } ?? 0 }
}

/// How a task turns the panels it reads into dense and whole ones.
struct PanelExpansion {
    enum Source {
        case sparse(ck_sparse_expand_function)
        case split(FineRows)
    }

    let source: Source
    /// Bytes of a dense panel.
    let panelBytes: Int

    /// Writes the dense panel that stands for panel number `index`, which lies at `panel`.
    @inline(__always)
    func expand(_ panel: UnsafeRawPointer, index: Int, columns: Int, into dense: UnsafeMutableRawPointer) {
        switch source {
        case .sparse(let expand): expand(panel, Int64(columns), dense)
        case .split(let fine): fine.join(panel, panel: index, into: dense)
        }
    }
}

extension LinearTarget {
    /// The panels of the task that begins at panel `first`: in the matrix, or expanded into `scratch`, once for all rows.
    @inline(__always)
    func panels(from first: Int, columns: Int, _ scratch: UnsafeMutableRawPointer) -> PanelPlaces {
        guard let expansion else { return panels.from(first) }
        for index in 0..<min(panelsPerTask, panelCount - first) {
            expansion.expand(panels[first + index], index: first + index, columns: columns, into: scratch + index * expansion.panelBytes)
        }
        return PanelPlaces(UnsafeRawPointer(scratch), panelBytes: expansion.panelBytes, stride: expansion.panelBytes)
    }
}

/// `epilogue(x·Wᵀ + b)` for up to a few weights that read the same x.
struct LinearStep {
    enum Epilogue {
        case none
        case activation(ElementFunction)
        /// The second target multiplies the first.
        case gated(BinaryKernel)
        case residual(UnsafePointer<Float>)
    }

    let targets: UnsafePointer<LinearTarget>
    let targetCount: Int
    let taskCount: Int
    let prologue: LinearPrologue?
    let epilogue: Epilogue
    /// Where the results go when they are only read rounded; then nothing is written to `out` of the target, and tasks end with whole blocks.
    let rounded: RoundedRows?
    let add: BinaryKernel
    let columns: Int
    let rows: Int

    /// Rows whose activations and outputs stay in the second-level cache while a task's panels pass over them.
    static let rowBlock = 64
    /// Bytes of panels of one task when many rows read them: half of a small second-level cache.
    static let taskPanelBytes = 96 * 1024
    /// Bytes of panels of one task for a single row: enough to hide the hand-out, few enough that threads end together.
    static let singleRowTaskBytes = 16 * 1024...256 * 1024

    /// Panels a task takes: few enough to balance the threads and to stay in cache, many enough to be worth handing out. A multiple of those of a block
    /// of outputs when `wholeBlocks`, as `panelCount` must be then.
    static func panelsPerTask(panelCount: Int, panelBytes: Int, rows: Int, threads: Int, wholeBlocks: Bool) -> Int {
        let panelBytes = max(1, panelBytes)  // a matrix without columns has empty panels
        let unit = wholeBlocks ? Int(CK_BLOCK) / Int(CK_PANEL_ROWS) : 1
        let panels: Int
        if rows == 1 {
            let least = (singleRowTaskBytes.lowerBound + panelBytes - 1) / panelBytes, most = max(1, singleRowTaskBytes.upperBound / panelBytes)
            panels = max(least, min(most, panelCount / (threads * 24)))
        } else {
            panels = max(1, min(panelCount / (threads * 6), taskPanelBytes / panelBytes))
        }
        return min(panelCount, (panels + unit - 1) / unit * unit)
    }

    /// Scratch of one task in bytes: tiles whose result is combined with something before it is stored.
    static func scratchBytes(panelsPerTask: Int, tiles: Int) -> Int {
        tiles * rowBlock * panelsPerTask * Int(CK_PANEL_ROWS) * MemoryLayout<Float>.stride
    }

    /// Makes or fetches the activations for the calling thread; before its first task of this step.
    func prepare(_ scratch: UnsafeMutableRawPointer) {
        if let prologue {
            prologue.execute(scratch)
        } else if readsWeightsOnce {
            LinearPrologue.fetch(targets[0].activations, rows * targets[0].activationRowBytes)
        }
    }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        let own: UnsafeRawPointer? = prologue == nil ? nil : UnsafeRawPointer(scratch)
        let expanded = scratch + (prologue?.scratchBytes ?? 0)
        let isGated = if case .gated = epilogue { true } else { false }
        let target = self.target(of: task)
        let firstPanel = (task - targets[target].firstTask) * targets[target].panelsPerTask
        let panels = targets[target].panels(from: firstPanel, columns: columns, expanded)
        let scratch = (expanded + targets[target].expandedBytes * (isGated ? 2 : 1)).assumingMemoryBound(to: Float.self)
        let others = isGated ? targets[1].panels(from: firstPanel, columns: columns, expanded + targets[0].expandedBytes) : nil
        let inTurn = readsWeightsOnce ? others.flatMap { panels.inTurn(with: $0) } : nil
        forEachTile(targets[target], task, own, panels) { tile in
            // Results that leave rounded are floats in the scratch only.
            let (out, stride) = rounded == nil ? (targets[target].out + tile.offset, targets[target].features) : (scratch, tile.columns)
            switch epilogue {
            case .none: tile.compute(into: out, stride: stride, add)
            case .activation(let function):
                tile.compute(into: out, stride: stride, add)
                for row in 0..<tile.rows { function(out + row * stride, tile.columns, out + row * stride) }
            case .gated(let gate):
                if let inTurn {
                    gateInTurn(tile, inTurn, scratch, add, gate, into: out, stride: stride)
                } else if let others {
                    let up = scratch + Self.rowBlock * tile.columns
                    tile.compute(into: scratch, stride: tile.columns, add)
                    tile.of(targets[1], others).compute(into: up, stride: tile.columns, add)
                    for row in 0..<tile.rows { gate(scratch + row * tile.columns, up + row * tile.columns, Int64(tile.columns), out + row * stride) }
                }
            case .residual(let residual):
                tile.compute(into: scratch, stride: tile.columns, add)
                let residual = residual + tile.offset
                for row in 0..<tile.rows { add(scratch + row * tile.columns, residual + row * targets[0].features, Int64(tile.columns), out + row * stride) }
            }
            rounded?.store(
                out, stride: stride, rows: tile.firstRow..<tile.firstRow + tile.rows, columns: tile.firstColumn..<tile.firstColumn + tile.columns)
        }
    }

    /// Whether the weights pass once, from memory, because so few rows meet them that reading is what takes the time.
    var readsWeightsOnce: Bool { rows <= Self.fewRows }
    private static let fewRows = 16

    /// The panels of one task, from its own to the end of its matrix: the task after it reads on there.
    func panels(of task: Int) -> UnsafeRawBufferPointer {
        let target = targets[target(of: task)]
        let first = (task - target.firstTask) * target.panelsPerTask
        return UnsafeRawBufferPointer(start: target.panels[first], count: target.panels.end(of: target.panelCount - 1) - target.panels[first])
    }

    /// The products of both matrices of a gate, read as the one stream of panels they lie in: 16 outputs of the one and 16 of the other. What belongs
    /// together is put together, row by row, and then gated.
    /// `out` may be the scratch: a row's results are fewer than the products they are made of.
    private func gateInTurn(
        _ tile: Tile, _ panels: PanelPlaces, _ scratch: UnsafeMutablePointer<Float>, _ add: BinaryKernel, _ gate: BinaryKernel,
        into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        typealias Panel = SIMD16<Float>
        let width = 2 * tile.panelCount * Panel.scalarCount
        tile.multiply(panels, panelCount: 2 * tile.panelCount, columns: width, into: scratch, stride: width)
        let first = scratch + tile.rows * width, second = first + width / 2
        for row in 0..<tile.rows {
            let products = UnsafeRawPointer(scratch + row * width).assumingMemoryBound(to: Panel.self)
            for panel in 0..<tile.panelCount {
                UnsafeMutableRawPointer(first).storeBytes(of: products[2 * panel], toByteOffset: panel * MemoryLayout<Panel>.stride, as: Panel.self)
                UnsafeMutableRawPointer(second).storeBytes(of: products[2 * panel + 1], toByteOffset: panel * MemoryLayout<Panel>.stride, as: Panel.self)
            }
            if let bias = targets[0].bias { add(first, bias + tile.firstColumn, Int64(tile.columns), first) }
            if let bias = targets[1].bias { add(second, bias + tile.firstColumn, Int64(tile.columns), second) }
            gate(first, second, Int64(tile.columns), out + row * stride)
        }
    }

    private func target(of task: Int) -> Int {
        var index = 0
        while index + 1 < targetCount && task >= targets[index + 1].firstTask { index += 1 }
        return index
    }

    @inline(__always)
    private func forEachTile(_ target: LinearTarget, _ task: Int, _ own: UnsafeRawPointer?, _ panels: PanelPlaces, _ body: (Tile) -> Void) {
        let firstPanel = (task - target.firstTask) * target.panelsPerTask
        let panelCount = min(target.panelsPerTask, target.panelCount - firstPanel)
        let firstColumn = firstPanel * Int(CK_PANEL_ROWS)
        let columns = min(panelCount * Int(CK_PANEL_ROWS), target.features - firstColumn)
        var row = 0
        while row < rows {
            let count = min(Self.rowBlock, rows - row)
            body(Tile(target: target, own: own, panels: panels, panelCount: panelCount, firstColumn: firstColumn, columns: columns, firstRow: row, rows: count, width: self.columns))
            row += count
        }
    }

    /// A block of rows times the panels of a task.
    private struct Tile {
        let target: LinearTarget
        /// The thread's own activations, where the step has a prologue.
        let own: UnsafeRawPointer?
        let panels: PanelPlaces
        let panelCount: Int
        let firstColumn: Int
        let columns: Int
        let firstRow: Int
        let rows: Int
        let width: Int

        /// Where the block begins in the results of its matrix.
        var offset: Int { firstRow * target.features + firstColumn }

        /// The same block of another matrix of the same shape.
        func of(_ other: LinearTarget, _ panels: PanelPlaces) -> Tile {
            Tile(target: other, own: own, panels: panels, panelCount: panelCount, firstColumn: firstColumn, columns: columns, firstRow: firstRow, rows: rows, width: width)
        }

        @inline(__always)
        func compute(into output: UnsafeMutablePointer<Float>, stride: Int, _ add: BinaryKernel) {
            multiply(panels, panelCount: panelCount, columns: columns, into: output, stride: stride)
            guard let bias = target.bias else { return }
            for row in 0..<rows { add(output + row * stride, bias + firstColumn, Int64(columns), output + row * stride) }
        }

        /// The rows times the first `panelCount` of `panels`, without bias.
        @inline(__always)
        func multiply(_ panels: PanelPlaces, panelCount: Int, columns: Int, into output: UnsafeMutablePointer<Float>, stride: Int) {
            var arguments = ck_linear_args(
                panels: panels.base, panel_stride_bytes: panels.stride, panel_count: Int64(panelCount), k: Int64(width),
                activations: (own ?? target.activations) + firstRow * target.activationRowBytes, activation_stride_bytes: target.activationRowBytes,
                rows: Int64(rows), output: output, output_stride: Int64(stride), columns: Int64(columns), panel_offsets: panels.offsets, panel_offset_stride: Int64(panels.offsetStride))
            target.kernel(&arguments)
        }
    }
}
