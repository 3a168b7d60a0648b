// The smallest rectangle, at any angle, around points of the pixel grid: one of its sides lies on a side of their convex hull.
// The hull is Andrew's monotone chain; all products are of whole numbers, so that rectangles along the axes come out exactly.
// Source: Freeman and Shapira, "Determining the minimum-area encasing rectangle for an arbitrary closed curve", 1975.

/// A pixel: column and row. Sides of pictures stay below 2²⁰, so products fit.
package struct GridPoint: Hashable, Sendable {
    package var x: Int
    package var y: Int

    package init(x: Int, y: Int) {
        self.x = x
        self.y = y
    }
}

/// A rectangle at any angle.
package struct MinimumAreaRectangle {
    /// The corners, in order around it.
    package let corners: [ImagePoint]
    /// The length of the shorter side, in pixels: 0 when all points lie on a line.
    package let shorterSide: Double

    /// The smallest rectangle around `points`; nil when there are none.
    package init?(around points: [GridPoint]) {
        let hull = Self.hull(of: points)
        guard let first = hull.first else { return nil }
        guard hull.count > 1 else {
            corners = [ImagePoint](repeating: ImagePoint(x: Double(first.x), y: Double(first.y)), count: 4)
            shorterSide = 0
            return
        }
        var best: (area: Double, along: ClosedRange<Int>, across: ClosedRange<Int>, side: GridPoint)?
        for (index, start) in hull.enumerated() {
            let end = hull[(index + 1) % hull.count]
            let side = GridPoint(x: end.x - start.x, y: end.y - start.y)
            var (along, across) = (Range(side, first), Range(GridPoint(x: -side.y, y: side.x), first))
            for point in hull {
                along.take(point)
                across.take(point)
            }
            let squared = Double(side.x * side.x + side.y * side.y)
            let area = Double(along.bounds.count - 1) * Double(across.bounds.count - 1) / squared
            if area < best?.area ?? .infinity { best = (area, along.bounds, across.bounds, side) }
        }
        guard let best else { return nil }
        let (dx, dy) = (best.side.x, best.side.y)
        let squared = Double(dx * dx + dy * dy)
        func corner(_ along: Int, _ across: Int) -> ImagePoint {
            ImagePoint(x: Double(along * dx - across * dy) / squared, y: Double(along * dy + across * dx) / squared)
        }
        corners = [
            corner(best.along.lowerBound, best.across.lowerBound), corner(best.along.upperBound, best.across.lowerBound),
            corner(best.along.upperBound, best.across.upperBound), corner(best.along.lowerBound, best.across.upperBound),
        ]
        shorterSide = Double(min(best.along.count, best.across.count) - 1) / squared.squareRoot()
    }

    /// How far points reach along a direction, in units of its length.
    private struct Range {
        let direction: GridPoint
        var bounds: ClosedRange<Int>

        init(_ direction: GridPoint, _ point: GridPoint) {
            self.direction = direction
            let place = point.x * direction.x + point.y * direction.y
            bounds = place...place
        }

        mutating func take(_ point: GridPoint) {
            let place = point.x * direction.x + point.y * direction.y
            if place < bounds.lowerBound { bounds = place...bounds.upperBound }
            if place > bounds.upperBound { bounds = bounds.lowerBound...place }
        }
    }

    /// The corners of the convex hull in order around it, none on a line between two others.
    package static func hull(of points: [GridPoint]) -> [GridPoint] {
        let sorted = points.sorted { ($0.x, $0.y) < ($1.x, $1.y) }
        guard let first = sorted.first, let last = sorted.last, first != last else { return Array(sorted.prefix(1)) }
        let lower = chain(sorted), upper = chain(sorted.reversed())
        return lower.dropLast() + upper.dropLast()
    }

    /// The points where the way along `sorted` turns to one side only.
    private static func chain(_ sorted: some Sequence<GridPoint>) -> [GridPoint] {
        var chain: [GridPoint] = []
        for point in sorted {
            while chain.count >= 2 {
                let (a, b) = (chain[chain.count - 2], chain[chain.count - 1])
                if (b.x - a.x) * (point.y - a.y) - (b.y - a.y) * (point.x - a.x) > 0 { break }
                chain.removeLast()
            }
            chain.append(point)
        }
        return chain
    }
}
