// The chunks of a RIFF/WAVE file up to its samples:
//
//     "RIFF" u32 size "WAVE" | chunks: 4-byte name, u32 size, bytes, one byte of padding after an odd size
//     "fmt " u16 format, u16 channels, u32 rate, u32 bytes a second, u16 bytes a frame, u16 bits a sample
//            [u16 size of what follows, u16 valid bits, u32 loudspeakers, 16-byte format: its first two bytes are the format]
//     "data" the samples, a frame (one sample of each channel) after another
//
// Other chunks are skipped. The size of the whole file is not read: programs that write to a pipe leave it wrong, and it tells nothing new.
// Sources: Microsoft, "Multiple channel audio data and WAVE files"; RFC 2361; ITU-R BS.2088 names RF64, which is refused here.
import SwiftletTensor

struct WAVHeader {
    let sampleRate: Int
    let channels: Int
    let encoding: WAVEncoding
    /// Where the samples lie in the file: whole frames.
    let data: Range<Int>

    /// What a program that cannot know the size writes: the samples go on to the end of the file.
    private static let unknownSize = UInt32.max
    /// The bytes behind the format in the long form of "fmt ".
    private static let formatTail: [UInt8] = [0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xAA, 0x00, 0x38, 0x9B, 0x71]
    private static let (integers, floats, extensible) = (UInt16(1), UInt16(3), UInt16(0xFFFE))

    private typealias Format = (sampleRate: Int, channels: Int, encoding: WAVEncoding)

    /// Reads the chunks up to the samples. The caller keeps the image alive.
    init(_ image: FileImage) throws {
        var cursor = ByteCursor(image)
        let file = image.name
        func malformed(_ offset: Int, _ reason: String) -> SwiftletError {
            .malformed(file: file, offset: offset, reason: reason, remedy: "Record or convert the audio again.")
        }
        guard cursor.remaining >= 12 else { throw malformed(0, "the file ends inside its first 12 bytes") }
        let form = try Self.name(&cursor)
        guard form == "RIFF" else {
            guard ["RIFX", "RF64", "BW64"].contains(form) else { throw malformed(0, "the file does not start with \"RIFF\"") }
            throw SwiftletError.unsupported(
                file: file, place: form, reason: "only RIFF files are read", remedy: "Convert it: ffmpeg -i IN.wav -rf64 never OUT.wav.")
        }
        _ = try cursor.read(UInt32.self, "the size")
        guard try Self.name(&cursor) == "WAVE" else { throw malformed(8, "the RIFF file is not of kind \"WAVE\"") }

        var format: Format?
        while true {
            let start = cursor.offset
            guard cursor.remaining >= 8 else { throw malformed(start, "the file ends before its \"data\" chunk") }
            let name = try Self.name(&cursor)
            let size = try cursor.read(UInt32.self, "a size")
            if name == "data" {
                guard let format else { throw malformed(start, "the \"data\" chunk comes before \"fmt \"") }
                let frameBytes = format.channels * format.encoding.byteCount
                let isUnknown = size == Self.unknownSize
                let bytes = isUnknown ? cursor.remaining / frameBytes * frameBytes : Int(size)
                guard bytes <= cursor.remaining else {
                    throw malformed(start, "the \"data\" chunk has \(bytes) bytes, of which \(cursor.remaining) are there")
                }
                guard bytes % frameBytes == 0 else {
                    throw malformed(start, "the \"data\" chunk has \(bytes) bytes, no multiple of a frame of \(frameBytes)")
                }
                (sampleRate, channels, encoding) = format
                data = cursor.offset..<cursor.offset + bytes
                return
            }
            guard Int(size) <= cursor.remaining else {
                throw malformed(start, "the chunk \"\(name)\" has \(size) bytes, of which \(cursor.remaining) are there")
            }
            let body = try cursor.take(Int(size), "a chunk")
            if name == "fmt " {
                guard format == nil else { throw malformed(start, "there is a second chunk \"fmt \"") }
                format = try Self.format(image, body, malformed)
            }
            if size % 2 == 1 && cursor.remaining > 0 { _ = try cursor.take(1, "padding") }
        }
    }

    private static func name(_ cursor: inout ByteCursor) throws -> String {
        let range = try cursor.take(4, "a chunk's name")
        return String(decoding: cursor.bytes[range], as: Unicode.ASCII.self)
    }

