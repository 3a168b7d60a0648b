// Which way up a line of text is: a network that tells 0 from 180 degrees, on pictures of 48 × 192.
import SwiftletNetwork

struct TextDirection: Sendable {
    let network: TextNetwork
    /// The least probability that turns a line.
    let threshold: Float

    /// The line, turned when it is upside down.
    ///
    /// Lines go through the network one by one, for one shape prepares it once for all.
    func upright(_ line: Image) throws -> Image {
        let scores = try network.run(TextNetwork.tensor(for: line, height: 48, width: 192), expecting: [1, 2]).elements(as: Float.self)
        return scores[1] > scores[0] && scores[1] > threshold ? try line.oriented(.bottomRight) : line
    }
}
