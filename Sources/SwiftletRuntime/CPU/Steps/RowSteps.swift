// Steps that work row by row: look-ups, normalisation, softmax, elementwise functions, arithmetic.
import CKernels

/// How a row of a table, as a file holds it, becomes floats.
enum RowDecoder {
    case copy
    case widen(WidenKernel)
    case block(@convention(c) (UnsafeRawPointer?, UnsafeMutablePointer<Float>?, Int64) -> Void)

    init?(_ format: WeightFormat, vector: VectorKernels) {
        switch format {
        case .dense(.f32): self = .copy
        case .dense(.f16): self = .widen(vector.f16ToF32)
        case .dense(.bf16): self = .widen(vector.bf16ToF32)
        case .dense: return nil
        case .block(let block):
            guard let dequantize = ck_block_format_find(block.rawValue)?.pointee.dequantize else { return nil }
            self = .block(dequantize)
        }
    }

    @inline(__always)
    func decode(_ row: UnsafeRawPointer, byteCount: Int, into target: UnsafeMutablePointer<Float>, width: Int) {
        switch self {
        case .copy: UnsafeMutableRawPointer(target).copyMemory(from: row, byteCount: byteCount)
        case .widen(let kernel): kernel(row.assumingMemoryBound(to: UInt16.self), Int64(width), target)
        case .block(let kernel): kernel(row, target, Int64(width))
        }
    }
}

/// `out[i] = table[ids[i]]`, decoded from the file's own format or from panels: only the rows that occur are ever touched.
struct EmbeddingStep {
    enum Table {
        case rows(UnsafeRawPointer, bytes: Int, RowDecoder)
        /// A row is one of the CK_PANEL_ROWS of a panel.
        case panels(PanelPlaces, ck_panel_format)
        case sparsePanels(PanelPlaces, ck_sparse_format)
        case split(PanelPlaces, FineRows)
    }

    let table: Table
    let ids: UnsafePointer<Int32>
    let width: Int
    let out: UnsafeMutablePointer<Float>
    let tasks: RowTasks

    func execute(_ rows: Range<Int>) {
        for row in rows {
            let (id, target) = (Int(ids[row]), out + row * width)
            let (panel, place) = id.quotientAndRemainder(dividingBy: Int(CK_PANEL_ROWS))
            switch table {
            case .rows(let rows, let bytes, let decoder): decoder.decode(rows + id * bytes, byteCount: bytes, into: target, width: width)
            case .panels(let panels, let format): ck_panel_read_row(format, panels[panel], Int64(place), Int64(width), target)
            case .split(let panels, let fine): ck_split_read_row(panels[panel], Int64(place), fine[id], Int64(width), target)
            case .sparsePanels(let panels, let format): ck_sparse_read_row(format, panels[panel], Int64(place), Int64(width), target)
            }
        }
    }
}

/// `out[i] = x[indices[i]]`
struct GatherRowsStep {
    let x: UnsafeRawPointer
    let rowBytes: Int
    let indices: UnsafePointer<Int32>
    let out: UnsafeMutableRawPointer
    let tasks: RowTasks

    var taskCount: Int { tasks.taskCount }

    func execute(_ task: Int) {
        for row in tasks.rows(of: task) { (out + row * rowBytes).copyMemory(from: x + Int(indices[row]) * rowBytes, byteCount: rowBytes) }
    }
}

/// A function of one row.
struct RowStep {
    enum Function {
        case rmsNorm(RMSNormKernel, scale: UnsafePointer<Float>?, epsilon: Float)
        case layerNorm(LayerNormKernel, scale: UnsafePointer<Float>, bias: UnsafePointer<Float>?, epsilon: Float)
        case softmax(SoftmaxKernel)
        case elements(ElementFunction)
    }

    let function: Function
    let x: UnsafePointer<Float>
    let width: Int
    let out: UnsafeMutablePointer<Float>
    let tasks: RowTasks

    func execute(_ rows: Range<Int>) {
        for row in rows {
            let (source, target) = (x + row * width, out + row * width)
            switch function {
            case .rmsNorm(let kernel, let scale, let epsilon): kernel(source, scale, Int64(width), epsilon, target)
            case .layerNorm(let kernel, let scale, let bias, let epsilon): kernel(source, scale, bias, Int64(width), epsilon, target)
            case .softmax(let kernel):
                if source != UnsafePointer(target) { target.update(from: source, count: width) }
                kernel(target, nil, Int64(width), 1, 0)
            case .elements(let function): function(source, width, target)
            }
        }
    }
}

/// `out = a ∘ b`, where b has a's shape or is one row that every row of a meets.
struct BinaryStep {
    enum Function {
        case plain(BinaryKernel)
        case addScaled(AddScaledKernel, Float)
    }

    let function: Function
    let a: UnsafePointer<Float>
    let b: UnsafePointer<Float>
    /// Elements between the rows of b: 0 when it is one row.
    let strideB: Int
    let width: Int
    let out: UnsafeMutablePointer<Float>
    let tasks: RowTasks

    func execute(_ rows: Range<Int>) {
        for row in rows {
            let (left, right, target) = (a + row * width, b + row * strideB, out + row * width)
            switch function {
            case .plain(let kernel): kernel(left, right, Int64(width), target)
            case .addScaled(let kernel, let factor): kernel(left, right, factor, Int64(width), target)
            }
        }
    }
}
