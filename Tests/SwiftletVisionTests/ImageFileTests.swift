// JPEG and PNG files against what Pillow reads, and files that are damaged or lie.
import Foundation
import SwiftletTensor
import SwiftletVision
import TestSupport
import Testing

@Suite struct ImageFileTests {
    /// The wheels of Pillow bring a newer libjpeg-turbo than Debian; both compute the same integer transform.
    @Test(arguments: ["444", "422", "420", "progressive", "restarts", "gray", "cmyk", "ycck"])
    func readsJPEGAsPillowDoes(name: String) throws {
        let image = try Image(path: Vectors.path("\(name).jpg"))
        #expect(try largestDifference(image, Vectors.image(name)) == 0)
    }

    @Test(arguments: [
        "rgb", "luma", "rgba", "gray-alpha", "palette", "palette-alpha", "rgb16", "gray16", "gray1", "gray2", "gray4", "interlaced",
    ])
    func readsPNGExactly(name: String) throws {
        let image = try Image(path: Vectors.path("\(name).png"))
        #expect(try largestDifference(image, Vectors.image(name)) == 0)
    }

    @Test(arguments: 1...8) func picturesAreTurnedUpright(orientation: Int) throws {
        let name = "oriented-\(orientation)"
        #expect(try largestDifference(Image(path: Vectors.path("\(name).jpg")), Vectors.image(name)) == 0)
        let stored = try Image(path: Vectors.path("\(name).jpg"), upright: false)
        #expect(stored.size == ImageSize(width: 16, height: 24))
        let turned = try #require(ImageOrientation(rawValue: UInt16(orientation)))
        #expect(try stored.oriented(turned) == Vectors.image(name))
    }

    @Test func orientationOfPNG() throws {
        #expect(try largestDifference(Image(path: Vectors.path("oriented.png")), Vectors.image("oriented")) == 0)
        #expect(try Image(path: Vectors.path("oriented.png"), upright: false).size == ImageSize(width: 16, height: 24))
    }

    @Test func senselessOrientationsAreIgnored() throws {
        // Big-endian, as Pillow writes; the value is the last of "01 12, 00 03, 00 00 00 01, 00 06".
        let bytes = try Vectors.bytes("oriented-6.jpg")
        let tag: [UInt8] = [0x01, 0x12, 0x00, 0x03, 0, 0, 0, 1, 0x00, 0x06]
        let place = try #require((0..<bytes.count - tag.count).first { bytes[$0..<$0 + tag.count].elementsEqual(tag) })
        let stored = try Image(encoded: bytes, name: "x", upright: false)
        for value in [0, 9, 255] as [UInt8] {
            var changed = bytes
            changed[place + 9] = value
            #expect(try Image(encoded: changed, name: "x") == stored)
        }
        // Wrong type, wrong count, a directory beyond the block.
        for (offset, value) in [(3, 4), (7, 2), (-11, 0xFF)] as [(Int, UInt8)] {
            var changed = bytes
            changed[place + offset] = value
            #expect(try Image(encoded: changed, name: "x").pixels.elementCount == stored.pixels.elementCount)
        }
    }

