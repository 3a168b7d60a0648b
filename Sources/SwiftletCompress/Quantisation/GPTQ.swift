// GPTQ: the weights of a row are rounded one after the other, and those still to come make up for what each rounding broke.
//
// Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022. Here levels are those of GGUF's blocks:
// the scales of a block are set when its first weight is reached, from the weights as corrected until then; with `ordersByActivation` the
// columns that carry most come first, and all scales are set beforehand from the original weights.
import SwiftletLinearAlgebra
import SwiftletRuntime

/// Quantises matrices with error feedback.
public struct GPTQ: CompressionStep {
    public static let technique = "gptq"

    public var scope: Scope
    public var plan: FormatPlan
    public var fallback: FormatPlan.Fallback
    public var bits: Int?
    /// λ as a share of the Hessian's mean diagonal.
    public var damping: Double
    /// Columns in the order of falling Σx² ("act-order").
    public var ordersByActivation: Bool
    /// Whether scales are searched for the least error instead of taken from the extremes.
    public var searches: Bool
    /// Layers calibrated together; 0 for as many as memory allows. Fewer see more of the errors before them, and cost a calibration each.
    public var layersAtOnce: Int

    public init(
        _ plan: FormatPlan, scope: Scope = .all, fallback: FormatPlan.Fallback = .sameBits, bits: Int? = nil, damping: Double = 0.01,
        ordersByActivation: Bool = true, searches: Bool = true, layersAtOnce: Int = 0
    ) {
        self.plan = plan
        self.scope = scope
        self.fallback = fallback
        self.bits = bits
        self.damping = damping
        self.ordersByActivation = ordersByActivation
        self.searches = searches
        self.layersAtOnce = layersAtOnce
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let pool = try ThreadPool(threadCount: context.threads)
        // A table that is only looked up has no inputs: it is rounded by itself in a step of its own.
        let targets = graph.matrices(in: scope).filter { $0.layer.kind == .linear }
        let blocks = graph.blockCount
        var replacement = LayerReplacement(
            graph, technique: Self.technique,
            parameters: "\(plan.name) \(fallback) bits \(bits ?? 0) damping \(damping) order \(ordersByActivation) search \(searches) at once \(layersAtOnce) batches \(data.batchCount)",
            total: targets.count, in: context)
        var notes: [String] = []
        for group in Self.groups(targets, count: layersAtOnce) {
            let moments = try InputMoments.collect(
                replacement.graph, layers: group.map(\.layer), order: .gram, data: data, in: context, technique: Self.technique)
            for target in group {
                let layer = target.layer
                let format = try plan.format(of: layer.name, columns: layer.weight.columnCount, isHead: target.isHead, layers: blocks, fallback: fallback)
                guard let key = InputKey(layer, in: graph), let moment = moments[key], let gram = moment.gram, case .block(let block) = format else {
                    notes.append("\(layer.name) is stored as \(format) without error feedback")
                    try replacement.replace(layer) { try layer.weight.stored(as: format, name: layer.name, pool: pool) }
                    continue
                }
                try replacement.replace(layer, outputError: { try layer.weight.outputError(of: $0, gram: gram) }) {
                    let order = ordersByActivation ? moment.squares.indices.sorted { (moment.squares[$0], $1) > (moment.squares[$1], $0) } : nil
                    let hessian = try InverseHessian(moment, damping: damping, order: order)
                    if hessian.damping > damping { notes.append("\(layer.name): damping raised to \(hessian.damping)") }
                    let rounding = FeedbackRounding(
                        grid: try BlockGrid(block, bits: bits), hessian: hessian, importance: moment.squares, searches: searches, fixesScalesFirst: ordersByActivation)
                    return try rounding.quantize(layer.weight, name: layer.name, pool: pool)
                }
            }
        }
        return try replacement.result(notes: notes)
    }

    /// Bytes of Gram matrices held at once when nothing else is asked for.
    private static let gramBytes = 800 << 20

