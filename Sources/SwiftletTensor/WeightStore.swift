// Where the bytes of a weight live: a range of a mapped file, or memory owned by a pass or a test.

/// The bytes of one weight, kept alive by their owner.
///
/// `@unchecked Sendable`: the bytes are never written after construction.
public struct WeightStore: @unchecked Sendable {
    /// The bytes in the weight's `WeightFormat`, row after row. Valid while a copy of this store lives: keep the store, not the pointer,
    /// or use `withBytes` (the compiler may release a store after its last use).
    package let bytes: UnsafeRawBufferPointer
    private let owner: AnyObject
    private let mapping: (file: MappedFile, range: Range<Int>)?

    /// A range of a mapped file. The range must lie inside the file (formats check this before they build a store).
    package init(file: MappedFile, range: Range<Int>) {
        bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
        owner = file
        mapping = (file, range)
    }

    /// Bytes inside `owner`, which keeps them alive and unchanged.
    package init(bytes: UnsafeRawBufferPointer, owner: AnyObject) {
        self.bytes = bytes
        self.owner = owner
        mapping = nil
    }

    /// Memory of its own, filled once by `fill`.
    package init(byteCount: Int, fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
        let memory = try AlignedMemory(byteCount: byteCount, purpose: "weights")
        try fill(memory.bytes)
        bytes = UnsafeRawBufferPointer(memory.bytes)
        owner = memory
        mapping = nil
    }

    /// A copy of `values` as dense elements of their own type.
    package init<Element: BitwiseCopyable>(_ values: [Element]) throws {
        try self.init(byteCount: values.count * MemoryLayout<Element>.stride) { target in
            values.withUnsafeBytes { target.copyMemory(from: $0) }
        }
    }

    private init(bytes: UnsafeRawBufferPointer, owner: AnyObject, mapping: (file: MappedFile, range: Range<Int>)?) {
        self.bytes = bytes
        self.owner = owner
        self.mapping = mapping
    }

    /// A part of the bytes, kept alive by the same owner. The range must lie inside the store.
    package func slice(_ range: Range<Int>) -> WeightStore {
        WeightStore(
            bytes: UnsafeRawBufferPointer(rebasing: bytes[range]), owner: owner,
            mapping: mapping.map { ($0.file, $0.range.lowerBound + range.lowerBound..<$0.range.lowerBound + range.upperBound) })
    }

    public var byteCount: Int { bytes.count }

    /// Calls `body` with the bytes, which stay valid during the call.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(owner) { try body(bytes) }
    }

    /// The file the bytes are mapped from and their place in it, nil for bytes in memory.
    package var source: (file: MappedFile, range: Range<Int>)? { mapping }

    /// Lets the system drop the mapped pages of `part` (nil: all): called once a backend holds its own packed copy.
    ///
    /// `withNeighbours`: also what the system brought in around them, where the store is small and lies among large ones.
    package func releasePages(_ part: Range<Int>? = nil, withNeighbours: Bool = false) {
        guard let mapping else { return }
        let part = part ?? 0..<mapping.range.count
        let range = mapping.range.lowerBound + part.lowerBound..<mapping.range.lowerBound + part.upperBound
        mapping.file.release(range, withNeighbours: withNeighbours)
    }
}
