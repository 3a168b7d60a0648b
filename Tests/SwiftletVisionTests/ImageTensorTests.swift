// From pictures to the input of a network, and the cards that say how.
import Foundation
import SwiftletTensor
import SwiftletVision
import Testing

@Suite struct ImageTensorTests {
    private static func difference(_ left: Tensor, _ right: Tensor) throws -> Float {
        #expect(left.shape == right.shape)
        return try zip(left.floats(), right.floats()).map { abs($0 - $1) }.max() ?? 0
    }

    @Test func theUsualRecipeOfImageNet() throws {
        var card = ImageModelCard.imageNet(side: 32)
        #expect(card.recipe == .centerCrop(shorterSide: 37))
        card.recipe = .centerCrop(shorterSide: 40)
        let tensor = try card.tensor(for: Vectors.photo())
        #expect(tensor.shape == [1, 3, 32, 32])
        #expect(try Self.difference(tensor, Vectors.tensor("recipe-imagenet")) < 2e-6)
        #expect(ImageModelCard.imageNet().recipe == .centerCrop(shorterSide: 256))
    }

    @Test func stretchedBlueFirstChannelsLast() throws {
        let card = ImageModelCard(
            size: ImageSize(width: 24, height: 32), filter: .bicubic, normalization: PixelNormalization(mean: [127], scale: [1 / 128]),
            layout: .nhwc, order: .bgr)
        #expect(try Self.difference(card.tensor(for: Vectors.photo()), Vectors.tensor("recipe-stretch")) == 0)
    }

    @Test func fromFileToTensorInOneCall() throws {
        let card = ImageModelCard(size: ImageSize(width: 8, height: 8), recipe: .letterbox(fill: 255), normalization: .levels)
        let tensor = try card.tensor(path: Vectors.path("oriented-6.jpg"))
        #expect(try tensor == card.tensor(for: Image(path: Vectors.path("oriented-6.jpg"))))
        // 24 × 16 upright: the upper rows are canvas.
        #expect(try tensor.elements(as: Float.self)[0] == 255)
    }

    @Test func batchesAreFilledInPlace() throws {
        let card = ImageModelCard(size: ImageSize(width: 4, height: 4), normalization: .levels)
        let (red, blue) = (
            try Image(filled: [255, 0, 0], size: ImageSize(width: 9, height: 9), format: .rgb),
            try Image(filled: [0, 0, 255, 1], size: ImageSize(width: 9, height: 9), format: .rgba)
        )
        var batch = try card.tensor(for: [red, blue])
        #expect(batch.shape == [2, 3, 4, 4])
        let values = try batch.elements(as: Float.self)
        #expect(values[0] == 255 && values[16] == 0 && values[32] == 0)
        #expect(values[48] == 0 && values[64] == 0 && values[80] == 255)
        let address = batch.withBytes { $0.baseAddress }
        try card.write(blue, into: &batch, at: 0)
        #expect(batch.withBytes { $0.baseAddress } == address)
        #expect(try batch.elements(as: Float.self)[32] == 255)
        #expect(throws: SwiftletError.self) { try card.write(blue, into: &batch, at: 2) }
        #expect(throws: SwiftletError.self) { try card.write(blue, into: &batch, at: -1) }
        var wrong = try Tensor(zeros: .f32, shape: [2, 4, 4, 3])
        #expect(throws: SwiftletError.self) { try card.write(blue, into: &wrong, at: 0) }
    }

    @Test func channelsConvert() throws {
        let photo = try Vectors.photo()
        let gray = try photo.converted(to: .gray)
        #expect(try gray.converted(to: .rgb).converted(to: .gray) == gray)
        #expect(try photo.converted(to: .rgba).converted(to: .rgb) == photo)
        #expect(try photo.tensor(order: .gray, normalization: .levels).shape == [1, 1, 47, 61])
        let half = try Image([10, 20, 30, 0, 10, 20, 30, 255, 100, 0, 0, 51], size: ImageSize(width: 3, height: 1), format: .rgba)
        #expect(try half.flattened(over: (200, 100, 0)).withLevels { Array($0) } == [200, 100, 0, 10, 20, 30, 180, 80, 0])
    }

