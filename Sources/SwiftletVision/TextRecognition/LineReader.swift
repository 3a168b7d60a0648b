// What lines of text say: the recognition network gives, for every 8 columns of a picture 48 pixels high, the probability of each character of
// its dictionary and of "nothing new", and the most probable ones make the text (greedy CTC decoding).
// Source of the decoding: Graves et al., "Connectionist Temporal Classification", 2006, section 3.2 (best path).
import SwiftletNetwork

struct LineReader: Sendable {
    private let network: TextNetwork
    private let decoder: CTCDecoder

    private static let height = 48
    /// The least ratio of width to height of what the network sees.
    private static let shortestRatio = 320.0 / 48
    /// So many lines of similar shape are given the same width.
    private static let groupSize = 6
    /// The longest line read, as the ratio of its width to its height; longer ones are squeezed.
    private static let longestRatio = 200.0

    /// Throws `SwiftletError.unsupported` when the model's metadata holds no dictionary under `character`.
    init(_ network: TextNetwork) throws {
        guard let characters = network.model.metadata["character"] else {
            throw SwiftletError.unsupported(
                file: network.model.path, place: "the metadata",
                reason: "there is no entry 'character' with the characters the model can read",
                remedy: "Use an export that has it, as those of rapidocr-onnxruntime.")
        }
        self.network = network
        decoder = CTCDecoder(dictionary: characters)
    }

    /// The text of each line and the mean probability of its characters, 0 where there are none.
    ///
    /// As in PP-OCR's own code, lines are sorted by shape, and six neighbours get the width of the longest: what the network sees to the
    /// right of a line has a small influence on it. They go through it one by one nevertheless, so that fewer shapes have to be prepared.
    func read(_ lines: [Image]) throws -> [(text: String, confidence: Double)] {
        let ratios = lines.map { min(Double($0.width) / Double($0.height), Self.longestRatio) }
        let order = lines.indices.sorted { (ratios[$0], $0) < (ratios[$1], $1) }
        var results = [(text: String, confidence: Double)](repeating: ("", 0), count: lines.count)
        for start in stride(from: 0, to: order.count, by: Self.groupSize) {
            let group = order[start..<min(start + Self.groupSize, order.count)]
            let ratio = group.map { ratios[$0] }.reduce(Self.shortestRatio, max)
            let width = Int(Double(Self.height) * ratio)
            for index in group {
                try Task.checkCancellation()
                let picture = try TextNetwork.tensor(for: lines[index], height: Self.height, width: width)
                results[index] = try decoder.decode(network.run(picture, expecting: [1, nil, decoder.classCount]))
            }
        }
        return results
    }
}
