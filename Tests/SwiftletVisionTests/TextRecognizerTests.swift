// Pictures of text through the three networks, against rapidocr-onnxruntime; and pictures that hold none, or are no sensible pictures.
import Foundation
import SwiftletModels
import SwiftletNetwork
import SwiftletVision
import Testing

@Suite(.enabled(if: Recognizers.present, "needs: swiftlet pull ppocr-detection, ppocr-recognition and ppocr-direction"), .serialized)
struct TextRecognizerTests {
    @Test(arguments: ["lines", "dark", "rotated", "upside-down", "standing", "flat", "tiny", "large", "chinese", "nothing", "many"])
    func readsWhatThePythonPackageReads(name: String) throws {
        let expected = try #require(TextVectors.all.get().pictures[name])
        let lines = try Recognizers.shared.get().text(in: Image(path: Vectors.path("text-\(name).png")))
        #expect(lines.map(\.text) == expected.map(\.text))
        for (line, reference) in zip(lines, expected) {
            #expect(abs(line.confidence - reference.confidence) < 0.02, "\(line.text)")
            for (corner, point) in zip(line.box.corners, TextVectors.points(reference.box)) {
                #expect(abs(corner.x - point.x) <= 2 && abs(corner.y - point.y) <= 2, "\(line.text): \(corner), not \(point)")
            }
        }
    }

    @Test func transparentTextIsRead() throws {
        let recognizer = try Recognizers.shared.get()
        let gray = try Image(path: Vectors.path("text-tiny.png")).converted(to: .gray)
        let texts = try recognizer.text(in: gray).map(\.text)
        #expect(!texts.isEmpty)
        // The darker, the more opaque; once in black, once in white.
        for ink in [0, 255] as [UInt8] {
            let levels = gray.withLevels { $0.flatMap { [ink, ink, ink, 255 - $0] } }
            let image = try Image(levels, size: gray.size, format: .rgba)
            #expect(try recognizer.text(in: image).map(\.text) == texts)
        }
    }

    @Test(arguments: [(1, 1), (1, 2), (31, 1), (4, 4), (40, 3), (3, 40)]) func smallPicturesHoldNoText(size: (Int, Int)) throws {
        let image = try Image(filled: [90], size: ImageSize(width: size.0, height: size.1), format: .gray)
        #expect(try Recognizers.shared.get().text(in: image).isEmpty)
    }

    @Test(arguments: [(2000, 1), (1, 2000), (1900, 2)]) func longThinPicturesAreErrors(size: (Int, Int)) throws {
        let image = try Image(filled: [90], size: ImageSize(width: size.0, height: size.1), format: .gray)
        // What stands is scaled down until it fits; what lies would need bars above and below.
        if size.0 > size.1 {
            #expect(throws: SwiftletError.self) { try Recognizers.shared.get().text(in: image) }
        } else {
            #expect(try Recognizers.shared.get().text(in: image).isEmpty)
        }
    }

    @Test func otherNetworksAreErrors() throws {
        let (detection, recognition) = (try Recognizers.model("ppocr-detection"), try Recognizers.model("ppocr-recognition"))
        // No dictionary; no map.
        #expect(throws: SwiftletError.self) { try TextRecognizer(detection: detection, recognition: detection) }
        let swapped = try TextRecognizer(detection: recognition, recognition: recognition)
        #expect(throws: SwiftletError.self) { try swapped.text(in: Image(path: Vectors.path("text-tiny.png"))) }
        for change in [
            { $0.minimumConfidence = 1.5 }, { $0.boxThreshold = .nan }, { $0.expansion = -1 }, { $0.maximumSide = 0 },
            { $0.detectionSide = .max },
        ] as [@Sendable (inout TextRecognitionOptions) -> Void] {
            var options = TextRecognitionOptions()
            change(&options)
            #expect(throws: SwiftletError.self) { try TextRecognizer(detection: detection, recognition: recognition, options: options) }
        }
    }

    @Test func boxesAreDrawn() throws {
        let photo = try Vectors.photo()
        let corners = [(5.0, 5.0), (50, 8), (61, 47), (-3, 30)].map { ImagePoint(x: $0.0, y: $0.1) }
        let drawn = try photo.drawing([Quadrilateral(ordering: corners)])
        #expect(drawn.size == photo.size && drawn.format == .rgb)
        let pixel = drawn.withLevels { levels in Array(levels[(5 * 61 + 5) * 3..<(5 * 61 + 5) * 3 + 3]) }
        #expect(pixel == [230, 20, 20])
        #expect(try photo.drawing([]) == photo)
    }
}

/// The recogniser of the pulled models, which all tests share.
private enum Recognizers {
    static func path(_ name: String) -> URL? { (try? ModelCache().resolve(name)).map { URL(fileURLWithPath: $0) } }

    static var present: Bool { ["ppocr-detection", "ppocr-recognition", "ppocr-direction"].allSatisfy { path($0) != nil } }

    static func model(_ name: String) throws -> Model { try Model(path: ModelCache().resolve(name)) }

    static let shared = Result {
        try TextRecognizer(
            detection: model("ppocr-detection"), recognition: model("ppocr-recognition"), direction: model("ppocr-direction"))
    }
}
