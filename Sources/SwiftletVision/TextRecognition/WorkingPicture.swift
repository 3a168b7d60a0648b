// The picture text is looked for in: RGB, its longer side bounded, thin pictures enlarged, and flat ones between black bars, so that the
// network, which sees about 736 pixels of the shorter side, meets letters of the sizes it knows. And the way back to the picture it came from.
import SwiftletTensor

struct WorkingPicture {
    let image: Image
    private let source: ImageSize
    /// Pixels of the source for one of the working picture.
    private let scale: (x: Double, y: Double)
    /// Rows of the bar above the picture.
    private let top: Int

    private static let shortestSide = 30
    private static let flattestRatio = 8
    /// Of the picture with its bars: memory and time stay bounded.
    static let maximumPixels = 1 << 23

    /// - Throws: `SwiftletError.unsupported` when the picture is so long and thin that it would take more than `maximumPixels`.
    init(_ picture: Image, maximumSide: Int) throws {
        source = picture.size
        var size = picture.size
        if max(size.width, size.height) > maximumSide {
            size = Self.scaled(size, by: Double(maximumSide) / Double(max(size.width, size.height)))
        } else if min(size.width, size.height) < Self.shortestSide {
            size = Self.scaled(size, by: Double(Self.shortestSide) / Double(min(size.width, size.height)))
        }
        scale = (Double(source.width) / Double(size.width), Double(source.height) / Double(size.height))
        let isFlat = size.height <= Self.shortestSide || size.width > Self.flattestRatio * size.height
        top = isFlat ? abs(max(size.width / Self.flattestRatio, Self.shortestSide) * 2 - size.height) / 2 : 0
        let canvas = ImageSize(width: size.width, height: size.height + 2 * top)
        guard canvas.width * canvas.height <= Self.maximumPixels else {
            throw SwiftletError.unsupported(
                file: "the picture", place: "its size", reason: "\(source) is too long and thin to look for text in",
                remedy: "Cut it into shorter pieces.")
        }
        let scaled = try Self.opaque(picture).resized(to: size, antialias: false)
        image = top == 0 ? scaled : try Image(filled: [0, 0, 0], size: canvas, format: .rgb).placing(scaled, x: 0, y: top)
    }

    /// A box of the working picture in the source, cut at its edges.
    func source(_ box: Quadrilateral) -> Quadrilateral {
        box.map { point in
            ImagePoint(
                x: min(max(point.x * scale.x, 0), Double(source.width)),
                y: min(max((point.y - Double(top)) * scale.y, 0), Double(source.height)))
        }
    }

    /// Both sides scaled and rounded to multiples of 32, the sizes the network halves without a rest; at least 32.
    static func scaled(_ size: ImageSize, by ratio: Double) -> ImageSize {
        func side(_ length: Int) -> Int { max(32, Int((Double(Int(Double(length) * ratio)) / 32).rounded(.toNearestOrEven)) * 32) }
        return ImageSize(width: side(size.width), height: side(size.height))
    }

    /// The picture as RGB. Transparent parts become white, or black behind what is light, so that it can be read.
    private static func opaque(_ picture: Image) throws -> Image {
        guard picture.format == .rgba else { return try picture.converted(to: .rgb) }
        let (light, seen) = picture.withLevels { levels in
            var (light, seen) = (0, 0)
            for pixel in stride(from: 0, to: levels.count, by: 4) {
                let alpha = Int(levels[pixel + 3])
                seen += alpha
                light += alpha * (Int(levels[pixel]) * 3 + Int(levels[pixel + 1]) * 6 + Int(levels[pixel + 2]))
            }
            return (light, seen)
        }
        let isLight = seen > 0 && light / seen > 1275  // of 2550
        return try picture.flattened(over: isLight ? (0, 0, 0) : (255, 255, 255))
    }
}
