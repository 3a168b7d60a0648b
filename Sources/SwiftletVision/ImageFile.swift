// Pictures out of files: the format is known by the first bytes, the size is checked before memory is asked for, and cameras' notes on which
// side is up are followed.
import CImageCodecs
import SwiftletTensor

/// What a picture may at most ask for.
public struct ImageLimits: Sendable, Hashable {
    /// Width × height. Each pixel takes up to 4 bytes, and up to 12 while a progressive JPEG is decoded.
    public var maximumPixels: Int
    /// Passes over the whole image in a progressive JPEG; real ones have about ten.
    public var maximumScans: Int

    public init(maximumPixels: Int = 100_000_000, maximumScans: Int = 100) {
        self.maximumPixels = maximumPixels
        self.maximumScans = maximumScans
    }
}

extension Image {
    /// Reads a JPEG or PNG file: grey, RGB or RGBA as it is stored, CMYK as RGB, of 16-bit levels the upper 8 bits.
    ///
    /// - Parameter upright: turns the picture as its EXIF orientation says (`false`: rows as they are stored).
    /// - Throws: `SwiftletError.io` when the file cannot be opened, `.malformed` when it is damaged or cut off, `.unsupported` when it is
    ///   neither JPEG nor PNG or exceeds `limits`.
    public init(path: String, upright: Bool = true, limits: ImageLimits = ImageLimits()) throws {
        let file = try MappedFile(path: path)
        self = try withExtendedLifetime(file) { try Self.decode(file.bytes, name: path, upright: upright, limits: limits) }
    }

    /// Reads a JPEG or PNG file that is in memory, as `init(path:)`. `name` stands for the path in errors.
    public init(encoded bytes: some Collection<UInt8>, name: String, upright: Bool = true, limits: ImageLimits = ImageLimits()) throws {
        self = try Array(bytes).withUnsafeBytes { try Self.decode($0, name: name, upright: upright, limits: limits) }
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer, name: String, upright: Bool, limits: ImageLimits) throws -> Image {
        let file = EncodedImage(bytes: bytes, name: name)
        let image: Image
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
            image = try file.decodeJPEG(limits)
        } else if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            image = try file.decodePNG(limits)
        } else {
            throw SwiftletError.unsupported(
                file: name, place: "the first bytes", reason: "it is neither JPEG nor PNG", remedy: "Convert the picture to JPEG or PNG.")
        }
        return upright ? try image.oriented(ImageOrientation(encoded: bytes)) : image
    }

    /// The picture as a PNG file in memory.
    public func pngBytes() throws -> [UInt8] {
        var message = ic_message()
        var encoded: [UInt8] = []
        let status = withLevels { levels in
            withUnsafeMutablePointer(to: &encoded) { target in
                ic_png_encode(
                    levels.baseAddress, UInt32(width), UInt32(height), UInt32(format.channels),
                    { context, bytes, count in
                        guard let target = context?.assumingMemoryBound(to: [UInt8].self) else { return 1 }
                        target.pointee.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
                        return 0
                    }, target, &message)
            }
        }
        guard status == 0 else {
            throw SwiftletError.outOfMemory(bytes: pixels.byteCount, purpose: "a PNG file (libpng: \(message.reason))")
        }
        return encoded
    }

    /// Writes the picture as a PNG file; it appears under its name when it is complete. Throws `SwiftletError.io` when it cannot be written.
    public func writePNG(to path: String) throws {
        let bytes = try pngBytes()
        let file = try OutputFile(path: path)
        try file.write(bytes)
        try file.commit()
    }
}

/// The bytes of a picture and the two decoders of CImageCodecs.
private struct EncodedImage {
    let bytes: UnsafeRawBufferPointer
    let name: String

    func decodeJPEG(_ limits: ImageLimits) throws -> Image {
        var info = ic_info()
        var message = ic_message()
        let source = bytes.bindMemory(to: UInt8.self)
        guard ic_jpeg_info(source.baseAddress, source.count, &info, &message) == 0 else { throw malformed("libjpeg", message) }
        let size = try checkedSize(info, limits)
        let isInk = info.channels == 4
        let image = try Image(size: size, format: format(info.channels)) { target in
            guard
                ic_jpeg_decode(source.baseAddress, source.count, &info, Int32(clamping: limits.maximumScans), target.baseAddress, &message)
                    == 0
            else { throw malformed("libjpeg", message) }
        }
        return isInk ? try image.withoutInk(inverted: info.inverted_ink != 0) : image
    }

    func decodePNG(_ limits: ImageLimits) throws -> Image {
        var info = ic_info()
        var message = ic_message()
        let source = bytes.bindMemory(to: UInt8.self)
        guard ic_png_info(source.baseAddress, source.count, &info, &message) == 0 else { throw malformed("libpng", message) }
        let size = try checkedSize(info, limits)
        // Deflate makes at most 1032 bytes of one, so a header that claims more than the file can hold needs no memory to be refused.
        guard size.width * size.height / 8 * Int(info.stored_bits) / 1032 <= bytes.count else {
            throw SwiftletError.malformed(
                file: name, offset: 16, reason: "\(bytes.count) bytes cannot hold \(size) pixels", remedy: remedy)
        }
        return try Image(size: size, format: format(info.channels)) { target in
            guard ic_png_decode(source.baseAddress, source.count, &info, target.baseAddress, &message) == 0 else {
                throw malformed("libpng", message)
            }
        }
    }

    private func format(_ channels: UInt32) -> PixelFormat { channels == 1 ? .gray : channels == 3 ? .rgb : .rgba }

    private func checkedSize(_ info: ic_info, _ limits: ImageLimits) throws -> ImageSize {
        let size = ImageSize(width: Int(info.width), height: Int(info.height))
        guard max(size.width, size.height) <= Image.maximumSide, size.width * size.height <= limits.maximumPixels else {
            throw SwiftletError.unsupported(
                file: name, place: "the picture's size", reason: "it is \(size), more than \(limits.maximumPixels) pixels",
                remedy: "Make the picture smaller, or raise the limit.")
        }
        return size
    }

    private let remedy = "Save the picture again."

    private func malformed(_ library: String, _ message: ic_message) -> SwiftletError {
        .malformed(file: name, offset: 0, reason: "\(library): \(message.reason)", remedy: remedy)
    }
}

extension ic_message {
    fileprivate var reason: String {
        let text = withUnsafeBytes(of: self.text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return text.isEmpty ? "no memory" : text
    }
}

extension Image {
    /// Four channels of ink (cyan, magenta, yellow, black) as RGB, as Pillow's `convert` does it without a colour profile: what the black leaves
    /// is taken away in proportion to each ink.
    fileprivate func withoutInk(inverted: Bool) throws -> Image {
        try withLevels { source in
            try Image(size: size, format: .rgb) { target in
                let flip: UInt8 = inverted ? 255 : 0
                for index in 0..<width * height {
                    let left = 255 - Int(source[index * 4 + 3] ^ flip)
                    for channel in 0..<3 {
                        // ink × left / 255, rounded without a division
                        let product = Int(source[index * 4 + channel] ^ flip) * left + 128
                        target[index * 3 + channel] = UInt8(clamping: left - (product + product >> 8) >> 8)
                    }
                }
            }
        }
    }
}
