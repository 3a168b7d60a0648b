// Places in pictures: points and the four corners of a piece of text. x runs to the right, y down, both in pixels.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A place in a picture, in pixels from its top left corner.
public struct ImagePoint: Sendable, Hashable, Codable {
    public var x: Double
    public var y: Double

    public init(x: Double, y: Double) {
        self.x = x
        self.y = y
    }

    /// In pixels.
    func distance(to other: ImagePoint) -> Double { hypot(x - other.x, y - other.y) }
}

/// Four corners, clockwise as they are seen.
public struct Quadrilateral: Sendable, Hashable, Codable {
    public var topLeft: ImagePoint
    public var topRight: ImagePoint
    public var bottomRight: ImagePoint
    public var bottomLeft: ImagePoint

    public init(topLeft: ImagePoint, topRight: ImagePoint, bottomRight: ImagePoint, bottomLeft: ImagePoint) {
        self.topLeft = topLeft
        self.topRight = topRight
        self.bottomRight = bottomRight
        self.bottomLeft = bottomLeft
    }

    /// Top left, top right, bottom right, bottom left.
    public var corners: [ImagePoint] { [topLeft, topRight, bottomRight, bottomLeft] }

    /// The four points put in order: the two leftmost are the left side, the upper of each side is its top. Exactly four are needed.
    package init(ordering points: [ImagePoint]) {
        let sorted = points.enumerated().sorted { ($0.element.x, $0.offset) < ($1.element.x, $1.offset) }.map(\.element)
        func side(_ a: ImagePoint, _ b: ImagePoint) -> (top: ImagePoint, bottom: ImagePoint) { a.y <= b.y ? (a, b) : (b, a) }
        let (left, right) = (side(sorted[0], sorted[1]), side(sorted[2], sorted[3]))
        self.init(topLeft: left.top, topRight: right.top, bottomRight: right.bottom, bottomLeft: left.bottom)
    }

    /// Each corner moved.
    func map(_ change: (ImagePoint) -> ImagePoint) -> Quadrilateral {
        Quadrilateral(
            topLeft: change(topLeft), topRight: change(topRight), bottomRight: change(bottomRight), bottomLeft: change(bottomLeft))
    }

    /// In pixels².
    package var area: Double {
        let corners = corners
        var sum = 0.0
        for (a, b) in zip(corners, corners[1...] + corners[..<1]) { sum += a.x * b.y - b.x * a.y }
        return abs(sum) / 2
    }

    /// The length of the four sides together, in pixels.
    package var perimeter: Double {
        topLeft.distance(to: topRight) + topRight.distance(to: bottomRight) + bottomRight.distance(to: bottomLeft)
            + bottomLeft.distance(to: topLeft)
    }
}
