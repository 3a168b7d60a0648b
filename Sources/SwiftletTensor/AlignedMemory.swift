// Raw memory aligned for the widest vectors and for cache lines.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A zeroed allocation aligned to 64 bytes, freed with the object. Large ones are mapped, so pages cost memory only once touched.
///
/// `@unchecked Sendable`: it is plain memory; who may write it when is the owner's business (the executor, a session's state).
package final class AlignedMemory: @unchecked Sendable {
    package let bytes: UnsafeMutableRawBufferPointer
    private let isMapped: Bool

    /// From here on memory is mapped on its own: a cache of keys has such a piece a layer, and most of it may never be touched.
    private static let mappedThreshold = 1 << 17

    /// Allocates `byteCount` bytes. `hugePages` spares address translation on long reads, for memory that will be filled completely.
    /// Throws `SwiftletError.outOfMemory` when the system has none.
    package init(byteCount: Int, purpose: String, hugePages: Bool = false) throws {
        guard byteCount >= 0 else { throw SwiftletError.outOfMemory(bytes: byteCount, purpose: purpose) }
        let pointer: UnsafeMutableRawPointer
        isMapped = byteCount >= Self.mappedThreshold
        if isMapped {
            guard let mapping = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), mapping != MAP_FAILED else {
                throw SwiftletError.outOfMemory(bytes: byteCount, purpose: purpose)
            }
            #if os(Linux)
                if hugePages { madvise(mapping, byteCount, MADV_HUGEPAGE) }
            #endif
            pointer = mapping
        } else {
            var allocation: UnsafeMutableRawPointer?
            let rounded = max(64, (byteCount + 63) / 64 * 64)
            guard posix_memalign(&allocation, 64, rounded) == 0, let allocation else {
                throw SwiftletError.outOfMemory(bytes: byteCount, purpose: purpose)
            }
            memset(allocation, 0, rounded)
            pointer = allocation
        }
        bytes = UnsafeMutableRawBufferPointer(start: pointer, count: byteCount)
    }

    deinit {
        if isMapped { munmap(base, bytes.count) } else { free(base) }
    }

    package var base: UnsafeMutableRawPointer { bytes.baseAddress.unsafelyUnwrapped }
}
