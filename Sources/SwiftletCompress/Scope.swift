// Which weights a step works on: names by pattern.

/// A selection of weights by name. `*` in a pattern stands for any run of characters, `?` for one; the whole name must match.
///
/// A weight is taken when a pattern of `include` matches its name and none of `exclude` does.
public struct Scope: Sendable, Hashable, Codable {
    public var include: [String]
    public var exclude: [String]

    public init(include: [String] = ["*"], exclude: [String] = []) {
        self.include = include
        self.exclude = exclude
    }

    /// Every weight the technique can work on.
    public static let all = Scope()

    public func contains(_ name: String) -> Bool {
        include.contains { Self.matches(name, $0) } && !exclude.contains { Self.matches(name, $0) }
    }

    /// Matches in linear time but for the last star, which is the only one that is ever taken back.
    static func matches(_ name: String, _ pattern: String) -> Bool {
        let (text, glob) = (Array(name.utf8), Array(pattern.utf8))
        let (star, any) = (UInt8(ascii: "*"), UInt8(ascii: "?"))
        var (t, g) = (0, 0)
        var retry: (text: Int, glob: Int)?
        while t < text.count {
            if g < glob.count, glob[g] == star {
                g += 1
                retry = (t, g)
            } else if g < glob.count, glob[g] == any || glob[g] == text[t] {
                t += 1
                g += 1
            } else if let last = retry {
                t = last.text + 1
                g = last.glob
                retry = (t, g)
            } else {
                return false
            }
        }
        return glob[g...].allSatisfy { $0 == star }
    }
}
