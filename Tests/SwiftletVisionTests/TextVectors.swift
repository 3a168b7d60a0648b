import Foundation
import SwiftletVision

/// What Scripts/make_text_vectors.py writes: pictures of text, and what rapidocr-onnxruntime, OpenCV and pyclipper make of them.
struct TextVectors: Decodable {
    struct Line: Decodable {
        let text: String
        let confidence: Double
        let box: [[Double]]
    }

    struct Geometry: Decodable {
        /// The border of a region, pixel by pixel.
        let points: [[Int]]
        /// The smallest rectangle around it, and its sides.
        let corners: [[Double]]
        let sides: [Double]
        /// What the rectangle is after it has grown by so many pixels.
        let distance: Double
        let grown: [[Double]]
        /// The pixels on and inside the rectangle.
        let covered: Int
    }

    let pictures: [String: [Line]]
    let geometry: [Geometry]
    let crops: [[[Double]]]

    static let all = Result { try JSONDecoder().decode(TextVectors.self, from: Data(Vectors.bytes("text.json"))) }

    static func points(_ pairs: [[Double]]) -> [ImagePoint] { pairs.map { ImagePoint(x: $0[0], y: $0[1]) } }
}
