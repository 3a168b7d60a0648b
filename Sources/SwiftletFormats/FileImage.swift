// The bytes a reader works on: a mapped file, or memory (a download, a resource of an app, a test's mutated file).
import SwiftletTensor

/// All bytes of one file, immutable and alive as long as the object.
///
/// `@unchecked Sendable`: the bytes are never written after construction.
final class FileImage: @unchecked Sendable {
    /// The path, or the name the caller gave to bytes in memory: what error messages say.
    let name: String
    let bytes: UnsafeRawBufferPointer
    /// The file, nil for bytes in memory.
    let mapping: MappedFile?

    init(path: String) throws {
        let file = try MappedFile(path: path)
        name = path
        bytes = file.bytes
        mapping = file
    }

    /// A copy of `contents`, exactly as long as they are, so that an address sanitizer sees every byte read past the end.
    init(copying contents: some Collection<UInt8>, name: String) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: contents.count, alignment: 64)
        memory.copyBytes(from: contents)
        self.name = name
        bytes = UnsafeRawBufferPointer(memory)
        mapping = nil
    }

    deinit {
        if mapping == nil { bytes.deallocate() }
    }

    /// The bytes of `range` as the home of a weight. The range must lie inside the file.
    func store(_ range: Range<Int>) -> WeightStore {
        if let mapping { return WeightStore(file: mapping, range: range) }
        return WeightStore(bytes: UnsafeRawBufferPointer(rebasing: bytes[range]), owner: self)
    }
}
