// GPT-2's spelling of bytes as printable characters, in which byte-level vocabularies are stored: "Ġworld" is " world".
//
// The bytes 0x21–0x7E, 0xA1–0xAC and 0xAE–0xFF stand for the scalars of their own number; the other 68, in order, for U+0100 and on.
// Source: github.com/openai/gpt-2, bytes_to_unicode.

enum ByteAlphabet {
    /// The byte that a scalar below 0x144 stands for, or -1.
    static let byteOfScalar: [Int16] = {
        var table = [Int16](repeating: -1, count: 0x144)
        var next = 0x100
        for byte in 0..<256 {
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                table[byte] = Int16(byte)
            } else {
                table[next] = Int16(byte)
                next += 1
            }
        }
        return table
    }()

    /// Decodes `text` into `output`, which has room for as many bytes. Returns how many were written,
    /// or nil when some character stands for no byte.
    @inline(__always)
    static func decode(_ text: UnsafeRawBufferPointer, _ table: UnsafeBufferPointer<Int16>, into output: UnsafeMutablePointer<UInt8>)
        -> Int?
    {
        var index = 0
        var written = 0
        let count = text.count
        while index < count {
            var scalar = Int(text[index])
            index += 1
            if scalar >= 0x80 {
                // The alphabet ends at U+0143: two bytes of UTF-8, and the first is 0xC2 to 0xC5.
                guard scalar >= 0xC2, scalar <= 0xC5, index < count, text[index] & 0xC0 == 0x80 else { return nil }
                scalar = (scalar & 0x1F) << 6 | Int(text[index] & 0x3F)
                index += 1
            }
            guard scalar < table.count, table[scalar] >= 0 else { return nil }
            output[written] = UInt8(truncatingIfNeeded: table[scalar])
            written += 1
        }
        return written
    }
}
