// A value behind a lock, for what the threads of a test share. A POSIX lock, unlike `Synchronization.Mutex`, is known to the thread sanitizer.
import Foundation

/// `@unchecked Sendable`: the value is only reached with the lock held.
package final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    package init(_ value: Value) { self.value = value }

    package func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
