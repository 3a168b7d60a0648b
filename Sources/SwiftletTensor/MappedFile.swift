// A file mapped read-only into memory. Weights stay in these pages until a backend packs them, and are never copied before that.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A read-only, memory-mapped file.
///
/// `@unchecked Sendable`: the mapping is immutable for the life of the object; only its residency changes.
public final class MappedFile: @unchecked Sendable {
    public let path: String
    public let byteCount: Int
    package let base: UnsafeRawPointer

    /// Maps the whole file. Throws `SwiftletError.io` when it cannot be opened, is empty or cannot be mapped.
    public init(path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw SwiftletError.io(path: path, reason: Self.lastReason("cannot be opened"), remedy: "Check the path and its permissions.")
        }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else {
            throw SwiftletError.io(path: path, reason: Self.lastReason("cannot be examined"), remedy: "Check the path and its permissions.")
        }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw SwiftletError.io(path: path, reason: "is not a regular file", remedy: "Name the file itself.")
        }
        guard information.st_size > 0 else {
            throw SwiftletError.io(path: path, reason: "is empty", remedy: "Download or create the file again.")
        }
        let length = Int(information.st_size)
        guard let address = mmap(nil, length, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw SwiftletError.io(path: path, reason: Self.lastReason("cannot be mapped"), remedy: "Free address space or memory.")
        }
        self.path = path
        self.byteCount = length
        self.base = UnsafeRawPointer(address)
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }

    /// All bytes of the file. The pointer is valid while the object lives.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

    /// Gives the pages of `range` (bytes) back to the system; they are read again from the file when touched.
    package func release(_ range: Range<Int>) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = (range.lowerBound + page - 1) / page * page
        let last = range.upperBound / page * page
        guard first < last else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED)
    }

    private static func lastReason(_ action: String) -> String { "\(action): \(String(cString: strerror(errno)))" }
}
