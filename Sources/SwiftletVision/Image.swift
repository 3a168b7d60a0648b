// A picture in memory: 8-bit levels, rows from top to bottom, channels interleaved, no padding.
import SwiftletTensor

/// What the channels of a pixel are, in their order in memory.
public enum PixelFormat: String, Sendable, Hashable, CaseIterable, Codable {
    case gray, rgb, rgba

    public var channels: Int {
        switch self {
        case .gray: 1
        case .rgb: 3
        case .rgba: 4
        }
    }
}

/// Width and height in pixels.
public struct ImageSize: Sendable, Hashable, Codable, CustomStringConvertible {
    public var width: Int
    public var height: Int

    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    public var description: String { "\(width)×\(height)" }
}

/// A picture of 8-bit levels 0...255. A value: copies share their pixels until one is changed.
///
///     let photo = try Image(path: "photo.jpg")                                   // upright, whatever the camera noted
///     let small = try photo.resized(to: ImageSize(width: 224, height: 224))
///     try small.writePNG(to: "small.png")
public struct Image: Sendable, Equatable {
    public let format: PixelFormat
    /// The levels: u8 `[height, width, channels]`.
    public let pixels: Tensor

    /// The most pixels a side of a picture can have.
    public static let maximumSide = 1 << 20

    public var width: Int { pixels.shape[1] }
    public var height: Int { pixels.shape[0] }
    public var size: ImageSize { ImageSize(width: width, height: height) }

    /// A picture of given levels, u8 `[height, width, channels]`.
    ///
    /// Throws `SwiftletError.invalidArgument` for another type or shape, or a side that is 0 or above `maximumSide`.
    public init(_ pixels: Tensor, format: PixelFormat) throws {
        guard pixels.type == .u8, pixels.shape.rank == 3, pixels.shape[2] == format.channels else {
            throw SwiftletError.invalidArgument(
                name: "pixels", reason: "\(pixels) is not u8 [height, width, \(format.channels)]", remedy: "Pass one row of pixels a line.")
        }
        try Self.check(ImageSize(width: pixels.shape[1], height: pixels.shape[0]), "pixels")
        self.format = format
        self.pixels = pixels
    }

    /// A copy of given levels, row after row, channels interleaved.
    public init(_ levels: some Collection<UInt8>, size: ImageSize, format: PixelFormat) throws {
        try Self.check(size, "size")
        try self.init(Tensor(levels, shape: [size.height, size.width, format.channels]), format: format)
    }

    /// A picture of one colour: a level for each channel.
    public init(filled color: [UInt8], size: ImageSize, format: PixelFormat) throws {
        guard color.count == format.channels else {
            throw SwiftletError.invalidArgument(
                name: "color", reason: "\(color.count) levels do not make a pixel of \(format.channels) channels",
                remedy: "Pass a level for each channel.")
        }
        try self.init(size: size, format: format) { target in
            for place in target.indices { target[place] = color[place % color.count] }
        }
    }

    /// A picture whose levels `fill` writes, row after row.
    init(size: ImageSize, format: PixelFormat, fill: (UnsafeMutableBufferPointer<UInt8>) throws -> Void) throws {
        try Self.check(size, "size")
        let shape: Shape = [size.height, size.width, format.channels]
        try self.init(Tensor(.u8, shape: shape) { try fill($0.bindMemory(to: UInt8.self)) }, format: format)
    }

    /// Calls `body` with the levels.
    public func withLevels<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
        try pixels.withBytes { try body($0.bindMemory(to: UInt8.self)) }
    }

    private static func check(_ size: ImageSize, _ name: String) throws {
        let sides = 1...maximumSide
        guard sides.contains(size.width), sides.contains(size.height) else {
            throw SwiftletError.invalidArgument(
                name: name, reason: "a picture cannot be \(size)", remedy: "Choose sides from 1 to \(maximumSide) pixels.")
        }
    }

    // MARK: Formats

    /// The same picture with other channels, as Pillow's `convert` makes it: grey is 0.299 R + 0.587 G + 0.114 B, and transparency is dropped,
    /// not blended (see `flattened`); where it is added, all is opaque.
    public func converted(to target: PixelFormat) throws -> Image {
        if target == format { return self }
        return try withLevels { source in
            try Image(size: size, format: target) { result in
                let (from, to) = (format.channels, target.channels)
                for index in 0..<width * height {
                    let (pixel, place) = (index * from, index * to)
                    let (red, green, blue) = (source[pixel], source[pixel + (from > 1 ? 1 : 0)], source[pixel + (from > 1 ? 2 : 0)])
                    if target == .gray {
                        result[place] = Self.luma(red, green, blue)
                    } else {
                        (result[place], result[place + 1], result[place + 2]) = (red, green, blue)
                        if target == .rgba { result[place + 3] = 255 }
                    }
                }
            }
        }
    }

    /// The grey of a colour: ITU-R 601-2 with 16 bits of fraction, rounded.
    private static func luma(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> UInt8 {
        var sum: UInt32 = 0x8000
        sum += UInt32(red) * 19595
        sum += UInt32(green) * 38470
        sum += UInt32(blue) * 7471
        return UInt8(sum >> 16)
    }

    /// The picture over a background, without transparency; a picture that has none is returned as it is.
    ///
    /// - Parameter background: levels of red, green and blue.
    public func flattened(over background: (red: UInt8, green: UInt8, blue: UInt8)) throws -> Image {
        guard format == .rgba else { return self }
        let behind = [background.red, background.green, background.blue].map(Int.init)
        return try withLevels { source in
            try Image(size: size, format: .rgb) { result in
                for index in 0..<width * height {
                    let alpha = Int(source[index * 4 + 3])
                    for channel in 0..<3 {
                        let sum = Int(source[index * 4 + channel]) * alpha + behind[channel] * (255 - alpha)
                        result[index * 3 + channel] = UInt8((sum + 127) / 255)
                    }
                }
            }
        }
    }
}
