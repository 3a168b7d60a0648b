// From maps to boxes, and from boxes to straight pictures: against OpenCV, pyclipper and plain searches.
import SwiftletTensor
import SwiftletVision
import TestSupport
import Testing

@Suite struct TextGeometryTests {
    /// How far the corners of one rectangle lie from those of another.
    private static func distance(_ left: [ImagePoint], _ right: [ImagePoint]) -> Double {
        func reach(_ a: [ImagePoint], _ b: [ImagePoint]) -> Double {
            a.map { p in b.map { abs(p.x - $0.x) + abs(p.y - $0.y) }.min() ?? .infinity }.max() ?? .infinity
        }
        return max(reach(left, right), reach(right, left))
    }

    // MARK: Rectangles

    @Test func smallestRectanglesAreOpenCVs() throws {
        for vector in try TextVectors.all.get().geometry {
            let rectangle = try #require(MinimumAreaRectangle(around: vector.points.map { GridPoint(x: $0[0], y: $0[1]) }))
            #expect(abs(rectangle.shorterSide - (vector.sides.min() ?? 0)) < 1e-3)
            #expect(Self.distance(rectangle.corners, TextVectors.points(vector.corners)) < 1e-3)
        }
    }

    @Test func grownRectanglesArePyclippers() throws {
        for vector in try TextVectors.all.get().geometry {
            let box = Quadrilateral(ordering: TextVectors.points(vector.corners))
            let rectangle = try #require(MinimumAreaRectangle(around: TextBoxes.grown(box, by: vector.distance)))
            // A point of an arc may be rounded to another pixel.
            #expect(Self.distance(rectangle.corners, TextVectors.points(vector.grown)) < 1.5)
        }
    }

    @Test func boxesCoverThePixelsOpenCVFills() throws {
        for vector in try TextVectors.all.get().geometry {
            let box = Quadrilateral(ordering: TextVectors.points(vector.corners))
            // A map with a single one: the mean tells how many pixels the box has.
            let ones = [Float](repeating: 1, count: 96 * 128)
            #expect(ones.withUnsafeBufferPointer { TextBoxes.mean(of: $0, width: 128, height: 96, inside: box) } == 1)
            var single = [Float](repeating: 0, count: 96 * 128)
            let (x, y) = (Int(box.corners.map(\.x).reduce(0, +) / 4), Int(box.corners.map(\.y).reduce(0, +) / 4))
            single[y * 128 + x] = 1
            let mean = single.withUnsafeBufferPointer { TextBoxes.mean(of: $0, width: 128, height: 96, inside: box) }
            #expect((1 / mean).rounded() == Double(vector.covered))
        }
    }

    @Test func rectanglesOfFewPoints() throws {
        #expect(MinimumAreaRectangle(around: []) == nil)
        let point = try #require(MinimumAreaRectangle(around: [GridPoint(x: 3, y: 4), GridPoint(x: 3, y: 4)]))
        #expect(point.shorterSide == 0 && point.corners.allSatisfy { $0 == ImagePoint(x: 3, y: 4) })
        let line = try #require(MinimumAreaRectangle(around: (0..<5).map { GridPoint(x: $0, y: 2 * $0) }))
        #expect(line.shorterSide == 0)
        #expect(Self.distance(line.corners, [ImagePoint(x: 0, y: 0), ImagePoint(x: 4, y: 8)]) == 0)
        let flat = try #require(MinimumAreaRectangle(around: [(0, 0), (9, 0), (9, 4), (0, 4), (5, 2)].map { GridPoint(x: $0.0, y: $0.1) }))
        #expect(flat.shorterSide == 4)
        #expect(Self.distance(flat.corners, [(0, 0), (9, 0), (9, 4), (0, 4)].map { ImagePoint(x: $0.0, y: $0.1) }) == 0)
    }

