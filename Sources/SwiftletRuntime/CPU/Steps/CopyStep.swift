// Moves of elements by a rule of strides: transposes, changes of layout, slices, concatenations, repetitions.

/// Copies a tensor of up to eight axes element by element of any size: `out[i·outStrides] = x[i·strides]`.
struct CopyStep {
    var x: UnsafeRawPointer
    let out: UnsafeMutableRawPointer
    /// The axes, outermost first, in tables that live as long as the bound program; strides in bytes.
    let axes: UnsafePointer<Axis>
    let axisCount: Int
    let elementBytes: Int
    /// The outermost axis is shared out in tasks of so many.
    let perTask: Int
    let taskCount: Int

    struct Axis {
        var size: Int
        var stride: Int
        var outStride: Int
    }

    func execute(_ task: Int) {
        let first = task * perTask
        let outer = axes[0]
        for index in first..<min(outer.size, first + perTask) { copy(x + index * outer.stride, out + index * outer.outStride, axis: 1) }
    }

    private func copy(_ x: UnsafeRawPointer, _ out: UnsafeMutableRawPointer, axis: Int) {
        let rest = axisCount - axis
        if rest > 2 {
            let current = axes[axis]
            for index in 0..<current.size { copy(x + index * current.stride, out + index * current.outStride, axis: axis + 1) }
            return
        }
        if rest == 2, axes[axis].size > 1, axes[axis + 1].size > 1 {
            let (rows, columns) = (axes[axis], axes[axis + 1])
            if columns.outStride != elementBytes || columns.stride != elementBytes {
                if elementBytes == 4 { return copyMatrix(x, out, rows, columns, UInt32.self) }
                if elementBytes == 2 { return copyMatrix(x, out, rows, columns, UInt16.self) }
            }
        }
        if rest == 2 {
            let current = axes[axis]
            for index in 0..<current.size { copyRow(x + index * current.stride, out + index * current.outStride, axes[axis + 1]) }
        } else if rest == 1 {
            copyRow(x, out, axes[axis])
        } else {
            out.copyMemory(from: x, byteCount: elementBytes)
        }
    }

    private func copyRow(_ x: UnsafeRawPointer, _ out: UnsafeMutableRawPointer, _ axis: Axis) {
        if axis.stride == elementBytes, axis.outStride == elementBytes {
            out.copyMemory(from: x, byteCount: axis.size * elementBytes)
            return
        }
        switch elementBytes {
        case 4: copyElements(x, out, axis, UInt32.self)
        case 8: copyElements(x, out, axis, UInt64.self)
        case 2: copyElements(x, out, axis, UInt16.self)
        default: copyElements(x, out, axis, UInt8.self)
        }
    }

    @inline(__always)
    private func copyElements<Element: BitwiseCopyable>(_ x: UnsafeRawPointer, _ out: UnsafeMutableRawPointer, _ axis: Axis, _ type: Element.Type) {
        for index in 0..<axis.size {
            out.storeBytes(of: x.load(fromByteOffset: index * axis.stride, as: type), toByteOffset: index * axis.outStride, as: type)
        }
    }

    /// A matrix whose rows are not contiguous on one side: in squares of 16 × 16, so that the lines of both sides are used while cached.
    @inline(__always)
    private func copyMatrix<Element: BitwiseCopyable>(
        _ x: UnsafeRawPointer, _ out: UnsafeMutableRawPointer, _ rows: Axis, _ columns: Axis, _ type: Element.Type
    ) {
        if rows.stride == elementBytes, columns.outStride == elementBytes, rows.outStride == elementBytes * columns.size {
            switch columns.size {
            case 2: return interleave(x, out, rows.size, planes: 2, columns.stride, type)
            case 3: return interleave(x, out, rows.size, planes: 3, columns.stride, type)
            case 4: return interleave(x, out, rows.size, planes: 4, columns.stride, type)
            default: break
            }
        }
        let edge = 16
        for row in stride(from: 0, to: rows.size, by: edge) {
            for column in stride(from: 0, to: columns.size, by: edge) {
                for j in column..<min(columns.size, column + edge) {
                    let (from, to) = (x + j * columns.stride, out + j * columns.outStride)
                    for i in row..<min(rows.size, row + edge) {
                        to.storeBytes(of: from.load(fromByteOffset: i * rows.stride, as: type), toByteOffset: i * rows.outStride, as: type)
                    }
                }
            }
        }
    }

    /// A few planes to as many elements a place: images of colours, channels last. Compiled for each number of planes.
    @inline(__always)
    private func interleave<Element: BitwiseCopyable>(
        _ x: UnsafeRawPointer, _ out: UnsafeMutableRawPointer, _ count: Int, planes: Int, _ planeStride: Int, _ type: Element.Type
    ) {
        let bytes = MemoryLayout<Element>.stride
        for index in 0..<count {
            for plane in 0..<planes {
                let element = x.loadUnaligned(fromByteOffset: plane * planeStride + index * bytes, as: type)
                out.storeBytes(of: element, toByteOffset: (index * planes + plane) * bytes, as: type)
            }
        }
    }
}
