// The header of an .npy file: \x93NUMPY | u8 major, minor | header length (u16 in version 1, u32 in 2 and 3) | a Python dictionary
//
//     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
//
// then spaces and a newline up to a multiple of 64 bytes, then the elements. Versions 1 and 2 are Latin-1, version 3 is UTF-8; the three keys
// and every type read here are ASCII. A reader for exactly this dictionary, not for Python at large: it never nests.
// Source: NumPy, numpy/lib/_format_impl.py, "Format Version 1.0", "2.0", "3.0".
import SwiftletTensor

struct NPYHeader {
    let type: DType
    let shape: Shape
    /// Whether the bytes of an element lie in the opposite of the machine's order.
    let isSwapped: Bool
    /// Whether the first index runs fastest.
    let isFortranOrder: Bool
    /// Bytes from the start of the file to the first element.
    let dataOffset: Int

    static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// The first element of a written file lies at a multiple of this.
    static let alignment = 64

    /// Reads the header at the start of the file. The caller keeps the image alive.
    init(_ image: FileImage) throws {
        var text = NPYDictionary(bytes: image.bytes, file: image.name, position: 0, end: image.bytes.count)
        guard image.bytes.count >= 10, image.bytes.prefix(6).elementsEqual(Self.magic) else {
            throw text.malformed("the file does not start as an .npy file does", at: 0)
        }
        let (major, minor) = (image.bytes[6], image.bytes[7])
        guard (1...3).contains(major), minor == 0 else {
            throw SwiftletError.unsupported(
                file: image.name, place: "the .npy version", reason: "it is \(major).\(minor); versions 1.0, 2.0 and 3.0 are known",
                remedy: "Save the array with numpy.save.")
        }
        let lengthBytes = major == 1 ? 2 : 4
        guard image.bytes.count >= 8 + lengthBytes else { throw text.malformed("the file ends inside the header length", at: 8) }
        let length = (0..<lengthBytes).reduce(0) { $0 | Int(image.bytes[8 + $1]) << (8 * $1) }
        text.position = 8 + lengthBytes
        guard length <= image.bytes.count - text.position else {
            throw text.malformed("the header has \(length) bytes, \(image.bytes.count - text.position) are left", at: 8)
        }
        text.end = text.position + length
        dataOffset = text.end
        let entries = try text.read()
        (type, isSwapped) = try Self.elementType(entries.descr, in: image.name)
        isFortranOrder = entries.isFortranOrder
        shape = Shape(entries.shape)
    }

    /// The header of a tensor in C order, as `numpy.save` writes it, padding included.
    static func bytes(type: DType, shape: Shape) throws -> [UInt8] {
        guard let descr = type.npyDescription else {
            throw SwiftletError.unsupported(
                file: "an .npy file", place: "element type \(type.rawValue)", reason: "NumPy has no such type",
                remedy: "Write the elements as f32.")
        }
        var tuple = shape.dimensions.map(String.init).joined(separator: ", ")
        if shape.rank == 1 { tuple += "," }
        var text = Array("{'descr': '\(descr)', 'fortran_order': False, 'shape': (\(tuple)), }".utf8)
        // NumPy leaves room for the first dimension to grow to 21 digits in place.
        if let first = shape.dimensions.first {
            text += [UInt8](repeating: UInt8(ascii: " "), count: max(0, 21 - String(first).utf8.count))
        }
        // Only some ten thousand dimensions need the 32-bit length of version 2.
        let lengthBytes = text.count + 1 + alignment > Int(UInt16.max) ? 4 : 2
        let unpadded = 8 + lengthBytes + text.count + 1
        text += [UInt8](repeating: UInt8(ascii: " "), count: alignment - unpadded % alignment)
        text.append(UInt8(ascii: "\n"))
        let length = (0..<lengthBytes).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        return magic + [lengthBytes == 2 ? 1 : 2, 0] + length + text
    }

    private static func elementType(_ descr: String, in file: String) throws -> (DType, isSwapped: Bool) {
        let order = descr.first
        let name = descr.dropFirst()
        guard let type = DType.allCases.first(where: { $0.npyDescription?.dropFirst() == name }), let order, "<>=|".contains(order),
            order != "|" || type.byteCount == 1
        else {
            throw SwiftletError.unsupported(
                file: file, place: "dtype '\(descr)'", reason: "it is no plain number",
                remedy: "Convert it in NumPy: numpy.save(path, array.astype('float32')).")
        }
        return (type, order == ">" && type.byteCount > 1)
    }
}

