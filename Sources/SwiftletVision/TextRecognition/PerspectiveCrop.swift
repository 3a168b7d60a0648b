// What lies inside a quadrilateral, seen from straight ahead: each pixel of the result is found in the source by the projective map that takes
// the result's rectangle to the quadrilateral, with cubic interpolation; beyond the edges the edge's pixels are repeated.
//
// Places are not rounded, as in OpenCV 5 (earlier versions round them to 1/32 of a pixel); boxes along the axes are copied exactly.
// Source of the map: Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, section 2.2.3.
import SwiftletTensor

/// A projective map of the plane.
package struct Homography {
    // (x, y) goes to (a·x + b·y + c, d·x + e·y + f) / (g·x + h·y + 1).
    private let a, b, c, d, e, f, g, h: Double

    /// The map of the rectangle from (0, 0) to (width, height) to a quadrilateral, its upper left corner to the upper left.
    ///
    /// nil when corners lie so that there is none.
    package init?(width: Double, height: Double, to target: Quadrilateral) {
        let (p0, p1, p2, p3) = (target.topLeft, target.topRight, target.bottomRight, target.bottomLeft)
        let (sumX, sumY) = (p0.x - p1.x + p2.x - p3.x, p0.y - p1.y + p2.y - p3.y)
        let (dx1, dy1, dx2, dy2) = (p1.x - p2.x, p1.y - p2.y, p3.x - p2.x, p3.y - p2.y)
        let determinant = dx1 * dy2 - dx2 * dy1
        guard determinant != 0, width > 0, height > 0 else { return nil }
        let (g, h) = ((sumX * dy2 - dx2 * sumY) / determinant, (dx1 * sumY - sumX * dy1) / determinant)
        a = (p1.x - p0.x + g * p1.x) / width
        b = (p3.x - p0.x + h * p3.x) / height
        c = p0.x
        d = (p1.y - p0.y + g * p1.y) / width
        e = (p3.y - p0.y + h * p3.y) / height
        f = p0.y
        self.g = g / width
        self.h = h / height
    }

    package func callAsFunction(x: Double, y: Double) -> ImagePoint {
        let weight = g * x + h * y + 1
        let scale = weight == 0 ? 0 : 1 / weight
        return ImagePoint(x: (a * x + b * y + c) * scale, y: (d * x + e * y + f) * scale)
    }
}

extension Image {
    /// What lies inside a quadrilateral, straightened. Its size is that of the longer ones of opposite sides, rounded down.
    ///
    /// Throws `SwiftletError.invalidArgument` when a side is shorter than a pixel, or three corners lie on a line.
    package func straightened(_ box: Quadrilateral) throws -> Image {
        let size = ImageSize(
            width: Int(max(box.topLeft.distance(to: box.topRight), box.bottomRight.distance(to: box.bottomLeft))),
            height: Int(max(box.topLeft.distance(to: box.bottomLeft), box.topRight.distance(to: box.bottomRight))))
        guard let map = Homography(width: Double(size.width), height: Double(size.height), to: box) else {
            throw SwiftletError.invalidArgument(
                name: "box", reason: "\(box.corners) enclose nothing",
                remedy: "Pass four corners, clockwise, of which no three lie on a line.")
        }
        return try withLevels { source in
            try Image(size: size, format: format) { result in
                var place = 0
                for y in 0..<size.height {
                    for x in 0..<size.width {
                        sample(source, map(x: Double(x), y: Double(y)), result, place)
                        place += format.channels
                    }
                }
            }
        }
    }

    /// Writes the pixel at a place between pixels.
    private func sample(
        _ source: UnsafeBufferPointer<UInt8>, _ point: ImagePoint, _ result: UnsafeMutableBufferPointer<UInt8>, _ place: Int
    ) {
        // Far outside every place looks the same, and no conversion overflows.
        let (x, y) = (min(max(-8, point.x), Double(width) + 8), min(max(-8, point.y), Double(height) + 8))
        let (column, row) = (Int(x.rounded(.down)), Int(y.rounded(.down)))
        let channels = format.channels
        func offset(_ column: Int, _ row: Int) -> Int {
            (min(max(row, 0), height - 1) * width + min(max(column, 0), width - 1)) * channels
        }
        guard x != Double(column) || y != Double(row) else {
            let from = offset(column, row)
            for channel in 0..<channels { result[place + channel] = source[from + channel] }
            return
        }
        let (across, down) = (Self.cubicWeights(x - Double(column)), Self.cubicWeights(y - Double(row)))
        var sums = SIMD4<Float>(repeating: 0.5)
        for line in 0..<4 {
            var total = SIMD4<Float>()
            for tap in 0..<4 {
                let from = offset(column - 1 + tap, row - 1 + line)
                for channel in 0..<channels { total[channel] += across[tap] * Float(source[from + channel]) }
            }
            sums += down[line] * total
        }
        for channel in 0..<channels { result[place + channel] = UInt8(min(max(sums[channel], 0), 255)) }
    }

    /// The weights of the four neighbours of a place `between` the middle two: Keys' cubic.
    private static func cubicWeights(_ between: Double) -> SIMD4<Float> {
        func weight(_ distance: Double) -> Float { Float(ResizeFilter.bicubic.weight(distance, cubic: -0.75)) }
        return SIMD4(weight(1 + between), weight(between), weight(1 - between), weight(2 - between))
    }
}
