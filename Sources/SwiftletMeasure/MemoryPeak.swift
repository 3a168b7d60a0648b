// The memory that one piece of work needs, apart from what the process held before it.
import Foundation
import SwiftletRuntime

/// Begins where it is made.
package struct MemoryPeak {
    private let before: Int

    /// Starts the system's record of the peak anew (Linux: 5 into /proc/self/clear_refs, see proc(5)). Nil where that is not possible.
    package init?() {
        guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return nil }
        defer { try? file.close() }
        guard (try? file.write(contentsOf: Data("5".utf8))) != nil else { return nil }
        before = ProcessMemory.current().residentBytes
    }

    /// The most that was resident since, in bytes, less what was at the beginning.
    package var growthBytes: Int { max(0, ProcessMemory.current().peakResidentBytes - before) }
}
