// What swift-protobuf gets to decode: the model without the bytes of its tensors.
//
// swift-protobuf copies every `bytes` field it decodes, and an ONNX file is nearly all `raw_data`. So before it sees the model, a walk over the
// mapped file writes a second, small message, the skeleton: the same messages and fields, but the `raw_data` of a tensor is seventeen bytes that
// tell where its elements lie in the file (offset and count, u64 each, little-endian, and the number of the field they are in). The decoded
// tensor thereby carries its place with it, wherever in nested graphs and functions it stands, the bytes stay in the mapped file, and no second
// list has to be matched with the decoded model. `float_data` and `double_data` are, packed as all writers pack them, the same bytes as
// `raw_data` would be, and become such a `raw_data` too: older exporters keep all their weights there.
//
// The walk knows which fields of which message the reader uses; all others (documentation, training, annotations, device placement, whatever
// a newer version brings) are left out, so they cost neither memory nor time. It counts and limits what swift-protobuf would turn into objects, and how deep
// they nest, so that a small hostile file cannot exhaust memory or stack. Lengths in the skeleton take five bytes, room for any, so that they can be
// written after the content they count; decoders accept that.
//
// The other typed arrays (`int32_data`, `int64_data`, ...) are varints, which swift-protobuf decodes: exporters use them for small constants.
// Source of the field numbers: onnx-ml.proto of github.com/onnx/onnx.
import SwiftletTensor

/// The messages of an ONNX file that the walk descends into, each with the fields the reader uses.
private enum MessageKind {
    case model, graph, node, attribute, tensor, sparseTensor, function, operatorSet, entry
    case valueInfo, type, tensorType, sequenceType, mapType, optionalType, shape, dimension

    enum FieldUse {
        /// Copied as it is.
        case plain
        case message(MessageKind)
        /// Elements of a tensor: replaced by their place in the file.
        case elements
    }

    /// What becomes of a field, nil for one that is left out.
    func use(of field: Int) -> FieldUse? {
        switch (self, field) {
        case (.model, 1...5): .plain
        case (.model, 7): .message(.graph)
        case (.model, 8): .message(.operatorSet)
        case (.model, 14): .message(.entry)
        case (.model, 25): .message(.function)

        case (.graph, 1): .message(.node)
        case (.graph, 2): .plain
        case (.graph, 5): .message(.tensor)
        case (.graph, 11...13): .message(.valueInfo)
        case (.graph, 15): .message(.sparseTensor)

        case (.node, 1...4), (.node, 7...8): .plain
        case (.node, 5): .message(.attribute)

        case (.attribute, 1...4), (.attribute, 7...9), (.attribute, 20...21): .plain
        case (.attribute, 5), (.attribute, 10): .message(.tensor)
        case (.attribute, 6), (.attribute, 11): .message(.graph)
        case (.attribute, 14...15): .message(.type)
        case (.attribute, 22...23): .message(.sparseTensor)

        case (.tensor, 1...3), (.tensor, 5...8), (.tensor, 11), (.tensor, 14): .plain
        case (.tensor, 4), (.tensor, 9...10): .elements
        case (.tensor, 13): .message(.entry)

        case (.sparseTensor, 1...2): .message(.tensor)
        case (.sparseTensor, 3): .plain

        case (.function, 1), (.function, 4...6), (.function, 10), (.function, 13): .plain
        case (.function, 7): .message(.node)
        case (.function, 9): .message(.operatorSet)
        case (.function, 11): .message(.attribute)
        case (.function, 12): .message(.valueInfo)

        case (.operatorSet, 1...2), (.entry, 1...2): .plain

        case (.valueInfo, 1): .plain
        case (.valueInfo, 2): .message(.type)
        case (.type, 1), (.type, 8): .message(.tensorType)
        case (.type, 4): .message(.sequenceType)
        case (.type, 5): .message(.mapType)
        case (.type, 7): .plain
        case (.type, 9): .message(.optionalType)
        case (.tensorType, 1), (.mapType, 1), (.dimension, 1...2): .plain
        case (.tensorType, 2): .message(.shape)
        case (.shape, 1): .message(.dimension)
        case (.sequenceType, 1), (.optionalType, 1), (.mapType, 2): .message(.type)
        default: nil
        }
    }
}

/// The skeleton of one model, see above.
struct ONNXSkeleton {
    /// Messages within messages. A sub-graph in a sub-graph takes three levels: real models have few, and each costs stack.
    static let maximumDepth = 90
    /// Messages, strings and arrays that are handed on. The largest real models have some hundred thousand; each becomes an object.
    static let maximumFields = 1 << 22

