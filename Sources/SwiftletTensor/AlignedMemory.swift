// Raw memory aligned for the widest vectors and for cache lines.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A zeroed allocation aligned to 64 bytes, freed with the object.
///
/// `@unchecked Sendable`: it is plain memory; who may write it when is the owner's business (the executor, a session's state).
package final class AlignedMemory: @unchecked Sendable {
    package let bytes: UnsafeMutableRawBufferPointer

    /// Allocates `byteCount` bytes. Throws `SwiftletError.outOfMemory` when the system has none.
    package init(byteCount: Int, purpose: String) throws {
        var pointer: UnsafeMutableRawPointer?
        let rounded = max(64, (byteCount + 63) / 64 * 64)
        guard byteCount >= 0, posix_memalign(&pointer, 64, rounded) == 0, let pointer else {
            throw SwiftletError.outOfMemory(bytes: byteCount, purpose: purpose)
        }
        memset(pointer, 0, rounded)
        bytes = UnsafeMutableRawBufferPointer(start: pointer, count: byteCount)
    }

    deinit { free(bytes.baseAddress) }

    package var base: UnsafeMutableRawPointer { bytes.baseAddress.unsafelyUnwrapped }
}
