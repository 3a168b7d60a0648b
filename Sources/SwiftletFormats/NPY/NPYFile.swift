// .npy: one array in a file, the plainest way to hand data between NumPy and a model. NPYHeader.swift has the layout.
import SwiftletTensor

/// Reads and writes .npy files of plain numbers: every `DType` that NumPy has.
public enum NPYFile {
    /// The array of a file of version 1.0, 2.0 or 3.0, in either byte order; an array in Fortran order is transposed to row-major.
    ///
    /// Where the file already has the machine's layout its bytes are mapped, not copied: leave the file alone while the tensor lives.
    ///
    /// Throws `SwiftletError.io` when the file cannot be opened, `.malformed` with a byte offset when it is no .npy file or holds more or
    /// fewer bytes than its shape, `.unsupported` for types that are no plain numbers.
    public static func read(path: String) throws -> Tensor { try read(FileImage(path: path)) }

    /// The array of a file that is in memory. `name` stands for the path in errors.
    package static func read(bytes: some Collection<UInt8>, name: String) throws -> Tensor {
        try read(FileImage(copying: bytes, name: name))
    }

    /// Writes the tensor as `numpy.save` does; the file appears under its name when it is complete.
    ///
    /// Throws `SwiftletError.io` when it cannot be written, `.unsupported` for types NumPy does not have.
    public static func write(_ tensor: Tensor, to path: String) throws {
        let header = try NPYHeader.bytes(type: tensor.type, shape: tensor.shape)
        let file = try OutputFile(path: path)
        try file.write(header)
        try tensor.withBytes { try file.write($0) }
        try file.commit()
    }

    private static func read(_ image: FileImage) throws -> Tensor {
        try withExtendedLifetime(image) {
            let header = try NPYHeader(image)
            let available = image.bytes.count - header.dataOffset
            guard let elements = header.shape.checkedElementCount,
                let needed = WeightFormat.dense(header.type).rowBytes(elements: elements), needed == available
            else {
                throw SwiftletError.malformed(
                    file: image.name, offset: header.dataOffset,
                    reason: "\(available) bytes follow the header, which is not what \(header.shape) of \(header.type.rawValue) takes",
                    remedy: "Save one whole array with numpy.save.")
            }
            let data = UnsafeRawBufferPointer(rebasing: image.bytes[header.dataOffset...])
            // With one dimension that is not 1, both orders are the same.
            let isTransposed = header.isFortranOrder && header.shape.dimensions.filter { $0 != 1 }.count > 1
            guard isTransposed || header.isSwapped else {
                return try Tensor(header.type, shape: header.shape, sharing: data, owner: image)
            }
            return try Tensor(header.type, shape: header.shape) { target in
                switch header.type.byteCount {
                case 1: reorder(UInt8.self, data, target, header, isTransposed)
                case 2: reorder(UInt16.self, data, target, header, isTransposed)
                case 4: reorder(UInt32.self, data, target, header, isTransposed)
                default: reorder(UInt64.self, data, target, header, isTransposed)
                }
            }
        }
    }

    /// Copies elements as bit patterns, from either order of indices to row-major and from either order of bytes to the machine's.
    /// The sizes have been checked.
    private static func reorder<Bits: FixedWidthInteger & BitwiseCopyable>(
        _ type: Bits.Type, _ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer, _ header: NPYHeader,
        _ isTransposed: Bool
    ) {
        let target = target.bindMemory(to: type)
        func element(_ index: Int) -> Bits {
            let bits = source.loadUnaligned(fromByteOffset: index * MemoryLayout<Bits>.stride, as: type)
            return header.isSwapped ? bits.byteSwapped : bits
        }
        guard isTransposed else {
            for index in target.indices { target[index] = element(index) }
            return
        }
        // Row-major over the target; in the source the step of a dimension is the product of the dimensions before it.
        let dimensions = header.shape.dimensions
        var strides = [1]
        for dimension in dimensions.dropLast() { strides.append(strides[strides.count - 1] * dimension) }
        let (inner, step) = (dimensions[dimensions.count - 1], strides[strides.count - 1])
        var counter = [Int](repeating: 0, count: dimensions.count - 1)
        var (place, start) = (0, 0)
        while place < target.count {
            for index in 0..<inner { target[place + index] = element(start + index * step) }
            place += inner
            // The next row: an odometer over the outer dimensions.
            for axis in counter.indices.reversed() {
                counter[axis] += 1
                start += strides[axis]
                if counter[axis] < dimensions[axis] { break }
                start -= dimensions[axis] * strides[axis]
                counter[axis] = 0
            }
        }
    }
}