    @Test func cornersAreOrdered() {
        let (a, b, c, d) = (ImagePoint(x: 1, y: 1), ImagePoint(x: 9, y: 2), ImagePoint(x: 8, y: 6), ImagePoint(x: 0, y: 5))
        let ordered = Quadrilateral(topLeft: a, topRight: b, bottomRight: c, bottomLeft: d)
        for points in [[a, b, c, d], [c, d, a, b], [d, b, a, c], [b, a, d, c]] { #expect(Quadrilateral(ordering: points) == ordered) }
        #expect(ordered.area == 33)
    }

    // MARK: Regions

    /// Pixels that touch those already found, over sides or over corners too.
    private static func flood(_ mask: [Bool], _ width: Int, from start: Int, corners: Bool, _ seen: inout Set<Int>) -> [GridPoint] {
        var (open, found) = ([start], [GridPoint]())
        seen.insert(start)
        while let index = open.popLast() {
            let (x, y) = (index % width, index / width)
            found.append(GridPoint(x: x, y: y))
            for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)] where corners || dx == 0 || dy == 0 {
                guard (0..<width).contains(x + dx), (0..<mask.count / width).contains(y + dy) else { continue }
                let next = (y + dy) * width + x + dx
                if mask[next] == mask[start], seen.insert(next).inserted { open.append(next) }
            }
        }
        return found
    }

    /// The hulls of regions and of the pixels around holes, by searching from each pixel.
    private static func hulls(_ map: [Float], _ width: Int, _ height: Int) -> Set<[GridPoint]> {
        let mask = map.indices.map { index in
            [(0, 0), (1, 0), (0, 1), (1, 1)].contains { dx, dy in
                index % width >= dx && index / width >= dy && map[index - dy * width - dx] > 0.5
            }
        }
        var (seen, hulls) = (Set<Int>(), Set<[GridPoint]>())
        for start in mask.indices where !seen.contains(start) {
            let pixels = flood(mask, width, from: start, corners: mask[start], &seen)
            if mask[start] {
                hulls.insert(MinimumAreaRectangle.hull(of: pixels))
            } else if pixels.allSatisfy({ $0.x > 0 && $0.y > 0 && $0.x < width - 1 && $0.y < height - 1 }) {
                let around = pixels.flatMap { pixel in
                    [(1, 0), (-1, 0), (0, 1), (0, -1)].map { GridPoint(x: pixel.x + $0.0, y: pixel.y + $0.1) }
                }
                hulls.insert(MinimumAreaRectangle.hull(of: around.filter { mask[$0.y * width + $0.x] }))
            }
        }
        return hulls
    }

    @Test(arguments: [(1, 1), (1, 7), (7, 1), (2, 2), (13, 9), (40, 31)], [0.1, 0.25, 0.45, 0.8])
    func regionsAndHolesAreThoseOfASearch(size: (Int, Int), share: Double) {
        var generator = SeededGenerator(seed: UInt64(size.0 * 100 + size.1))
        for _ in 0..<20 {
            let map = (0..<size.0 * size.1).map { _ in Double.random(in: 0..<1, using: &generator) < share ? 1 : 0 as Float }
            let regions = map.withUnsafeBufferPointer { TextRegions($0, width: size.0, height: size.1, threshold: 0.5) }
            let hulls = regions.borders.map { MinimumAreaRectangle.hull(of: $0) }
            #expect(Set(hulls) == Self.hulls(map, size.0, size.1))
        }
    }

    @Test func boxesOfADrawnMap() throws {
        // A bar of 40 × 9 and one below the threshold of boxes; a dot.
        var map = [Float](repeating: 0, count: 100 * 60)
        for y in 10..<19 { for x in 20..<60 { map[y * 100 + x] = 0.9 } }
        for y in 40..<49 { for x in 20..<60 { map[y * 100 + x] = 0.4 } }
        map[30 * 100 + 90] = 1
        let boxes = map.withUnsafeBufferPointer { TextBoxes().boxes(in: $0, width: 100, height: 60) }
        // With the pixels grown to the right and below the core is 40 × 9 long; it grows by 1.6 · 360 / 98 = 5.88.
        let box = try #require(boxes.first)
        #expect(boxes.count == 1)
        #expect(box.topLeft == ImagePoint(x: 14, y: 4) && box.bottomRight == ImagePoint(x: 66, y: 25))
        #expect([Float](repeating: 0, count: 1).withUnsafeBufferPointer { TextBoxes().boxes(in: $0, width: 1, height: 1) }.isEmpty)
        let noise = [Float](repeating: .nan, count: 64)
        #expect(noise.withUnsafeBufferPointer { TextBoxes().boxes(in: $0, width: 8, height: 8) }.isEmpty)
    }

    @Test func boxesAreReadInRows() {
        func box(_ x: Double, _ y: Double) -> Quadrilateral {
            Quadrilateral(ordering: [(x, y), (x + 9, y), (x + 9, y + 5), (x, y + 5)].map { ImagePoint(x: $0.0, y: $0.1) })
        }
        let ordered = [box(10, 4), box(50, 0), box(90, 8), box(0, 30), box(5, 60)]
        #expect(ordered.shuffled().inReadingOrder() == ordered)
        #expect([Quadrilateral]().inReadingOrder().isEmpty)
    }

    // MARK: Crops

    @Test func cropsAreOpenCVs() throws {
        let photo = try Vectors.photo()
        for (index, corners) in try TextVectors.all.get().crops.enumerated() {
            let points = TextVectors.points(corners)
            let box = Quadrilateral(topLeft: points[0], topRight: points[1], bottomRight: points[2], bottomLeft: points[3])
            let difference = try largestDifference(photo.straightened(box), Vectors.image("text-crop-\(index)"))
            #expect(try #require(difference) <= 1, "crop \(index)")
        }
    }

    @Test func boxesWithoutAreaAreErrors() throws {
        let photo = try Vectors.photo()
        let (a, b, c) = (ImagePoint(x: 1, y: 1), ImagePoint(x: 9, y: 9), ImagePoint(x: 20, y: 20))
        for corners in [[a, a, a, a], [a, b, c, b], [a, c, c, a]] {
            let box = Quadrilateral(topLeft: corners[0], topRight: corners[1], bottomRight: corners[2], bottomLeft: corners[3])
            #expect(throws: SwiftletError.self) { try photo.straightened(box) }
        }
    }

    // MARK: Characters

    @Test func textsAreDecoded() throws {
        // A combining accent as an entry of its own, and line ends of two kinds.
        let decoder = CTCDecoder(dictionary: "a\n\u{301}\r\nb\n")
        #expect(decoder.classCount == 5)
        func decode(_ best: [(Int, Float)]) throws -> (text: String, confidence: Double) {
            var values = [Float](repeating: 0, count: best.count * 5)
            for (column, (index, probability)) in best.enumerated() { values[column * 5 + index] = probability }
            return try decoder.decode(Tensor(values, shape: [1, best.count, 5]))
        }
        let result = try decode([(0, 1), (1, 0.5), (1, 0.25), (0, 1), (1, 1), (4, 0.75), (3, 1), (3, 1), (2, 0.75)])
        #expect(result.text == "aa b\u{301}")
        #expect(result.confidence == (0.5 + 1 + 0.75 + 1 + 0.75) / 5)
        #expect(try decode([(0, 1), (0, 0.5)]) == ("", 0))
        #expect(try decode([]) == ("", 0))
    }
}
