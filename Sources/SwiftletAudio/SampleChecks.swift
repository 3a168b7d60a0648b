// What samples are checked for before they meet a state that they could spoil for good.
import SwiftletTensor

extension AudioChecks {
    /// Throws `SwiftletError.invalidArgument` unless all samples are finite.
    static func finite(_ samples: [Float]) throws {
        guard let index = samples.firstIndex(where: { !$0.isFinite }) else { return }
        throw SwiftletError.invalidArgument(
            name: "samples", reason: "sample \(index) is \(samples[index])",
            remedy: "Find out what computed or wrote it; samples are finite numbers.")
    }
}
