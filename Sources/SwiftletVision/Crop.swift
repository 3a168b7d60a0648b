// Parts of pictures, and pictures on a canvas: the geometry of the usual recipes.
import SwiftletTensor

/// Where a letterboxed picture lies on its canvas.
public struct Letterbox: Sendable {
    /// The canvas.
    public let image: Image
    /// Canvas pixels for one source pixel.
    public let scale: (x: Double, y: Double)
    /// The canvas column and row where the picture starts.
    public let left: Int
    public let top: Int

    /// A place of the canvas in the source picture, in pixels: what a detector found, where it is. May lie outside.
    public func source(x: Double, y: Double) -> (x: Double, y: Double) { ((x - Double(left)) / scale.x, (y - Double(top)) / scale.y) }
}

extension Image {
    /// A part of the picture. Throws `SwiftletError.invalidArgument` when it is empty or leaves the picture.
    public func cropped(x: Int, y: Int, to target: ImageSize) throws -> Image {
        guard x >= 0, y >= 0, target.width > 0, target.height > 0, target.width <= width, target.height <= height,
            x <= width - target.width, y <= height - target.height
        else {
            throw SwiftletError.invalidArgument(
                name: "target", reason: "\(target) at (\(x), \(y)) is no part of a picture of \(size)",
                remedy: "Choose a part that lies inside.")
        }
        if target == size { return self }
        let (rowBytes, channels) = (target.width * format.channels, format.channels)
        return try withLevels { source in
            try Image(size: target, format: format) { result in
                for row in 0..<target.height {
                    let start = ((y + row) * width + x) * channels
                    _ = UnsafeMutableBufferPointer(rebasing: result[row * rowBytes..<(row + 1) * rowBytes])
                        .update(fromContentsOf: source[start..<start + rowBytes])
                }
            }
        }
    }

    /// The middle of the picture, with torchvision's rounding: half a pixel goes to the even side.
    public func centerCropped(to target: ImageSize) throws -> Image {
        func start(_ whole: Int, _ part: Int) -> Int { Int((Double(whole - part) / 2).rounded(.toNearestOrEven)) }
        return try cropped(x: start(width, target.width), y: start(height, target.height), to: target)
    }

    /// The picture with its shorter side at `side` pixels; the longer side keeps the shape, rounded down as torchvision does.
    public func resized(shorterSide side: Int, filter: ResizeFilter = .bilinear, antialias: Bool = true) throws -> Image {
        guard (1...Self.maximumSide).contains(side) else {
            throw SwiftletError.invalidArgument(name: "side", reason: "a side cannot be \(side) pixels", remedy: "Choose 1 or more.")
        }
        let target =
            width <= height
            ? ImageSize(width: side, height: max(1, side * height / width)) : ImageSize(width: max(1, side * width / height), height: side)
        return try resized(to: target, filter: filter, antialias: antialias)
    }

    /// The whole picture inside a canvas: scaled to fit, in the middle (or at the top left), the rest filled.
    ///
    /// - Parameter fill: the level of every channel of the canvas.
    public func letterboxed(
        to canvas: ImageSize, fill: UInt8 = 114, centered: Bool = true, filter: ResizeFilter = .bilinear, antialias: Bool = true
    ) throws -> Letterbox {
        let background = try Image(filled: [UInt8](repeating: fill, count: format.channels), size: canvas, format: format)
        let ratio = min(Double(canvas.width) / Double(width), Double(canvas.height) / Double(height))
        func side(_ length: Int, _ limit: Int) -> Int { min(limit, max(1, Int((Double(length) * ratio).rounded(.toNearestOrEven)))) }
        let inner = ImageSize(width: side(width, canvas.width), height: side(height, canvas.height))
        let small = try resized(to: inner, filter: filter, antialias: antialias)
        let (left, top) = centered ? ((canvas.width - inner.width) / 2, (canvas.height - inner.height) / 2) : (0, 0)
        let image = try background.placing(small, x: left, y: top)
        let scale = (x: Double(inner.width) / Double(width), y: Double(inner.height) / Double(height))
        return Letterbox(image: image, scale: scale, left: left, top: top)
    }

    /// The picture with another of the same format laid over it; it must lie inside.
    func placing(_ part: Image, x: Int, y: Int) throws -> Image {
        let (rowBytes, channels) = (part.width * format.channels, format.channels)
        var canvas = pixels
        try canvas.withMutableElements(as: UInt8.self) { result in
            part.withLevels { source in
                for row in 0..<part.height {
                    let start = ((y + row) * width + x) * channels
                    _ = UnsafeMutableBufferPointer(rebasing: result[start..<start + rowBytes])
                        .update(fromContentsOf: source[row * rowBytes..<(row + 1) * rowBytes])
                }
            }
        }
        return try Image(canvas, format: format)
    }
}
