// Finds control and user-defined tokens in text: leftmost first, the longest where several start at one place.
//
// A byte trie in flat arrays behind a 256-entry table of first bytes, so plain text costs one look-up a byte.

struct AddedTokens: Sendable {
    /// How a token treats white space beside it: some models were trained with it removed.
    struct Trim: OptionSet, Sendable {
        let rawValue: UInt8
        static let left = Trim(rawValue: 1)
        static let right = Trim(rawValue: 2)
    }

    struct Match {
        let id: Int32
        let end: Int
        let trim: Trim
    }

    private struct Node {
        var byte: UInt8
        /// A token that ends here, or `TokenTable.missing`.
        var token: Int32 = TokenTable.missing
        /// Found only when special tokens are parsed.
        var isControl = false
        var trim: Trim = []
        var firstChild: Int32 = -1
        var sibling: Int32 = -1
    }

    private var nodes: [Node] = [Node(byte: 0)]
    /// First bytes of all tokens, and of those that are always parsed.
    private var starts = [Bool](repeating: false, count: 256)
    private var plainStarts = [Bool](repeating: false, count: 256)
    private(set) var isEmpty = true
    /// True when every token here is a control token.
    private(set) var hasControlOnly = true

    /// Adds a token; of two with the same bytes the first one counts.
    mutating func insert(_ bytes: UnsafeBufferPointer<UInt8>, id: Int32, isControl: Bool, trim: Trim) {
        guard let first = bytes.first else { return }
        var node = 0
        for byte in bytes { node = child(of: node, byte) ?? addChild(to: node, byte) }
        guard nodes[node].token < 0 else { return }
        nodes[node].token = id
        nodes[node].isControl = isControl
        nodes[node].trim = trim
        isEmpty = false
        starts[Int(first)] = true
        if !isControl {
            plainStarts[Int(first)] = true
            hasControlOnly = false
        }
    }

    private func child(of node: Int, _ byte: UInt8) -> Int? {
        var child = nodes[node].firstChild
        while child >= 0 {
            if nodes[Int(child)].byte == byte { return Int(child) }
            child = nodes[Int(child)].sibling
        }
        return nil
    }

    private mutating func addChild(to node: Int, _ byte: UInt8) -> Int {
        nodes.append(Node(byte: byte, sibling: nodes[node].firstChild))
        nodes[node].firstChild = Int32(nodes.count - 1)
        return nodes.count - 1
    }

    /// The first match from `start` on, and where it starts; nil when there is none before `end`.
    func first(_ base: UnsafePointer<UInt8>, from start: Int, to end: Int, parseSpecial: Bool) -> (start: Int, match: Match)? {
        if isEmpty || (hasControlOnly && !parseSpecial) { return nil }
        return (parseSpecial ? starts : plainStarts).withUnsafeBufferPointer { starts in
            var index = start
            while index < end {
                if starts[Int(base[index])], let match = longest(base, at: index, to: end, parseSpecial: parseSpecial) {
                    return (index, match)
                }
                index += 1
            }
            return nil
        }
    }

    private func longest(_ base: UnsafePointer<UInt8>, at start: Int, to end: Int, parseSpecial: Bool) -> Match? {
        var best: Match?
        var node = 0
        var index = start
        while index < end, let next = child(of: node, base[index]) {
            node = next
            index += 1
            let found = nodes[node]
            if found.token >= 0, parseSpecial || !found.isControl { best = Match(id: found.token, end: index, trim: found.trim) }
        }
        return best
    }
}