    @Test(arguments: ["photo", "rgba", "luma"]) func writtenPNGReadsBack(name: String) throws {
        let image = try Vectors.image(name)
        #expect(try Image(encoded: image.pngBytes(), name: "x") == image)
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.png").path
            try image.writePNG(to: path)
            #expect(try Image(path: path) == image)
            #expect(throws: SwiftletError.self) { try image.writePNG(to: folder.appending(path: "none/x.png").path) }
        }
    }

    @Test(arguments: ["420.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "interlaced.png"])
    func cutFilesAreErrors(name: String) throws {
        let bytes = try Vectors.bytes(name)
        // A JPEG file is whole without its last marker's second byte as far as its pixels go, but not without the marker.
        for count in stride(from: 0, to: bytes.count - 2, by: 7) {
            #expect(throws: SwiftletError.self, "\(count) bytes") { try Image(encoded: bytes.prefix(count), name: "x") }
        }
    }

    @Test func damagedPixelsAreErrors() throws {
        let png = try Vectors.bytes("rgb.png")
        var changed = png
        changed[png.count / 2] ^= 0x10  // inside the compressed pixels: the checksum tells
        #expect(throws: SwiftletError.self) { try Image(encoded: changed, name: "x") }
        var jpeg = try Vectors.bytes("420.jpg")
        jpeg.replaceSubrange(jpeg.count - 200..<jpeg.count - 180, with: [0xFF, 0xD9])
        #expect(throws: SwiftletError.self) { try Image(encoded: jpeg, name: "x") }
    }

    @Test func sizesAreCheckedBeforeMemoryIsAskedFor() throws {
        let photo = Vectors.path("420.jpg")
        #expect(throws: SwiftletError.self) { try Image(path: photo, limits: ImageLimits(maximumPixels: 61 * 47 - 1)) }
        #expect(try Image(path: photo, limits: ImageLimits(maximumPixels: 61 * 47)).size == ImageSize(width: 61, height: 47))
        #expect(throws: SwiftletError.self) { try Image(path: Vectors.path("progressive.jpg"), limits: ImageLimits(maximumScans: 2)) }
        // A header of 60,000 × 60,000 pixels over a few bytes.
        var jpeg = try Vectors.bytes("420.jpg")
        let frame = try #require((0..<jpeg.count).first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
        jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xEA, 0x60, 0xEA, 0x60])
        #expect(throws: SwiftletError.self) { try Image(encoded: jpeg, name: "x") }
        // 10,000 × 10,000 is within the limit, but the file is far too short for it.
        let small = try Vectors.bytes("luma.png")
        let claimed = Self.png(replacingHeaderOf: small, width: 10_000, height: 10_000)
        do {
            _ = try Image(encoded: claimed, name: "x")
            Issue.record("was read")
        } catch SwiftletError.malformed(_, _, let reason, _) {
            #expect(reason.contains("cannot hold"))
        }
    }

    /// The file with another size in its header and the right checksum there.
    private static func png(replacingHeaderOf bytes: [UInt8], width: UInt32, height: UInt32) -> [UInt8] {
        var result = bytes
        func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
        result.replaceSubrange(16..<24, with: big(width) + big(height))
        var sum: UInt32 = .max
        for byte in result[12..<29] {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
        }
        result.replaceSubrange(29..<33, with: big(~sum))
        return result
    }

    @Test func otherFilesAreNamed() throws {
        for bytes in [[], Array("GIF89a".utf8), Array("BM".utf8), [0xFF, 0xD8], [0xFF, 0xD8, 0xFF], [0x89, 0x50, 0x4E, 0x47]] as [[UInt8]] {
            #expect(throws: SwiftletError.self) { try Image(encoded: bytes, name: "x") }
        }
        #expect(throws: SwiftletError.self) { try Image(path: Vectors.path("none.jpg")) }
        #expect(throws: SwiftletError.self) { try Image(path: Vectors.path("photo.npy")) }
    }

    @Test(arguments: [
        "420.jpg", "progressive.jpg", "ycck.jpg", "oriented-6.jpg", "palette-alpha.png", "interlaced.png", "gray1.png", "oriented.png",
    ])
    func mutatedFilesOnlyThrow(name: String) throws {
        let bytes = try Vectors.bytes(name)
        var random = SeededGenerator(seed: UInt64(bytes.count))
        var opened = 0, refused = 0
        for index in 0..<2_000 {
            var mutant = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) where !mutant.isEmpty {
                let limit = Bool.random(using: &random) ? min(200, mutant.count) : mutant.count
                let place = Int.random(in: 0..<limit, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: mutant[place] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
                case 1: mutant.removeSubrange(place..<min(mutant.count, place + 5))
                case 2: mutant.insert(contentsOf: mutant[place..<min(mutant.count, place + 20)], at: place)
                default: mutant[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                }
            }
            do {
                let image = try Image(encoded: mutant, name: "mutant", limits: ImageLimits(maximumPixels: 1 << 20))
                #expect(image.pixels.elementCount == image.width * image.height * image.format.channels)
                opened += 1
            } catch is SwiftletError {
                refused += 1
            } catch {
                Issue.record("case \(index): \(error)")
            }
        }
        #expect(opened > 2 && refused > 200, "\(opened) opened, \(refused) refused")
    }
}
