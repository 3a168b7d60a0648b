// Reductions of one row of numbers for those above the graph: sampling and evaluation look at rows of logits the program left behind.
import CKernels
import SwiftletPortableKernels

/// Maximum, sum, log-sum-exp and exponentials of a row of 32-bit floats, by the best vector set of this CPU.
package struct RowReductions: Sendable {
    private typealias Reduction = @convention(c) (UnsafePointer<Float>?, Int64) -> Float
    private typealias Search = @convention(c) (UnsafePointer<Float>?, Int64) -> Int64

    private let logSumExp: Reduction
    private let sum: Reduction
    private let max: Reduction
    private let argmax: Search
    private let exp: UnaryKernel

    /// Chooses the set for `isa` (CK_ISA_* bits). Throws `SwiftletError.unsupported` when the set lacks an operation (an incomplete build).
    package init(isa: UInt32 = ck_isa_detect() | PortableKernels.isa) throws {
        guard let set = PortableKernels.findVector(isa: isa), let logSumExp = set.log_sum_exp, let sum = set.sum, let max = set.max, let argmax = set.argmax,
            let exp = set.exp
        else {
            throw SwiftletError.unsupported(
                file: "kernels", place: "row reductions", reason: "are missing from this build", remedy: "Rebuild the package.")
        }
        self.logSumExp = logSumExp
        self.sum = sum
        self.max = max
        self.argmax = argmax
        self.exp = exp
    }

    /// log Σ exp(x) of a row; −∞ for an empty one.
    package func logSumExp(_ row: UnsafeBufferPointer<Float>) -> Float {
        row.isEmpty ? -.infinity : logSumExp(row.baseAddress, Int64(row.count))
    }

    /// The sum of a row. It is NaN exactly when the row holds a NaN or infinities of both signs.
    package func sum(_ row: UnsafeBufferPointer<Float>) -> Float { sum(row.baseAddress, Int64(row.count)) }

    /// The largest number of a row, NaNs left aside; −∞ for an empty row.
    package func max(_ row: UnsafeBufferPointer<Float>) -> Float { max(row.baseAddress, Int64(row.count)) }

    /// The index of the largest number of a row, the first of equals; nil for an empty row.
    package func argmax(_ row: UnsafeBufferPointer<Float>) -> Int? {
        row.isEmpty ? nil : Int(argmax(row.baseAddress, Int64(row.count)))
    }

    /// Replaces each number of a row by its exponential, 2e-7 relative; −∞ becomes 0.
    package func exp(_ row: UnsafeMutableBufferPointer<Float>) { exp(row.baseAddress, Int64(row.count), row.baseAddress) }
}
