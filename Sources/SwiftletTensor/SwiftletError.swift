// Every failure Swiftlet reports, as one closed enum. Each case says where (file, byte offset, node, line), what, and what to do.

/// The error thrown by every Swiftlet library.
///
/// A case names the place of the failure and carries a `remedy`: one sentence that tells the user what to do next.
public enum SwiftletError: Error, Sendable, Equatable {
    /// The operating system refused an operation on a file (open, map, read, write, rename).
    case io(path: String, reason: String, remedy: String)

    /// The bytes of a file are not what its format promises. `offset` is in bytes from the start of the file.
    case malformed(file: String, offset: Int, reason: String, remedy: String)

    /// The input is valid but uses something this version does not implement. `place` is a tensor, key, node or operator name.
    case unsupported(file: String, place: String, reason: String, remedy: String)

    /// A text input (chat template, recipe, JSON) is wrong at a line and column, both counted from 1.
    case syntax(source: String, line: Int, column: Int, reason: String, remedy: String)

    /// A graph breaks a rule of the verifier; `node` is the name of the offending node or value.
    case invalidGraph(node: String, reason: String, remedy: String)

    /// A caller's argument is out of range or contradicts another one.
    case invalidArgument(name: String, reason: String, remedy: String)

    /// A prompt and its requested continuation do not fit the context window. All numbers are tokens.
    case contextOverflow(needed: Int, available: Int, excess: Int)

    /// The machine cannot give `bytes` bytes of memory for `purpose`.
    case outOfMemory(bytes: Int, purpose: String)

    /// A numerical method met data it cannot handle: no convergence, not positive definite. `routine` is its name in the literature or in LAPACK.
    case numerical(routine: String, reason: String, remedy: String)

    /// A file could not be fetched from `source` (an address or a package): no network, an error answer, a tool that is missing.
    case download(source: String, reason: String, remedy: String)

    /// The bytes of a fetched file are not the published ones; the file has been deleted. Both sums are SHA-256 in hexadecimal.
    case checksumMismatch(file: String, expected: String, actual: String, remedy: String)
}

extension SwiftletError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .io(let path, let reason, let remedy): "\(path): \(reason). \(remedy)"
        case .malformed(let file, let offset, let reason, let remedy): "\(file): byte \(offset): \(reason). \(remedy)"
        case .unsupported(let file, let place, let reason, let remedy): "\(file): \(place): \(reason). \(remedy)"
        case .syntax(let source, let line, let column, let reason, let remedy):
            "\(source):\(line):\(column): \(reason). \(remedy)"
        case .invalidGraph(let node, let reason, let remedy): "graph node '\(node)': \(reason). \(remedy)"
        case .invalidArgument(let name, let reason, let remedy): "\(name): \(reason). \(remedy)"
        case .contextOverflow(let needed, let available, let excess):
            "\(needed) tokens do not fit the context of \(available): \(excess) too many. "
                + "Shorten the prompt, raise the context, or allow the context to shift."
        case .outOfMemory(let bytes, let purpose):
            "no memory for \(purpose) (\(bytes) bytes). Free memory or choose a smaller model or context."
        case .numerical(let routine, let reason, let remedy): "\(routine): \(reason). \(remedy)"
        case .download(let source, let reason, let remedy): "\(source): \(reason). \(remedy)"
        case .checksumMismatch(let file, let expected, let actual, let remedy):
            "\(file): SHA-256 is \(actual) where \(expected) was promised; the file was deleted. \(remedy)"
        }
    }
}
