// Boxes drawn into a picture, to see what was found.
import SwiftletTensor

extension Image {
    /// The picture as RGB with the outlines of boxes in red, thick enough to be seen when the whole picture is.
    public func drawing(_ boxes: [Quadrilateral]) throws -> Image {
        let opaque = try flattened(over: (255, 255, 255)).converted(to: .rgb)
        let thickness = max(1, max(width, height) / 500)
        var levels = opaque.pixels
        try levels.withMutableElements(as: UInt8.self) { levels in
            for box in boxes {
                // Corners of the last column and row lie one pixel further.
                let corners = box.corners.map { corner in
                    GridPoint(x: Int(min(max(corner.x, 0), Double(width - 1))), y: Int(min(max(corner.y, 0), Double(height - 1))))
                }
                for (start, end) in zip(corners, corners[1...] + corners[..<1]) {
                    TextBoxes.line(from: start, to: end) { point in
                        for y in max(0, point.y - thickness / 2)..<min(height, point.y - thickness / 2 + thickness) {
                            for x in max(0, point.x - thickness / 2)..<min(width, point.x - thickness / 2 + thickness) {
                                let place = (y * width + x) * 3
                                (levels[place], levels[place + 1], levels[place + 2]) = (230, 20, 20)
                            }
                        }
                    }
                }
            }
        }
        return try Image(levels, format: .rgb)
    }
}
