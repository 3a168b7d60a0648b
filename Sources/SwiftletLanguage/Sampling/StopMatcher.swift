// Ends a stream of text at a stop string. The text arrives in pieces of any size; the result does not depend on where they were cut.
//
// Text that may be the start of a stop string is held back until it is known whether it is one. Matching is by UTF-8 bytes, and the
// stream ends at the stop string that is complete first; when several end at the same byte, the longest of them is cut out.

/// Watches a stream of text for stop strings.
public struct StopMatcher: Sendable {
    private let stops: [[UInt8]]
    private let strings: [String]
    /// Bytes not handed out yet: always the start of some stop string, except inside `append`.
    private var held: [UInt8] = []

    /// The stop string that ended the stream.
    public private(set) var matched: String?

    /// Watches for `stops`; empty strings among them are never found.
    public init(_ stops: [String]) {
        strings = stops.filter { !$0.isEmpty }
        self.stops = strings.map { Array($0.utf8) }
    }

    /// Takes in a piece of the stream and returns the text that can be shown now. After a match it returns nothing.
    public mutating func append(_ text: String) -> String {
        guard matched == nil else { return "" }
        guard !stops.isEmpty else { return text }
        var searched = held.count
        held.append(contentsOf: text.utf8)
        while searched < held.count {
            searched += 1
            if let index = longestStop(endingAt: searched) {
                matched = strings[index]
                let shown = String(decoding: held[..<(searched - stops[index].count)], as: UTF8.self)
                held.removeAll()
                return shown
            }
        }
        let shown = held.count - heldBackCount()
        guard shown > 0 else { return "" }
        let result = String(decoding: held[..<shown], as: UTF8.self)
        held.removeFirst(shown)
        return result
    }

    /// The end of the stream: what was held back is text after all.
    public mutating func finish() -> String {
        defer { held.removeAll() }
        return String(decoding: held, as: UTF8.self)
    }

    /// The longest stop string that ends at byte `end` of `held`.
    private func longestStop(endingAt end: Int) -> Int? {
        var found: Int?
        for (index, stop) in stops.enumerated() where stop.count <= end && held[(end - stop.count)..<end].elementsEqual(stop) {
            if let other = found, stops[other].count >= stop.count { continue }
            found = index
        }
        return found
    }

    /// The length of the longest end of `held` that a stop string starts with.
    private func heldBackCount() -> Int {
        let longest = (stops.map(\.count).max() ?? 0) - 1
        for count in stride(from: min(longest, held.count), to: 0, by: -1) {
            let end = held[(held.count - count)...]
            if stops.contains(where: { $0.count > count && $0.starts(with: end) }) { return count }
        }
        return 0
    }
}
