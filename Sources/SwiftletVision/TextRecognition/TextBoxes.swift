// From a map of text probabilities to boxes around lines of text: the post-processing of DB ("Real-time Scene Text Detection with
// Differentiable Binarization", Liao et al., 2020), with the numbers PP-OCR uses.
//
// The network is trained on texts shrunk towards their middle. So each region's smallest rectangle is grown by area × expansion / perimeter,
// with round corners on the pixel grid, and the smallest rectangle around that is the box.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct TextBoxes: Sendable {
    /// What is above is text; 0...1.
    package var pixelThreshold: Float = 0.3
    /// The mean inside a box that it must have; 0...1.
    package var boxThreshold = 0.5
    /// How much boxes grow.
    package var expansion = 1.6
    /// Only so many regions are looked at.
    package var maximumRegions = 1000
    /// The shorter side a region must have, in pixels of the map, and a grown box, 2 more.
    private let minimumSide = 3.0

    package init() {}

    /// The boxes of a map of `width × height` values, in pixels of the map. They may reach out of it.
    package func boxes(in map: UnsafeBufferPointer<Float>, width: Int, height: Int) -> [Quadrilateral] {
        TextRegions(map, width: width, height: height, threshold: pixelThreshold).borders.prefix(maximumRegions).compactMap { border in
            guard let core = MinimumAreaRectangle(around: border), core.shorterSide >= minimumSide else { return nil }
            let corners = Quadrilateral(ordering: core.corners)
            guard Self.mean(of: map, width: width, height: height, inside: corners) >= boxThreshold,
                let grown = MinimumAreaRectangle(around: Self.grown(corners, by: corners.area * expansion / corners.perimeter)),
                grown.shorterSide >= minimumSide + 2
            else { return nil }
            return Quadrilateral(ordering: grown.corners)
        }
    }

    // MARK: Score

    /// The mean over the pixels on and inside the sides of a convex quadrilateral, its corners rounded down to pixels.
    package static func mean(of map: UnsafeBufferPointer<Float>, width: Int, height: Int, inside box: Quadrilateral) -> Double {
        let corners = box.corners.map { GridPoint(x: Int($0.x), y: Int($0.y)) }
        let rows = (corners.map(\.y).min() ?? 0)...(corners.map(\.y).max() ?? 0)
        var (first, last) = ([Int](repeating: .max, count: rows.count), [Int](repeating: .min, count: rows.count))
        for (start, end) in zip(corners, corners[1...] + corners[..<1]) {
            line(from: start, to: end) { point in
                let row = point.y - rows.lowerBound
                (first[row], last[row]) = (min(first[row], point.x), max(last[row], point.x))
            }
        }
        var (sum, count) = (0.0, 0)
        for y in max(rows.lowerBound, 0)..<max(min(rows.upperBound + 1, height), max(rows.lowerBound, 0)) {
            let (start, end) = (max(first[y - rows.lowerBound], 0), min(last[y - rows.lowerBound], width - 1))
            guard start <= end else { continue }
            for x in start...end { sum += Double(map[y * width + x]) }
            count += end - start + 1
        }
        return count == 0 ? 0 : sum / Double(count)
    }

    /// The pixels of a line, both ends included (Bresenham). Of two that are equally near it takes what OpenCV takes: from left to right, the
    /// step to the side comes late.
    static func line(from start: GridPoint, to end: GridPoint, _ visit: (GridPoint) -> Void) {
        let (start, end) = start.x <= end.x ? (start, end) : (end, start)
        let (dx, dy) = (abs(end.x - start.x), abs(end.y - start.y))
        let (stepX, stepY) = (start.x < end.x ? 1 : -1, start.y < end.y ? 1 : -1)
        var (point, balance) = (start, dx - dy)
        while true {
            visit(point)
            if point == end { return }
            let doubled = 2 * balance
            if doubled > -dy {
                balance -= dy
                point.x += stepX
            }
            if doubled < dx {
                balance += dx
                point.y += stepY
            }
        }
    }

    // MARK: Growing

    /// The corners of a box moved outwards by `distance` pixels, with arcs around the old corners; on the pixel grid.
    ///
    /// The old corners are rounded towards zero and the arcs are at most a quarter of a pixel off, as in the library of polygons PP-OCR uses.
    package static func grown(_ box: Quadrilateral, by distance: Double) -> [GridPoint] {
        let corners = box.corners.map { ImagePoint(x: $0.x.rounded(.towardZero), y: $0.y.rounded(.towardZero)) }
        let tolerance = min(0.25, 0.25 * distance)
        let stepsAround = min(Double.pi / acos(1 - tolerance / distance), Double.pi * distance)
        /// The outward direction of each side, which is the angle an arc ends or begins with.
        let normals = (0..<4).map { index in
            let (start, end) = (corners[index], corners[(index + 1) % 4])
            return atan2(start.x - end.x, end.y - start.y)
        }
        var points: [GridPoint] = []
        for index in 0..<4 {
            let (corner, from) = (corners[index], normals[(index + 3) % 4])
            var turn = normals[index] - from
            if turn > .pi { turn -= 2 * .pi }
            if turn < -.pi { turn += 2 * .pi }
            let steps = max(1, Int((stepsAround * abs(turn) / (2 * .pi)).rounded()))
            for step in 0...steps {
                let angle = step == steps ? normals[index] : from + Double(step) * copysign(2 * .pi / stepsAround, turn)
                points.append(
                    GridPoint(x: Int((corner.x + distance * cos(angle)).rounded()), y: Int((corner.y + distance * sin(angle)).rounded())))
            }
        }
        return points
    }
}