    @Test func normalizationsAreChecked() throws {
        let photo = try Vectors.photo()
        for (mean, scale) in [([0, 0], [1]), ([], [1]), ([0], []), ([.nan], [1]), ([0], [1, 1, 1, 1])] as [([Float], [Float])] {
            #expect(throws: SwiftletError.self) { try photo.tensor(normalization: PixelNormalization(mean: mean, scale: scale)) }
        }
    }

    // MARK: Cards

    private static func card(_ text: String) throws -> ImageModelCard { try ImageModelCard(json: Data(text.utf8), name: "card.json") }

    @Test func cardsAreReadFromJSON() throws {
        #expect(try Self.card(#"{"width": 320, "height": 48}"#) == ImageModelCard(size: ImageSize(width: 320, height: 48)))
        let full = try Self.card(
            #"""
            {"width": 224, "height": 200, "recipe": "centerCrop", "shorterSide": 256, "filter": "bicubic", "antialias": false,
             "mean": [1, 2, 3], "scale": [0.5], "layout": "nhwc", "channels": "bgr", "labels": ["cat", "dog"]}
            """#)
        #expect(
            full
                == ImageModelCard(
                    size: ImageSize(width: 224, height: 200), recipe: .centerCrop(shorterSide: 256), filter: .bicubic, antialias: false,
                    normalization: PixelNormalization(mean: [1, 2, 3], scale: [0.5]), layout: .nhwc, order: .bgr, labels: ["cat", "dog"]))
        for recipe in [ImageRecipe.stretch, .letterbox(fill: 3), .centerCrop(shorterSide: 300)] {
            var card = full
            card.recipe = recipe
            #expect(try ImageModelCard(json: JSONEncoder().encode(card), name: "x") == card)
        }
    }

    @Test(arguments: [
        "", "[]", "{", #"{"width": 1}"#, #"{"width": 0, "height": 1}"#, #"{"width": 1, "height": 1, "anti-alias": true}"#,
        #"{"width": 1, "height": 1, "recipe": "crop"}"#, #"{"width": 1, "height": 1, "recipe": "centerCrop"}"#,
        #"{"width": 1, "height": 1, "recipe": "letterbox", "fill": 256}"#, #"{"width": 1, "height": 1, "mean": [1, 2]}"#,
        #"{"width": 1, "height": 1, "channels": "gray", "scale": [1, 2, 3]}"#, #"{"width": 1.5, "height": 1}"#,
        #"{"width": 99999999, "height": 1}"#,
    ])
    func wrongCardsAreErrors(text: String) {
        #expect(throws: SwiftletError.self) { try Self.card(text) }
    }

    @Test func cardsAndLabelsAreReadFromFiles() throws {
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "card.json")
            try Data(#"{"width": 3, "height": 2}"#.utf8).write(to: path)
            #expect(try ImageModelCard(path: path.path).shape(batch: 4) == [4, 3, 2, 3])
            try Data("tench\r\ngold fish\n\nshark\n\n".utf8).write(to: path)
            #expect(try ImageModelCard.labels(path: path.path) == ["tench", "gold fish", "", "shark"])
            try Data([0xFF, 0xFE]).write(to: path)
            #expect(throws: SwiftletError.self) { try ImageModelCard.labels(path: path.path) }
            #expect(throws: SwiftletError.self) { try ImageModelCard(path: folder.appending(path: "none").path) }
        }
    }

    @Test func cropsLargerThanTheShorterSideAreErrors() throws {
        let card = ImageModelCard(size: ImageSize(width: 32, height: 33), recipe: .centerCrop(shorterSide: 32))
        #expect(throws: SwiftletError.self) { try card.tensor(for: Vectors.photo()) }
    }
}
