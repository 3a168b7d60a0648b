// Matrix products: activations rounded once for all their readers, then panels of weights shared out over the threads, with bias,
// activation, gate or residual applied while a tile of outputs is still in cache.
import CKernels

/// Rounds rows of floats to the integer format of the panels' kernels.
struct QuantiseStep {
    let kernel: ck_quantize_function
    let x: UnsafePointer<Float>
    let width: Int
    let out: UnsafeMutableRawPointer
    let rowBytes: Int
    let tasks: RowTasks

    func execute(_ rows: Range<Int>) {
        kernel(x + rows.lowerBound * width, Int64(width), Int64(rows.count), Int64(width), out + rows.lowerBound * rowBytes, rowBytes)
    }
}

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

    func execute(_ scratch: UnsafeMutableRawPointer) {
        // Other cores wrote parts of the rows: asked for all at once, their lines come in the time of a few.
        for offset in stride(from: 0, to: rows * width * MemoryLayout<Float>.stride, by: Int(CK_PREFETCH_BYTES)) {
            ck_prefetch_far(UnsafeRawPointer(x) + offset)
        }
        guard let norm else {
            quantise(x, Int64(width), Int64(rows), Int64(width), scratch, rowBytes)
            return
        }
        let normalised = (scratch + rows * rowBytes).assumingMemoryBound(to: Float.self)
        for row in 0..<rows {
            norm.kernel(x + row * width, norm.scale, Int64(width), norm.epsilon, normalised)
            quantise(normalised, Int64(width), 1, Int64(width), scratch + row * rowBytes, rowBytes)
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
    let add: BinaryKernel
    let columns: Int
    let rows: Int

    /// Rows whose activations and outputs stay in the second-level cache while a task's panels pass over them.
    static let rowBlock = 64
    /// Bytes of panels of one task when many rows read them: half of a small second-level cache.
    static let taskPanelBytes = 96 * 1024
    /// Bytes of panels of one task for a single row: enough to hide the hand-out, few enough that threads end together.
    static let singleRowTaskBytes = 16 * 1024...256 * 1024

    /// Panels a task takes: few enough to balance the threads and to stay in cache, many enough to be worth handing out.
    static func panelsPerTask(panelCount: Int, panelBytes: Int, rows: Int, threads: Int) -> Int {
        let panelBytes = max(1, panelBytes)  // a matrix without columns has empty panels
        if rows == 1 {
            let least = (singleRowTaskBytes.lowerBound + panelBytes - 1) / panelBytes, most = max(1, singleRowTaskBytes.upperBound / panelBytes)
            return min(panelCount, max(least, min(most, panelCount / (threads * 24))))
        }
        return max(1, min(panelCount / (threads * 6), taskPanelBytes / panelBytes))
    }

    /// Scratch of one task in bytes: tiles whose result is combined with something before it is stored.
    static func scratchBytes(panelsPerTask: Int, tiles: Int) -> Int {
        tiles * rowBlock * panelsPerTask * Int(CK_PANEL_ROWS) * MemoryLayout<Float>.stride
    }

    /// Makes the calling thread's own activations; before its first task of this step.
    func prepare(_ scratch: UnsafeMutableRawPointer) { prologue?.execute(scratch) }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        let own: UnsafeRawPointer? = prologue == nil ? nil : UnsafeRawPointer(scratch)
        let expanded = scratch + (prologue?.scratchBytes ?? 0)
        let isGated = if case .gated = epilogue { true } else { false }
        let target = self.target(of: task)
        let firstPanel = (task - targets[target].firstTask) * targets[target].panelsPerTask
        let panels = targets[target].panels(from: firstPanel, columns: columns, expanded)
        let scratch = (expanded + targets[target].expandedBytes * (isGated ? 2 : 1)).assumingMemoryBound(to: Float.self)
        switch epilogue {
        case .none:
            forEachTile(targets[target], task, own, panels) { tile in tile.compute(into: tile.out, stride: targets[target].features, add) }
        case .activation(let function):
            forEachTile(targets[target], task, own, panels) { tile in
                tile.compute(into: tile.out, stride: targets[target].features, add)
                for row in 0..<tile.rows {
                    let out = tile.out + row * targets[target].features
                    function(out, tile.columns, out)
                }
            }
        case .gated(let gate):
            let others = targets[1].panels(from: firstPanel, columns: columns, expanded + targets[0].expandedBytes)
            let inTurn = readsWeightsOnce ? panels.inTurn(with: others) : nil
            forEachTile(targets[0], task, own, panels) { tile in
                if let inTurn {
                    gateInTurn(tile, inTurn, scratch, add, gate)
                    return
                }
                let up = scratch + Self.rowBlock * tile.columns
                tile.compute(into: scratch, stride: tile.columns, add)
                tile.of(targets[1], others).compute(into: up, stride: tile.columns, add)
                for row in 0..<tile.rows {
                    gate(scratch + row * tile.columns, up + row * tile.columns, Int64(tile.columns), tile.out + row * targets[0].features)
                }
            }
        case .residual(let residual):
            forEachTile(targets[0], task, own, panels) { tile in
                tile.compute(into: scratch, stride: tile.columns, add)
                for row in 0..<tile.rows {
                    let offset = (tile.firstRow + row) * targets[0].features + tile.firstColumn
                    add(scratch + row * tile.columns, residual + offset, Int64(tile.columns), targets[0].out + offset)
                }
            }
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
    private func gateInTurn(_ tile: Tile, _ panels: PanelPlaces, _ scratch: UnsafeMutablePointer<Float>, _ add: BinaryKernel, _ gate: BinaryKernel) {
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
            gate(first, second, Int64(tile.columns), tile.out + row * targets[0].features)
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

        var out: UnsafeMutablePointer<Float> { target.out + firstRow * target.features + firstColumn }

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
