// Matrices with many zeros in a GGUF file: the tensor `<name>.swiftlet_bitmap` in the place of `<name>` (Documentation/sparse-weights.md).
//
// An I8 vector of one dimension, so that any reader of GGUF can carry it, with this content, little-endian:
//   0   u64  magic "SWBITMAP"
//   8   u32  version 1
//   12  u32  GGUF type of the matrix it stands for: 8 (Q8_0)
//   16  u64  rows
//   24  u64  columns, a multiple of 32
//   32  u64  weights kept
//   40  u64  offset of the scales: 64
//   48  u64  offset of the masks:  64 + 2 · blocks, blocks = rows · columns / 32, to a multiple of 4
//   56  u64  offset of the values: masks + 4 · blocks
//   scales   f16 a block, row after row
//   masks    u32 a block: bit i is set where weight i of the block is kept, the others are zero
//   values   i8 a weight that is kept, in order
// and nothing behind. Half of the weights zero, it takes 5.5 bits a weight, a quarter of them kept 3.5; Q8_0 takes 8.5.
//
// Offsets and sizes follow from rows, columns and the masks; all are checked, and memory is taken only after the file was seen to hold that many blocks.
import SwiftletTensor

/// A Q8_0 matrix without its zeros.
package struct BitmapTensor {
    /// What the name of the matrix is followed by in the file.
    package static let suffix = ".swiftlet_bitmap"

    private static let magic: UInt64 = 0x5041_4D54_4942_5753  // "SWBITMAP"
    private static let version: UInt32 = 1
    private static let format = BlockFormat.q8_0
    private static let headerBytes = 64
    private static let (blockWeights, blockBytes) = (32, 34)

    package let rows, columns, kept: Int
    private let store: WeightStore
    private let masksOffset, valuesOffset: Int

    /// Where the sections of a matrix lie; nil when it is too large for any file.
    private static func sections(rows: Int, columns: Int) -> (blocks: Int, masks: Int, values: Int)? {
        let (count, overflow) = rows.multipliedReportingOverflow(by: columns / blockWeights)
        guard !overflow, rows >= 0, count < Int.max / 64 else { return nil }
        let masks = (headerBytes + 2 * count + 3) / 4 * 4
        return (count, masks, masks + 4 * count)
    }

    /// Reads the header of a tensor and holds it against its bytes. Throws `SwiftletError.malformed` or `.unsupported`.
    package init(_ tensor: GGUFTensor, file: String) throws {
        func malformed(_ reason: String) -> SwiftletError {
            .malformed(
                file: file, offset: tensor.fileOffset, reason: "sparse tensor '\(tensor.name)' \(reason)",
                remedy: "Check that the download is complete, or compress the model again.")
        }
        guard tensor.format == .dense(.i8), tensor.shape.rank == 1 else { throw malformed("is \(tensor.format) \(tensor.shape), not a vector of i8") }
        let bytes = tensor.store.bytes
        guard bytes.count >= Self.headerBytes else { throw malformed("has only \(bytes.count) bytes") }
        func word(_ offset: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        guard word(0) == Self.magic else { throw malformed("does not start with 'SWBITMAP'") }
        let kinds = word(8)
        guard UInt32(truncatingIfNeeded: kinds) == Self.version, UInt32(truncatingIfNeeded: kinds >> 32) == Self.format.rawValue else {
            throw SwiftletError.unsupported(
                file: file, place: tensor.name, reason: "is of version \(kinds & 0xffff_ffff) for GGUF type \(kinds >> 32), which this program does not know",
                remedy: "Use a newer version of Swiftlet.")
        }
        guard let rows = Int(exactly: word(16)), let columns = Int(exactly: word(24)), let kept = Int(exactly: word(32)),
            columns > 0, columns % Self.blockWeights == 0, let sections = Self.sections(rows: rows, columns: columns)
        else { throw malformed("claims \(word(16)) rows of \(word(24)) weights, \(word(32)) of them kept") }
        guard word(40) == UInt64(Self.headerBytes), word(48) == UInt64(sections.masks), word(56) == UInt64(sections.values) else {
            throw malformed("has sections that do not follow from its \(rows) rows of \(columns)")
        }
        guard sections.values <= bytes.count, kept == bytes.count - sections.values else {
            throw malformed("has \(bytes.count) bytes, not those of \(rows) rows of \(columns) with \(kept) weights kept")
        }
        var bits = 0
        for block in 0..<sections.blocks {
            bits += bytes.loadUnaligned(fromByteOffset: sections.masks + 4 * block, as: UInt32.self).nonzeroBitCount
        }
        guard bits == kept else { throw malformed("keeps \(kept) weights, and its masks \(bits)") }
        (self.rows, self.columns, self.kept, store) = (rows, columns, kept, tensor.store)
        (masksOffset, valuesOffset) = (sections.masks, sections.values)
    }

    /// The matrix in Q8_0, in memory of its own; the pages of the file are given back. Throws `SwiftletError.outOfMemory`.
    package func expanded() throws -> WeightStore {
        let blocks = rows * (columns / Self.blockWeights)
        let result = try store.withBytes { bytes in
            try WeightStore(byteCount: blocks * Self.blockBytes) { target in
                var next = valuesOffset
                for block in 0..<blocks {
                    let place = block * Self.blockBytes
                    target.storeBytes(of: bytes.loadUnaligned(fromByteOffset: Self.headerBytes + 2 * block, as: UInt16.self), toByteOffset: place, as: UInt16.self)
                    var mask = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: masksOffset + 4 * block, as: UInt32.self))
                    while mask != 0 {
                        target[place + 2 + mask.trailingZeroBitCount] = bytes[next]
                        next += 1
                        mask &= mask - 1
                    }
                }
            }
        }
        store.releasePages()
        return result
    }

    /// The content of the tensor for a matrix in Q8_0, row after row. Throws `SwiftletError.invalidArgument` when the bytes are not those of such a matrix.
    package static func encode(_ matrix: UnsafeRawBufferPointer, rows: Int, columns: Int) throws -> [UInt8] {
        guard columns > 0, columns % blockWeights == 0, let sections = sections(rows: rows, columns: columns),
            sections.blocks * blockBytes == matrix.count
        else {
            throw SwiftletError.invalidArgument(
                name: "matrix", reason: "\(matrix.count) bytes are not \(rows) rows of \(columns) weights in q8_0",
                remedy: "Give a matrix in q8_0 with rows of a multiple of 32.")
        }
        var bytes = [UInt8](repeating: 0, count: sections.values)
        func quants(_ block: Int) -> Range<Int> { block * blockBytes + 2..<(block + 1) * blockBytes }
        for block in 0..<sections.blocks {
            var mask: UInt32 = 0
            for (index, quant) in matrix[quants(block)].enumerated() where quant != 0 {
                mask |= 1 << UInt32(index)
                bytes.append(quant)
            }
            (bytes[headerBytes + 2 * block], bytes[headerBytes + 2 * block + 1]) = (matrix[block * blockBytes], matrix[block * blockBytes + 1])
            for index in 0..<4 { bytes[sections.masks + 4 * block + index] = UInt8(truncatingIfNeeded: mask >> UInt32(8 * index)) }
        }
        let kinds = UInt64(version) | UInt64(format.rawValue) << 32
        let kept = bytes.count - sections.values
        let words: [UInt64] = [
            magic, kinds, UInt64(rows), UInt64(columns), UInt64(kept), UInt64(headerBytes), UInt64(sections.masks), UInt64(sections.values),
        ]
        for (place, word) in words.enumerated() {
            for index in 0..<8 { bytes[8 * place + index] = UInt8(truncatingIfNeeded: word >> UInt64(8 * index)) }
        }
        return bytes
    }
}

