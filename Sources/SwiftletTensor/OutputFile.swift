// Writes a file beside its final name and renames it when it is complete: a reader never sees half a model.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file being written. Without `commit()` the temporary file is deleted with the object and the final name stays as it was.
package final class OutputFile {
    private let path: String
    private let temporaryPath: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var committed = false
    /// Bytes written so far, those still in the buffer included.
    package private(set) var offset = 0

    private static let bufferBytes = 1 << 20

    /// Creates the temporary file. Throws `SwiftletError.io`.
    package init(path: String) throws {
        self.path = path
        temporaryPath = "\(path).partial-\(getpid())-\(String(UInt32.random(in: .min ... .max), radix: 16))"
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw SwiftletError.io(
                path: temporaryPath, reason: "cannot be created: \(String(cString: strerror(errno)))",
                remedy: "Check that the folder exists, is writable and has room.")
        }
    }

    deinit {
        close(descriptor)
        if !committed { unlink(temporaryPath) }
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws {
        offset += bytes.count
        if buffer.count + bytes.count > Self.bufferBytes { try flush() }
        if bytes.count > Self.bufferBytes { try writeAll(bytes) } else { buffer.append(contentsOf: bytes) }
    }

    package func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    /// Zeros up to the next multiple of `alignment`.
    package func pad(to alignment: Int) throws {
        let rest = offset % alignment
        if rest != 0 { try write([UInt8](repeating: 0, count: alignment - rest)) }
    }

    /// Writes what is left and gives the file its final name, replacing one that is there.
    ///
    /// `synchronised` waits until the bytes are on the disk, so that a crash of the machine leaves the old file or the new one. Without it the
    /// name may come back with bytes missing: only for files whose reader checks every byte.
    package func commit(synchronised: Bool = true) throws {
        try flush()
        guard !synchronised || fsync(descriptor) == 0, rename(temporaryPath, path) == 0 else { throw failure("cannot be completed") }
        committed = true
    }

    private func flush() throws {
        try buffer.withUnsafeBytes { try writeAll($0) }
        buffer.removeAll(keepingCapacity: true)
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = platformWrite(descriptor, UnsafeRawBufferPointer(rebasing: rest))
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw failure("cannot be written") }
            rest = rest.dropFirst(written)
        }
    }

    private func failure(_ action: String) -> SwiftletError {
        .io(
            path: path, reason: "\(action): \(String(cString: strerror(errno)))",
            remedy: "Check that the disk has room and the folder is writable.")
    }
}

/// `write(2)` under a name that does not clash with the methods above.
private func platformWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    write(descriptor, bytes.baseAddress, bytes.count)
}