    private(set) var message: [UInt8] = []
    private let image: FileImage
    private var fieldCount = 0

    /// Walks the whole file. Throws `SwiftletError.malformed` with a byte offset when it is not made of ONNX's messages.
    init(_ image: FileImage) throws {
        self.image = image
        try copy(.model, in: 0..<image.bytes.count, depth: 1)
    }

    private mutating func copy(_ kind: MessageKind, in range: Range<Int>, depth: Int) throws {
        var cursor = ProtobufCursor(image.bytes, range: range, file: image.name)
        guard depth <= Self.maximumDepth else {
            throw cursor.malformed(at: range.lowerBound, "messages are nested more than \(Self.maximumDepth) deep")
        }
        var hasElements = false
        while let field = try cursor.next() {
            guard let use = kind.use(of: field.number) else { continue }
            if field.kind == .bytes {
                fieldCount += 1
                guard fieldCount <= Self.maximumFields else {
                    throw cursor.malformed(at: field.start, "the model has more than \(Self.maximumFields) messages and strings")
                }
            }
            switch use {
            case .plain:
                message.append(contentsOf: UnsafeRawBufferPointer(rebasing: image.bytes[field.start..<field.content.upperBound]))
            case .message(let inner):
                try requireBytes(field, cursor)
                appendTag(field.number)
                let lengthAt = message.count
                message.append(contentsOf: repeatElement(0, count: 5))
                try copy(inner, in: field.content, depth: depth + 1)
                setLength(message.count - lengthAt - 5, at: lengthAt)
            case .elements where field.kind != .bytes && field.number != Place.rawData:
                // An array that is not packed has each element in a field of its own.
                message.append(contentsOf: UnsafeRawBufferPointer(rebasing: image.bytes[field.start..<field.content.upperBound]))
            case .elements:
                try requireBytes(field, cursor)
                // Some writers leave an empty field beside the one that counts.
                if field.content.isEmpty { continue }
                guard !hasElements else {
                    throw cursor.malformed(at: field.start, "the elements of a tensor are stored in more than one way")
                }
                hasElements = true
                appendTag(Place.rawData)
                Place(range: field.content, field: field.number).append(to: &message)
            }
        }
    }

    private func requireBytes(_ field: ProtobufField, _ cursor: ProtobufCursor) throws {
        guard field.kind == .bytes else { throw cursor.malformed(at: field.start, "field \(field.number) has the wrong wire type") }
    }

    private mutating func appendTag(_ number: Int) {
        var tag = number << 3 | 2
        while tag >= 0x80 {
            message.append(UInt8(tag & 0x7F | 0x80))
            tag >>= 7
        }
        message.append(UInt8(tag))
    }

    private mutating func setLength(_ length: Int, at position: Int) {
        for index in 0..<5 {
            let bits = UInt8(truncatingIfNeeded: length >> (7 * index)) & 0x7F
            message[position + index] = index < 4 ? bits | 0x80 : bits
        }
    }
}

extension ONNXSkeleton {
    /// Where the elements of a tensor lie, as the `raw_data` of a skeleton tells it.
    struct Place: Equatable {
        static let floatData = 4
        static let rawData = 9
        static let doubleData = 10
        private static let byteCount = 17

        /// In bytes of the file.
        let range: Range<Int>
        /// `rawData`, `floatData` or `doubleData`.
        let field: Int

        init(range: Range<Int>, field: Int) {
            self.range = range
            self.field = field
        }

        /// The place that the `raw_data` of a decoded tensor tells; nil when it tells none inside the file.
        init?(_ reference: some Collection<UInt8>, in image: FileImage) {
            guard reference.count == Self.byteCount else { return nil }
            var values: [UInt64] = [0, 0, 0]
            for (index, byte) in reference.enumerated() { values[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
            guard let offset = Int(exactly: values[0]), let count = Int(exactly: values[1]), offset <= image.bytes.count,
                count <= image.bytes.count - offset
            else { return nil }
            self.init(range: offset..<offset + count, field: Int(values[2]))
        }

        /// Writes the length and the bytes of the reference.
        func append(to message: inout [UInt8]) {
            message.append(UInt8(Self.byteCount))
            for value in [range.lowerBound, range.count] {
                withUnsafeBytes(of: UInt64(value).littleEndian) { message.append(contentsOf: $0) }
            }
            message.append(UInt8(field))
        }
    }
}