extension GGUFFile {
    /// Whether the file has the tensor, as it is or without its zeros.
    package func hasWeight(named name: String) -> Bool { tensor(named: name) != nil || tensor(named: name + BitmapTensor.suffix) != nil }

    /// The shape of a tensor, as it is or without its zeros. Throws `SwiftletError` when there is none, or a malformed one.
    package func shapeOfWeight(named name: String) throws -> (shape: Shape, fileOffset: Int) {
        guard let sparse = try sparseTensor(named: name) else {
            let tensor = try requiredTensor(named: name)
            return (tensor.shape, tensor.fileOffset)
        }
        let bitmap = try BitmapTensor(sparse, file: path)
        return ([bitmap.rows, bitmap.columns], sparse.fileOffset)
    }

    /// The bytes of a tensor: those of the file, or of a matrix without its zeros made whole (q8_0) in memory of their own.
    package func weight(named name: String) throws -> (format: WeightFormat, store: WeightStore) {
        guard let sparse = try sparseTensor(named: name) else {
            let tensor = try requiredTensor(named: name)
            return (tensor.format, tensor.store)
        }
        return (.block(.q8_0), try BitmapTensor(sparse, file: path).expanded())
    }

    private func sparseTensor(named name: String) throws -> GGUFTensor? {
        guard let sparse = tensor(named: name + BitmapTensor.suffix) else { return nil }
        guard tensor(named: name) == nil else {
            throw SwiftletError.malformed(
                file: path, offset: sparse.fileOffset, reason: "tensor '\(name)' is there twice, with its zeros and without",
                remedy: "Compress the model again.")
        }
        return sparse
    }
}

extension GGUFWriter {
    /// Adds a matrix in q8_0 without its zeros, in a tensor that only Swiftlet understands: named `name` and `BitmapTensor.suffix`.
    package mutating func addBitmap(name: String, shape: Shape, store: WeightStore) throws {
        guard shape.rank == 2 else {
            throw SwiftletError.invalidArgument(name: "shape", reason: "tensor '\(name)' has the shape \(shape)", remedy: "Give a matrix.")
        }
        let bytes = try store.withBytes { try BitmapTensor.encode($0, rows: shape[0], columns: shape[1]) }
        try add(name: name + BitmapTensor.suffix, shape: [bytes.count], format: .dense(.i8), store: WeightStore(bytes))
    }
}
