// A buffer to read, and the rate of reading it: what every kernel that streams weights is held against.
import CKernels
import SwiftletTensor

/// Reads one buffer with every loop this machine has. The buffer is mapped the way packed weights are, and written once, so that each page is one
/// of its own and not the system's one page of zeros.
package final class MemoryReader {
    /// Bytes of the buffer: what was asked for, less the rest that whole pages a thread leave.
    package let byteCount: Int
    private let memory: AlignedMemory
    private let loops: [ck_read_row]

    /// - threads: the most threads that will read at once, each its own whole number of pages.
    /// Throws `SwiftletError.outOfMemory` without memory, also for fewer bytes than a page a thread.
    package init(bytes: Int, threads: Int, isa: UInt32 = ck_isa_detect()) throws {
        let page = 4096 * max(1, threads)
        byteCount = bytes / page * page
        guard byteCount > 0 else { throw SwiftletError.outOfMemory(bytes: max(bytes, page), purpose: "the measurement of memory bandwidth") }
        memory = try AlignedMemory(byteCount: byteCount, purpose: "the measurement of memory bandwidth", hugePages: true)
        memory.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        loops = Self.rows.filter { $0.isa & ~isa == 0 }
    }

    /// The table of read loops.
    package static var rows: [ck_read_row] {
        var count = 0
        let first = ck_read_rows(&count)
        return Array(UnsafeBufferPointer(start: first, count: count))
    }

    /// Reads the whole buffer once with each loop, shared out over `threads`, and returns the best rate in 10⁹ bytes per second.
    package func pass(threads: Int) -> Double {
        let byteCount = byteCount, share = byteCount / threads / 64 * 64
        let base = SharedBase(pointer: memory.base)
        return loops.reduce(0) { best, row in
            guard let read = row.read else { return best }
            let seconds = ParallelTiming.seconds(threads: threads) { index in
                // The last thread reads what does not divide.
                let bytes = (index + 1 == threads ? byteCount - index * share : share) / 512 * 512
                let sum = read(base.pointer + index * share, bytes)
                // The buffer is zero, and so is the sum; the comparison keeps the reads.
                precondition(sum == 0)
            }
            return max(best, Double(byteCount) / seconds * 1e-9)
        }
    }
}

/// `@unchecked Sendable`: written before any thread sees it, then only read.
private struct SharedBase: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
}
