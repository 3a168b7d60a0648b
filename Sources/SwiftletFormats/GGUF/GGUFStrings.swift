// A vocabulary holds up to 262,144 strings. Opening a file must not create them: this view keeps where each one starts and decodes on demand.
import SwiftletTensor

/// The strings of a GGUF array, decoded one at a time from the bytes of the file.
///
/// Elements are Swift strings; a tokenizer that wants bytes (a token need not be valid UTF-8) calls `withBytes(at:_:)`.
/// Reading element `i` takes constant time.
public struct GGUFStrings: RandomAccessCollection, Sendable {
    private let image: FileImage
    /// Byte offsets of the length prefixes, and one more: the end. Element `i` is `starts[i] + 8 ..< starts[i + 1]`.
    /// Lengths are never read from the file a second time, so a file that changes under the mapping cannot move a read outside it.
    private let starts: [Int]

    init(image: FileImage, starts: [Int]) {
        self.image = image
        self.starts = starts
    }

    /// Strings in memory, for a writer or a test.
    public init(_ strings: [String]) {
        var encoded: [UInt8] = []
        var starts = [0]
        for string in strings {
            withUnsafeBytes(of: UInt64(string.utf8.count).littleEndian) { encoded.append(contentsOf: $0) }
            encoded.append(contentsOf: string.utf8)
            starts.append(encoded.count)
        }
        self.init(image: FileImage(copying: encoded, name: "strings in memory"), starts: starts)
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { starts.count - 1 }

    /// The string at `position`. Bytes that are not UTF-8 show as U+FFFD; `withBytes(at:_:)` gives them unchanged.
    public subscript(position: Int) -> String { string(at: position) }

    /// The string at `index`. Bytes that are not UTF-8 show as U+FFFD; `withBytes(at:_:)` gives them unchanged.
    public func string(at index: Int) -> String {
        withBytes(at: index) { String(decoding: $0, as: UTF8.self) }
    }

    /// Calls `body` with the bytes of the string at `index`; the pointer is valid during the call.
    public func withBytes<Result>(at index: Int, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(image) { try body(bytes(at: index)) }
    }

    /// The bytes of the string at `index`, valid while this value or the file it came from lives.
    package func bytes(at index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: image.bytes[starts[index] + 8..<starts[index + 1]])
    }

    /// The array as it lies in a file: each string behind its 64-bit length. Valid while this value lives.
    package var encodedBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: image.bytes[starts[0]..<starts[starts.count - 1]])
    }
}

extension GGUFStrings: Equatable {
    /// Equal when all bytes are equal.
    public static func == (left: GGUFStrings, right: GGUFStrings) -> Bool {
        withExtendedLifetime((left.image, right.image)) {
            left.count == right.count && left.encodedBytes.elementsEqual(right.encodedBytes)
        }
    }
}
