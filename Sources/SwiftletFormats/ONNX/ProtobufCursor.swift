// Protocol buffers on the wire: a message is a run of fields, each a tag (number << 3 | wire type) and its content.
// Source: protobuf.dev/programming-guides/encoding.
import SwiftletTensor

/// One field of a message: where its tag starts and where its content lies, both in bytes of the file.
struct ProtobufField {
    enum Kind { case varint, fixed64, bytes, fixed32 }

    let number: Int
    let kind: Kind
    let start: Int
    /// For `bytes` without the length in front.
    let content: Range<Int>
}

/// Reads the fields of one message after another. Every length is held against the end of the message before it is used.
///
/// Does not own the bytes: the caller keeps their `FileImage` alive.
struct ProtobufCursor {
    let bytes: UnsafeRawBufferPointer
    let file: String
    private var offset: Int
    private let end: Int

    /// The message that lies in `range` of `bytes`, which must be inside them.
    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>, file: String) {
        self.bytes = bytes
        self.file = file
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next field, or nil at the end of the message. Throws `SwiftletError.malformed` when it does not fit the message.
    mutating func next() throws -> ProtobufField? {
        guard offset < end else { return nil }
        let start = offset
        let tag = try varint("a field's tag")
        guard let number = Int(exactly: tag >> 3), (1..<1 << 29).contains(number) else {
            throw malformed(at: start, "\(tag >> 3) is no field number")
        }
        let kind: ProtobufField.Kind, length: UInt64
        switch tag & 7 {
        case 0:
            let content = offset
            _ = try varint("field \(number)")
            return ProtobufField(number: number, kind: .varint, start: start, content: content..<offset)
        case 1: (kind, length) = (.fixed64, 8)
        case 2: (kind, length) = (.bytes, try varint("the length of field \(number)"))
        case 5: (kind, length) = (.fixed32, 4)
        default: throw malformed(at: start, "field \(number) has the wire type \(tag & 7), which ONNX does not use")
        }
        guard length <= UInt64(end - offset) else {
            throw malformed(at: offset, "field \(number) needs \(length) bytes; its message has \(end - offset) left")
        }
        let content = offset..<offset + Int(length)
        offset = content.upperBound
        return ProtobufField(number: number, kind: kind, start: start, content: content)
    }

    /// Seven bits a byte, lowest first; the top bit says that another byte follows. Ten bytes at most.
    private mutating func varint(_ what: @autoclosure () -> String) throws -> UInt64 {
        let start = offset
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 70, by: 7) {
            guard offset < end else { throw malformed(at: start, "the message ends inside \(what())") }
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << UInt64(shift)
            if byte < 0x80 { return value }
        }
        throw malformed(at: start, "\(what()) has more than ten bytes")
    }

    func malformed(at offset: Int, _ reason: String) -> SwiftletError {
        .malformed(file: file, offset: offset, reason: reason, remedy: "Check that this is an ONNX file and that it is whole.")
    }
}
