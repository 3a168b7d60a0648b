// What a model remembers behind a segment: the segments that came next, by what decided, and the memory of runs that are over.
import SwiftletRuntime

/// Held by a segment, or by the model for its first ones. `@unchecked Sendable`: touched only under the model's lock.
final class SegmentMemory: @unchecked Sendable {
    var next = RecentSegments()
    /// Contexts of the segment that nobody runs in.
    var idle: [ExecutionContext] = []
}

/// What decides which segment comes next.
enum SegmentKey: Hashable {
    /// Types and shapes; and the values that are fixed, where there are some.
    case types([ValueSignature], constants: [Tensor?])
    case contents(Tensor)

    func hash(into hasher: inout Hasher) {
        switch self {
        case .types(let signatures, _): hasher.combine(signatures)
        case .contents(let tensor): tensor.withBytes { hasher.combine(bytes: $0) }
        }
    }
}

/// Segments by key, the most recently used kept.
struct RecentSegments {
    /// Shapes of inputs met in turn are few; texts and counts that decide may be many.
    private static let most = 32
    private var used: [(key: SegmentKey, segment: Segment)] = []

    mutating func find(_ key: SegmentKey, make: () throws -> Segment) rethrows -> Segment {
        if let index = used.firstIndex(where: { $0.key == key }) {
            let found = used.remove(at: index)
            used.append(found)
            return found.segment
        }
        let segment = try make()
        used.append((key, segment))
        if used.count > Self.most { used.removeFirst() }
        return segment
    }
}
