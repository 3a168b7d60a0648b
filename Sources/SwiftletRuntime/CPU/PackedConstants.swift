// Packed weights that several compiled graphs share: the same network for images of another size packs nothing anew.
//
// Found by what was packed (two checksums, the size) and how, and held only by the programs that use them.
import CKernels
import Foundation

/// The packed constants in use. `@unchecked Sendable`: touched under its lock alone.
final class PackedConstants: @unchecked Sendable {
    /// The way of packing, with every number beside the bytes that decides the result.
    enum Form: Hashable {
        case matrix(rows: Int, columns: Int)
        case recurrent(rows: Int, columns: Int, directions: Int)
        case convolution(outputs: Int, inputs: Int, taps: Int, groups: Int, panels: ConvolutionPanels)
        case sparseConvolution(outputs: Int, inputs: Int)
        case transposedConvolution(outputs: Int, inputs: Int, taps: Int)
        case quantizedConvolution(outputs: Int, inputs: Int, height: Int, width: Int, groups: Int, depthwise: Bool, zero: UInt8, bias: [Int32])
    }

    /// What the panels of a convolution hold.
    enum ConvolutionPanels {
        /// Weights as f32, and these transformed; pairs of bf16.
        case floats, winograd, pairs
    }

    struct Key: Hashable {
        private let low, high: UInt64
        private let byteCount: Int
        private let form: Form

        init(_ bytes: UnsafeRawBufferPointer, _ form: Form) {
            low = ck_checksum(bytes.baseAddress, bytes.count, 5)
            high = ck_checksum(bytes.baseAddress, bytes.count, 6)
            byteCount = bytes.count
            self.form = form
        }
    }

    private struct Entry {
        weak var memory: AlignedMemory?
    }

    private let lock = NSLock()
    private var entries: [Key: Entry] = [:]

    /// The memory that has been packed under this key, or what `pack` makes now.
    func memory(_ key: Key, pack: () throws -> AlignedMemory) rethrows -> AlignedMemory {
        if let memory = lock.withLock({ entries[key]?.memory }) { return memory }
        let memory = try pack()
        lock.withLock {
            entries[key] = Entry(memory: memory)
            if entries.count % 64 == 0 { entries = entries.filter { $0.value.memory != nil } }
        }
        return memory
    }
}
