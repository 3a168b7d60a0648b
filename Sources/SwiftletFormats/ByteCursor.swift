// A position in the bytes of a file. Every read is checked against what is left before anything is touched or reserved.
import SwiftletTensor

#if _endian(big)
    #error("The readers copy little-endian arrays as they are; a big-endian machine needs a swap here.")
#endif

/// Reads little-endian values one after another and throws `SwiftletError.malformed`, with the byte offset, when the file ends first.
///
/// Does not own the bytes: the caller keeps their `FileImage` alive.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    let file: String
    private(set) var offset = 0

    init(_ image: FileImage) {
        bytes = image.bytes
        file = image.name
    }

    var remaining: Int { bytes.count - offset }

    /// The next integer, unaligned. `what` names it in the error.
    mutating func read<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, _ what: @autoclosure () -> String) throws -> Value {
        try need(MemoryLayout<Value>.size, what())
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)
        offset += MemoryLayout<Value>.size
        return Value(littleEndian: value)
    }

    /// A 64-bit count of things that each take at least `minimumBytes` bytes: refused when the rest of the file cannot hold them.
    mutating func readCount(minimumBytes: Int, _ what: @autoclosure () -> String) throws -> Int {
        let start = offset
        let raw = try read(UInt64.self, what())
        guard raw <= UInt64(remaining / minimumBytes) else {
            throw malformed(at: start, "\(what()) is \(raw), more than the \(remaining) bytes left can hold")
        }
        return Int(raw)
    }

    /// The range of the next `count` bytes, skipped over.
    mutating func take(_ count: Int, _ what: @autoclosure () -> String) throws -> Range<Int> {
        try need(count, what())
        defer { offset += count }
        return offset..<offset + count
    }

    /// A string with a 64-bit length in front. Throws when it is too long for the file or not UTF-8.
    mutating func readString(_ what: @autoclosure () -> String) throws -> String {
        let length = try readCount(minimumBytes: 1, "the length of \(what())")
        let range = try take(length, what())
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw malformed(at: range.lowerBound, "\(what()) is not valid UTF-8")
        }
        return text
    }

    /// `count` values copied as they lie in the file. The caller has checked the count with `readCount`.
    mutating func readArray<Value: BitwiseCopyable>(_ type: Value.Type, count: Int, _ what: @autoclosure () -> String) throws -> [Value] {
        let range = try take(count * MemoryLayout<Value>.stride, what())
        // An array without capacity is one object that all threads share, and the initialiser below writes its count.
        if count == 0 { return [] }
        return [Value](unsafeUninitializedCapacity: count) { target, initialized in
            UnsafeMutableRawBufferPointer(target).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range]))
            initialized = count
        }
    }

    private func need(_ count: Int, _ what: @autoclosure () -> String) throws {
        guard count <= remaining else {
            throw malformed(at: offset, "the file ends inside \(what()): \(count) bytes needed, \(remaining) left")
        }
    }

    func malformed(at offset: Int, _ reason: String) -> SwiftletError {
        .malformed(file: file, offset: offset, reason: reason, remedy: "Download or convert the model again.")
    }
}