    private static func format(_ image: FileImage, _ body: Range<Int>, _ malformed: (Int, String) -> SwiftletError) throws -> Format {
        guard body.count >= 16 else { throw malformed(body.lowerBound, "the chunk \"fmt \" has \(body.count) bytes, less than 16") }
        func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, _ offset: Int) -> Value {
            Value(littleEndian: image.bytes.loadUnaligned(fromByteOffset: body.lowerBound + offset, as: type))
        }
        var tag = number(UInt16.self, 0)
        let (channels, rate) = (Int(number(UInt16.self, 2)), Int(number(UInt32.self, 4)))
        let (frameBytes, bits) = (Int(number(UInt16.self, 12)), Int(number(UInt16.self, 14)))
        guard channels > 0 else { throw malformed(body.lowerBound + 2, "there are no channels") }
        guard rate > 0 else { throw malformed(body.lowerBound + 4, "the sample rate is 0") }
        if tag == extensible {
            guard body.count >= 40, number(UInt16.self, 16) >= 22 else {
                throw malformed(body.lowerBound + 16, "the long form of the chunk \"fmt \" is too short")
            }
            guard image.bytes[body.lowerBound + 26..<body.lowerBound + 40].elementsEqual(formatTail) else {
                throw unsupported(image, "an unknown sub-format")
            }
            tag = number(UInt16.self, 24)
        }
        // A sample takes whole bytes; one of fewer bits stands in the upper ones, so the container alone decides what it is worth.
        guard frameBytes > 0, frameBytes % channels == 0, bits > (frameBytes / channels - 1) * 8, bits <= frameBytes / channels * 8 else {
            throw malformed(body.lowerBound + 12, "\(channels) channels of \(bits) bits do not make a frame of \(frameBytes) bytes")
        }
        let encoding: WAVEncoding? =
            switch (tag, frameBytes / channels, bits) {
            case (integers, 1, _): .int8
            case (integers, 2, _): .int16
            case (integers, 3, _): .int24
            case (integers, 4, _): .int32
            case (floats, 4, 32): .float32
            case (floats, 8, 64): .float64
            default: nil
            }
        guard let encoding else { throw unsupported(image, "\(bits) bits a sample in format \(tag) (\(formatName(tag)))") }
        return (rate, channels, encoding)
    }

    private static func unsupported(_ image: FileImage, _ what: String) -> SwiftletError {
        .unsupported(
            file: image.name, place: "fmt", reason: "the samples are \(what)",
            remedy: "Convert it to plain samples: ffmpeg -i IN.wav -c:a pcm_s16le OUT.wav.")
    }

    private static func formatName(_ tag: UInt16) -> String {
        switch tag {
        case integers: "integers"
        case floats: "floats"
        case 2, 0x11: "ADPCM"
        case 6: "A-law"
        case 7: "mu-law"
        case 0x55: "MP3"
        default: "compressed"
        }
    }

    /// The bytes in front of the samples of a file to be written. More than two channels take the long form, without naming loudspeakers.
    static func bytes(encoding: WAVEncoding, channels: UInt16, sampleRate: UInt32, frames: UInt32, dataBytes: UInt32) -> [UInt8] {
        let tag = encoding.isFloat ? floats : integers
        let frameBytes = UInt16(Int(channels) * encoding.byteCount)
        var format: [UInt8] = []
        format.append(little: channels > 2 ? extensible : tag)
        format.append(little: channels)
        format.append(little: sampleRate)
        format.append(little: sampleRate &* UInt32(frameBytes))  // of no use above 4 GiB a second, and nobody reads it
        format.append(little: frameBytes)
        format.append(little: UInt16(encoding.byteCount * 8))
        if channels > 2 {
            format.append(little: UInt16(22))
            format.append(little: UInt16(encoding.byteCount * 8))
            format.append(little: UInt32(0))
            format.append(little: tag)
            format += formatTail
        } else if encoding.isFloat {
            format.append(little: UInt16(0))
        }
        var chunks = Array("WAVEfmt ".utf8)
        chunks.append(little: UInt32(format.count))
        chunks += format
        if encoding.isFloat {
            // What is not plain integers says how many frames there are.
            chunks += Array("fact".utf8)
            chunks.append(little: UInt32(4))
            chunks.append(little: frames)
        }
        chunks += Array("data".utf8)
        chunks.append(little: dataBytes)
        var bytes = Array("RIFF".utf8)
        bytes.append(little: UInt32(chunks.count) + dataBytes + dataBytes % 2)
        return bytes + chunks
    }
}

extension [UInt8] {
    fileprivate mutating func append(little value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
