// Allocations and reference counts of a piece of work, as often as it is done once.
import AllocationCounter

/// Averages over many times, of the whole process.
struct Counts: Codable {
    /// malloc and its relatives.
    let allocations: Double
    /// Swift objects among them.
    let objects: Double
    let retains: Double
    let releases: Double

    /// Counts `body`, which does the work `times` times.
    init(times: Int, _ body: () throws -> Void) rethrows {
        allocation_counter_start()
        defer { _ = allocation_counter_stop() }
        try body()
        let counts = allocation_counter_stop()
        func average(_ count: Int) -> Double { Double(count) / Double(times) }
        (allocations, objects) = (average(counts.allocations), average(counts.objects))
        (retains, releases) = (average(counts.retains), average(counts.releases))
    }
}

/// Work that is counted.
struct CountedCase: Codable {
    let name: String
    let counts: Counts
}

/// Allocates on purpose, a list of two objects a time: where this is not counted, no count means anything.
struct Control {
    final class Link {
        let next: Link?
        init(_ next: Link?) { self.next = next }
    }

    private var list: Link?

    @inline(never)
    mutating func run() { list = Link(Link(nil)) }
}
