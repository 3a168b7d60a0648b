// Errors out of work that many threads share: pools run closures that cannot throw.
import CKernels
import Synchronization

/// Keeps the first error.
final class FirstFailure: Sendable {
    private let error = Mutex<(any Error)?>(nil)

    /// Runs `body` unless something failed before.
    func catching(_ body: () throws -> Void) {
        guard error.withLock({ $0 == nil }) else { return }
        do {
            try body()
        } catch {
            self.error.withLock { if $0 == nil { $0 = error } }
        }
    }

    /// Throws the first error, if there was one.
    func rethrow() throws { if let error = error.withLock({ $0 }) { throw error } }
}

extension Float {
    /// The bits of the nearest binary16 and bfloat16 number.
    var halfBits: UInt16 { ck_float_to_half(self) }
    var bfloatBits: UInt16 { ck_float_to_bfloat(self) }
}
