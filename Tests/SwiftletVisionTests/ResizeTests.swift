// Sizes, crops and canvases against Pillow and OpenCV.
import SwiftletTensor
import SwiftletVision
import Testing

@Suite struct ResizeTests {
    static let sizes = [(23, 17), (97, 80), (30, 90), (1, 1), (61, 12), (200, 3)].map { ImageSize(width: $0.0, height: $0.1) }

    @Test(arguments: [ResizeFilter.nearest, .box, .bilinear, .bicubic, .lanczos], sizes)
    func resizesAsPillowDoes(filter: ResizeFilter, size: ImageSize) throws {
        let image = try Vectors.photo().resized(to: size, filter: filter)
        #expect(try largestDifference(image, Vectors.image("resize-\(filter)-\(size.width)x\(size.height)")) == 0)
    }

    @Test func resizesGrayAsPillowDoes() throws {
        let gray = try Vectors.photo().converted(to: .gray)
        let small = try gray.resized(to: ImageSize(width: 23, height: 17), filter: .bicubic)
        #expect(try largestDifference(small, Vectors.image("resize-gray-23x17")) == 0)
    }

    /// Transparent pixels do not colour their neighbours.
    @Test func resizesTransparencyAsPillowDoes() throws {
        let photo = try Vectors.photo()
        let upsideDown = try photo.oriented(.bottomLeft)
        let (colors, alphas) = (photo.withLevels { Array($0) }, upsideDown.withLevels { Array($0) })
        var levels: [UInt8] = []
        for pixel in stride(from: 0, to: colors.count, by: 3) { levels += colors[pixel..<pixel + 3] + [alphas[pixel]] }
        let image = try Image(levels, size: photo.size, format: .rgba)
        let small = try image.resized(to: ImageSize(width: 23, height: 17))
        #expect(try largestDifference(small, Vectors.image("resize-rgba-23x17")) == 0)
        let large = try image.resized(to: ImageSize(width: 97, height: 80), filter: .bicubic)
        #expect(try largestDifference(large, Vectors.image("resize-rgba-97x80")) == 0)
    }

    /// OpenCV rounds its weights to 11 bits.
    @Test(arguments: [ResizeFilter.bilinear, .bicubic], sizes)
    func withoutAntialiasingItIsOpenCV(filter: ResizeFilter, size: ImageSize) throws {
        let image = try Vectors.photo().resized(to: size, filter: filter, antialias: false)
        let difference = try largestDifference(image, Vectors.image("resize-cv-\(filter)-\(size.width)x\(size.height)"))
        #expect(try #require(difference) <= 1)
    }

    @Test(arguments: sizes.filter { $0.width <= 61 && $0.height <= 47 }) func areasAreOpenCV(size: ImageSize) throws {
        let expected = try Vectors.image("resize-cv-area-\(size.width)x\(size.height)")
        for antialias in [true, false] {
            let image = try Vectors.photo().resized(to: size, filter: .area, antialias: antialias)
            #expect(try #require(largestDifference(image, expected)) <= 1)
        }
    }

    @Test(arguments: ResizeFilter.allCases, [true, false]) func oneColorStaysOneColor(filter: ResizeFilter, antialias: Bool) throws {
        for format in PixelFormat.allCases {
            let color = Array([9, 200, 255, 77].prefix(format.channels)) as [UInt8]
            let image = try Image(filled: color, size: ImageSize(width: 7, height: 5), format: format)
            for size in [ImageSize(width: 1, height: 1), ImageSize(width: 3, height: 40), ImageSize(width: 7, height: 5)] {
                let resized = try image.resized(to: size, filter: filter, antialias: antialias)
                // Levels under 77 of 255 parts of opacity come back rounded.
                let expected = try Image(filled: color, size: size, format: format)
                #expect(try #require(largestDifference(resized, expected)) <= (format == .rgba ? 2 : 0))
            }
        }
    }

    @Test func boxWithoutAntialiasingIsNearest() throws {
        let photo = try Vectors.photo()
        for size in Self.sizes {
            #expect(try photo.resized(to: size, filter: .box, antialias: false) == photo.resized(to: size, filter: .nearest))
        }
    }

    @Test func senselessSizesAreErrors() throws {
        let photo = try Vectors.photo()
        for size in [ImageSize(width: 0, height: 4), ImageSize(width: 4, height: -1), ImageSize(width: .max, height: .max)] {
            for filter in ResizeFilter.allCases { #expect(throws: SwiftletError.self) { try photo.resized(to: size, filter: filter) } }
            #expect(throws: SwiftletError.self) { try photo.cropped(x: 0, y: 0, to: size) }
            #expect(throws: SwiftletError.self) { try photo.letterboxed(to: size) }
        }
        #expect(throws: SwiftletError.self) { try photo.resized(shorterSide: 0) }
    }

    @Test func cropsTakeTheirPart() throws {
        let levels = (0..<6 * 5).map { UInt8($0) }
        let image = try Image(levels, size: ImageSize(width: 6, height: 5), format: .gray)
        let part = try image.cropped(x: 4, y: 3, to: ImageSize(width: 2, height: 2))
        #expect(part.withLevels { Array($0) } == [22, 23, 28, 29])
        // (5 - 2) / 2 = 1.5 goes to 2, (6 - 1) / 2 = 2.5 to 2.
        #expect(try image.centerCropped(to: ImageSize(width: 1, height: 2)).withLevels { Array($0) } == [14, 20])
        for (x, y, width, height) in [(-1, 0, 1, 1), (0, -1, 1, 1), (5, 0, 2, 1), (0, 4, 1, 2), (0, 0, 7, 1), (.max, 0, 1, 1)] {
            #expect(throws: SwiftletError.self) { try image.cropped(x: x, y: y, to: ImageSize(width: width, height: height)) }
        }
    }

    @Test func shorterSides() throws {
        let photo = try Vectors.photo()
        #expect(try photo.resized(shorterSide: 40).size == ImageSize(width: 51, height: 40))
        #expect(try photo.oriented(.rightTop).resized(shorterSide: 40).size == ImageSize(width: 40, height: 51))
        let line = try Image(filled: [1], size: ImageSize(width: 3, height: 1000), format: .gray)
        #expect(try line.resized(shorterSide: 1).size == ImageSize(width: 1, height: 333))
    }

    @Test func letterboxesKeepTheShape() throws {
        let image = try Image(filled: [200, 10, 0], size: ImageSize(width: 40, height: 20), format: .rgb)
        let box = try image.letterboxed(to: ImageSize(width: 16, height: 16), fill: 114)
        #expect(box.left == 0 && box.top == 4 && box.scale.x == 0.4 && box.scale.y == 0.4)
        box.image.withLevels { levels in
            for y in 0..<16 {
                for x in 0..<16 {
                    let pixel = Array(levels[(y * 16 + x) * 3..<(y * 16 + x) * 3 + 3])
                    #expect(pixel == ((4..<12).contains(y) ? [200, 10, 0] : [114, 114, 114]))
                }
            }
        }
        #expect(box.source(x: 8, y: 8) == (20, 10))
        let corner = try image.letterboxed(to: ImageSize(width: 16, height: 16), centered: false)
        #expect(corner.top == 0 && corner.left == 0)
        // Small pictures grow.
        #expect(try image.letterboxed(to: ImageSize(width: 400, height: 100)).left == 100)
    }
}
