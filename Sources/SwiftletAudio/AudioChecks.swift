// What every argument of this library is checked with: one form of words.
import SwiftletTensor

enum AudioChecks {
    /// The highest sample rate, in hertz: that of no microphone, and small enough for every product here.
    static let maximumRate = 1 << 30

    /// Throws `SwiftletError.invalidArgument` unless the value lies in the range. `unit` names what is counted.
    static func range<Value: Comparable>(_ name: String, _ value: Value, _ range: ClosedRange<Value>, _ unit: String) throws {
        guard range.contains(value) else {
            let wanted = range.lowerBound == range.upperBound ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
            throw SwiftletError.invalidArgument(name: name, reason: "\(value) \(unit) is not \(wanted)", remedy: "Pass \(wanted) \(unit).")
        }
    }
}
