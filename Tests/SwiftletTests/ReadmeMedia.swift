import Foundation
import Swiftlet
import SwiftletAudio
import SwiftletVision

/// What is in a picture, the likeliest first.
func nameWhatIsThere(in picture: String, model path: String) async throws -> [ImageClassifier.Prediction] {
    let model = try await Model.load(URL(fileURLWithPath: path))
    var card = ImageModelCard.imageNet()  // resized to 256, the middle 224; or a card from a JSON file
    card.normalization = PixelNormalization(mean: [127], scale: [1 / 128])
    return try ImageClassifier(model: model, card: card).classify(Image(path: picture), top: 3)
}

/// How many windows of 32 ms somebody speaks in, of sound that comes in pieces of any size.
func countSpeech(in pieces: some Sequence<[Float]>, model path: String) async throws -> Int {
    let detector = try await VoiceActivityDetector(VoiceActivityDetector.loadModel(URL(fileURLWithPath: path)))
    var count = 0
    for piece in pieces {
        for probability in try detector.process(piece) where probability > 0.5 { count += 1 }
    }
    return count
}