extension DType {
    /// The `descr` of NumPy for little-endian elements; nil for types that NumPy does not have.
    fileprivate var npyDescription: String? {
        switch self {
        case .f64: "<f8"
        case .f32: "<f4"
        case .f16: "<f2"
        case .bf16: nil
        case .i64: "<i8"
        case .i32: "<i4"
        case .i16: "<i2"
        case .i8: "|i1"
        case .u64: "<u8"
        case .u32: "<u4"
        case .u16: "<u2"
        case .u8: "|u1"
        case .bool: "|b1"
        case .i4, .u4, .i2, .u2, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: nil
        }
    }
}

/// The dictionary of the header, as text between two positions of the file.
private struct NPYDictionary {
    let bytes: UnsafeRawBufferPointer
    let file: String
    var position: Int
    var end: Int

    mutating func read() throws -> (descr: String, isFortranOrder: Bool, shape: [Int]) {
        var descr: String?
        var order: Bool?
        var shape: [Int]?
        let start = position
        try expect("{", "the header")
        while !skip("}") {
            let place = position
            let key = try string("a key of the header")
            try expect(":", "the key '\(key)'")
            switch key {
            case "descr" where descr == nil: descr = try description()
            case "fortran_order" where order == nil: order = try truth()
            case "shape" where shape == nil: shape = try tuple()
            default: throw malformed("the header has the key '\(key)' where it has no place", at: place)
            }
            if !skip(",") {
                try expect("}", "the header")
                break
            }
        }
        skipSpaces()
        guard position == end else { throw malformed("the header goes on after its closing brace", at: position) }
        guard let descr, let order, let shape else {
            throw malformed("the header lacks one of 'descr', 'fortran_order' and 'shape'", at: start)
        }
        return (descr, order, shape)
    }

    /// A type; lists of fields are known to NumPy only.
    private mutating func description() throws -> String {
        skipSpaces()
        if position < end, bytes[position] == UInt8(ascii: "[") {
            throw SwiftletError.unsupported(
                file: file, place: "dtype", reason: "the elements are records of several fields", remedy: "Save each field on its own.")
        }
        return try string("the dtype")
    }

    private mutating func truth() throws -> Bool {
        for (word, value) in [("True", true), ("False", false)] where skip(word) { return value }
        throw malformed("'fortran_order' is neither True nor False", at: position)
    }

    private mutating func tuple() throws -> [Int] {
        var result: [Int] = []
        try expect("(", "'shape'")
        while !skip(")") {
            result.append(try integer())
            if !skip(",") {
                // (3) is an integer in Python, not a tuple.
                guard result.count > 1 else { throw malformed("'shape' is no tuple", at: position) }
                try expect(")", "'shape'")
                break
            }
        }
        return result
    }

    private mutating func integer() throws -> Int {
        skipSpaces()
        let start = position
        var value = 0
        while position < end, case let digit = Int(bytes[position]) - 0x30, (0...9).contains(digit) {
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (next, carry) = scaled.addingReportingOverflow(digit)
            guard !overflow, !carry else { throw malformed("a dimension is too large", at: start) }
            value = next
            position += 1
        }
        guard position > start else { throw malformed("'shape' holds something that is no dimension", at: start) }
        if position < end, bytes[position] == UInt8(ascii: "L") { position += 1 }  // as Python 2 wrote long integers
        return value
    }

    private mutating func string(_ what: String) throws -> String {
        skipSpaces()
        let start = position
        guard position < end, case let quote = bytes[position], quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
            throw malformed("\(what) is no string", at: start)
        }
        position += 1
        let first = position
        while position < end, bytes[position] != quote { position += 1 }
        guard position < end, let text = String(validating: bytes[first..<position], as: UTF8.self) else {
            throw malformed("\(what) does not end, or is not text", at: start)
        }
        position += 1
        return text
    }

    private mutating func skipSpaces() {
        while position < end, [0x20, 0x0A, 0x09, 0x0D].contains(bytes[position]) { position += 1 }
    }

    /// Skips spaces and `word`; false, and only spaces skipped, when something else stands there.
    private mutating func skip(_ word: String) -> Bool {
        skipSpaces()
        guard bytes[position..<end].starts(with: word.utf8) else { return false }
        position += word.utf8.count
        return true
    }

    private mutating func expect(_ word: String, _ what: String) throws {
        guard skip(word) else { throw malformed("'\(word)' is missing in or after \(what)", at: position) }
    }

    func malformed(_ reason: String, at offset: Int) -> SwiftletError {
        .malformed(file: file, offset: offset, reason: reason, remedy: "Save the array again with numpy.save.")
    }
}