    /// Consecutive targets calibrated together.
    private static func groups(_ targets: [QuantisedMatrix], count: Int) -> [[QuantisedMatrix]] {
        var groups: [[QuantisedMatrix]] = []
        var bytes = 0
        var inputs = Set<ValueID>()
        for target in targets {
            let columns = target.layer.weight.columnCount
            let isNew = !inputs.contains(target.layer.input)
            // Layers with a common input stay together: they share its matrix.
            let isFull = count > 0 ? (groups.last?.count ?? 0) >= count && isNew : isNew && bytes + 4 * columns * columns > gramBytes
            if groups.isEmpty || isFull {
                groups.append([])
                (bytes, inputs) = (0, [])
            }
            if inputs.insert(target.layer.input).inserted { bytes += 4 * columns * columns }
            groups[groups.count - 1].append(target)
        }
        return groups
    }
}

extension GPTQ: RecipeTechnique {
    package static let summary = "Quantises with error feedback: later weights of a row make up for the rounding of earlier ones"
    package static let parameters = [
        .format("a GGUF type, or a mix such as q4_k_m"),
        .fallback,
        .bits,
        RecipeParameter("damping", .number(0...1), default: .number(0.01), "share of the Hessian's mean diagonal added to it"),
        RecipeParameter("act-order", .flag, default: .flag(true), "columns that carry most come first"),
        RecipeParameter("search", .flag, default: .flag(true), "search scales for the least error"),
        RecipeParameter("layers-at-once", .integer(0...100_000), default: .integer(0), "matrices calibrated together, 0 for as many as memory allows"),
    ]

    package init(_ values: RecipeValues) throws {
        let storage = try values.storage()
        self.init(
            storage.plan, scope: values.scope, fallback: storage.fallback, bits: storage.bits, damping: try values.number("damping"),
            ordersByActivation: try values.flag("act-order"), searches: try values.flag("search"), layersAtOnce: try values.integer("layers-at-once"))
    }
}

/// Rounding of rows against one Hessian.
struct FeedbackRounding {
    let grid: BlockGrid
    let hessian: InverseHessian
    /// Σx² of each column, for the search of scales.
    let importance: [Float]
    let searches: Bool
    /// Whether all scales come from the original weights: needed when the order jumps between blocks.
    let fixesScalesFirst: Bool

    /// Rows worked on together: each row of the factor is read once for all of them.
    private static let rowsTogether = 8

    func quantize(_ weight: Weight, name: String, pool: ThreadPool) throws -> Weight {
        let format = WeightFormat.block(grid.format)
        let (rows, columns) = (weight.rowCount, weight.columnCount)
        guard let rowBytes = format.rowBytes(elements: columns), hessian.columns == columns else {
            throw SwiftletError.invalidArgument(name: name, reason: "rows of \(columns) are not whole blocks of \(format)", remedy: "Choose a format of smaller blocks.")
        }
        let failures = FirstFailure()
        let store = try WeightStore(byteCount: rows * rowBytes) { target in
            nonisolated(unsafe) let target = target
            pool.forEach((rows + Self.rowsTogether - 1) / Self.rowsTogether) { task in
                failures.catching {
                    let range = task * Self.rowsTogether..<min(rows, (task + 1) * Self.rowsTogether)
                    try quantizeRows(
                        range.map { try weight.row($0) },
                        into: UnsafeMutableRawBufferPointer(rebasing: target[range.lowerBound * rowBytes..<range.upperBound * rowBytes]))
                }
            }
        }
        try failures.rethrow()
        return try Weight(name: name, shape: weight.shape, format: format, store: store)
    }

