// Where text is: the detection network at a size it was trained for, and boxes from its map.
import SwiftletNetwork

struct TextDetector: Sendable {
    let network: TextNetwork
    /// Pictures are enlarged until their shorter side has so many pixels, unless they would exceed `WorkingPicture.maximumPixels`.
    let shorterSide: Int
    let postprocessing: TextBoxes

    /// The boxes of text in a picture, whole pixels inside it, in reading order.
    func boxes(in picture: Image) throws -> [Quadrilateral] {
        let wanted = max(1, Double(shorterSide) / Double(min(picture.width, picture.height)))
        let possible = (Double(WorkingPicture.maximumPixels) / Double(picture.width * picture.height)).squareRoot()
        let size = WorkingPicture.scaled(picture.size, by: min(wanted, possible))
        let scaled = try picture.resized(to: size, antialias: false)
        let map = try network.run(
            scaled.tensor(order: .bgr, normalization: TextNetwork.normalization), expecting: [1, 1, size.height, size.width])
        let boxes = try map.withElements(as: Float.self) { postprocessing.boxes(in: $0, width: size.width, height: size.height) }
        return boxes.compactMap { Self.inside(picture.size, $0, of: size) }.inReadingOrder()
    }

    /// A box of the map in pixels of the picture; nil when a side of it has three pixels or less.
    private static func inside(_ picture: ImageSize, _ box: Quadrilateral, of map: ImageSize) -> Quadrilateral? {
        func place(_ value: Double, _ from: Int, _ to: Int) -> Double {
            min(max((value / Double(from) * Double(to)).rounded(.toNearestOrEven), 0), Double(to))
        }
        let placed = box.map { ImagePoint(x: place($0.x, map.width, picture.width), y: place($0.y, map.height, picture.height)) }
        let result = Quadrilateral(ordering: placed.corners).map {
            ImagePoint(x: min($0.x, Double(picture.width - 1)), y: min($0.y, Double(picture.height - 1)))
        }
        guard result.topLeft.distance(to: result.topRight) >= 4, result.topLeft.distance(to: result.bottomLeft) >= 4 else { return nil }
        return result
    }
}
