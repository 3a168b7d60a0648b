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
    /// What the file system knew of the file when it was opened.
    package let identity: FileIdentity

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
        identity = FileIdentity(information)
    }

    /// How far from a touched page Linux maps others: 64 KiB unless an administrator changed it.
    private static let faultAroundBytes = 64 * 1024

    deinit { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }

    /// All bytes of the file. The pointer is valid while the object lives.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

    /// Gives the pages that `range` (bytes) touches back to the system; they are read again from the file when touched.
    ///
    /// `withNeighbours`: also the pages the system maps around one that is touched, because they were in memory anyway.
    package func release(_ range: Range<Int>, withNeighbours: Bool = false) {
        guard !range.isEmpty else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let around = withNeighbours ? Self.faultAroundBytes : 0
        let first = max(0, range.lowerBound - around) / page * page
        let end = min(byteCount, range.upperBound + around)
        madvise(UnsafeMutableRawPointer(mutating: base + first), end - first, MADV_DONTNEED)
    }

    private static func lastReason(_ action: String) -> String { "\(action): \(String(cString: strerror(errno)))" }
}

/// What tells a file from what it was before: any write to it, and any other file in its place, changes one of these.
///
/// The change time is the one that no program sets: copying a file with its modification time, or setting that back, does not hide a change.
package struct FileIdentity: Sendable, Equatable {
    package let byteCount: Int
    package let inode: UInt64
    /// Nanoseconds since 1970.
    package let modified: Int64
    package let changed: Int64

    init(_ information: stat) {
        func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) }
        byteCount = Int(information.st_size)
        inode = UInt64(information.st_ino)
        #if os(Linux) || os(Android)
            modified = nanoseconds(information.st_mtim)
            changed = nanoseconds(information.st_ctim)
        #else
            modified = nanoseconds(information.st_mtimespec)
            changed = nanoseconds(information.st_ctimespec)
        #endif
    }
}