    /// `rows` in the matrix's order of columns; `target` holds their blocks.
    private func quantizeRows(_ rows: [[Float]], into target: UnsafeMutableRawBufferPointer) throws {
        let columns = hessian.columns, blockElements = grid.format.blockElements, blockBytes = grid.format.blockBytes
        let blocks = columns / blockElements, rowBytes = blocks * blockBytes
        // Weights in the order they are worked through, dead columns at zero: nothing flows in, so nothing is lost.
        var work = rows.flatMap { row in hessian.order.map { hessian.isDead[$0] ? 0 : row[$0] } }
        var values = [BlockValues?](repeating: nil, count: rows.count * blocks)
        var levels = [UInt8](repeating: 0, count: rows.count * columns)
        func fix(_ row: Int, _ block: Int, _ current: [Float]) throws {
            let slot = UnsafeMutableRawBufferPointer(rebasing: target[row * rowBytes + block * blockBytes..<row * rowBytes + (block + 1) * blockBytes])
            let range = block * blockElements..<(block + 1) * blockElements
            try current.withUnsafeBufferPointer { current in
                try importance.withUnsafeBufferPointer { importance in
                    try grid.quantize(current, importance: UnsafeBufferPointer(rebasing: importance[range]), searches: searches, into: slot)
                }
            }
            values[row * blocks + block] = grid.values(of: UnsafeRawBufferPointer(slot))
        }
        if fixesScalesFirst {
            for (index, row) in rows.enumerated() {
                for block in 0..<blocks { try fix(index, block, Array(row[block * blockElements..<(block + 1) * blockElements])) }
            }
        }
        try hessian.factor.withUnsafeBufferPointer { factor in
            for step in 0..<columns {
                let column = hessian.order[step], block = column / blockElements
                let diagonal = factor[step * columns + step]
                for row in rows.indices {
                    if !fixesScalesFirst, step % blockElements == 0 {
                        try fix(row, block, Array(work[row * columns + step..<row * columns + step + blockElements]))
                    }
                    guard let grid = values[row * blocks + block] else { continue }
                    let wanted = work[row * columns + step]
                    let (value, level) = grid.nearest(wanted, at: column % blockElements)
                    levels[row * columns + column] = level
                    let error = (wanted - value) / diagonal
                    work.withUnsafeMutableBufferPointer { work in
                        guard let weights = work.baseAddress?.advanced(by: row * columns), let share = factor.baseAddress?.advanced(by: step * columns) else { return }
                        for later in step..<columns { weights[later] -= error * share[later] }
                    }
                }
            }
        }
        for row in rows.indices {
            for block in 0..<blocks {
                levels.withUnsafeBufferPointer { levels in
                    guard let first = levels.baseAddress?.advanced(by: row * columns + block * blockElements) else { return }
                    grid.write(first, to: UnsafeMutableRawBufferPointer(rebasing: target[row * rowBytes + block * blockBytes..<row * rowBytes + (block + 1) * blockBytes]))
                }
            }
        }
    }
}

extension Weight {
    /// Σ‖(W − W′)x‖² / Σ‖Wx‖² over the rows whose XᵀX is `gram`.
    package func outputError(of other: Weight, gram: [Float]) throws -> Double {
        let before = try floats(), after = try other.floats()
        let error = try Self.energy(zip(before, after).map { $0 - $1 }, gram: gram, columns: columnCount)
        let total = try Self.energy(before, gram: gram, columns: columnCount)
        return total > 0 ? error / total : 0
    }

    /// tr(W·G·Wᵀ).
    static func energy(_ w: [Float], gram: [Float], columns: Int) throws -> Double {
        let rows = w.count / max(1, columns)
        var product = [Float](repeating: 0, count: w.count)
        try w.withUnsafeBufferPointer { w in
            try gram.withUnsafeBufferPointer { gram in
                try product.withUnsafeMutableBufferPointer { product in
                    try LinearAlgebra.matrixMultiply(
                        m: rows, n: columns, k: columns, a: MatrixView(w, stride: max(1, columns)), b: MatrixView(gram, stride: max(1, columns)),
                        c: MatrixView(product, stride: max(1, columns)))
                }
            }
        }
        var sum = 0.0
        for index in w.indices { sum += Double(w[index]) * Double(product[index]) }
        return max(0, sum)
    }
}
