// What operators check, whether they are imported or run on values in memory.
import SwiftletGraph

/// Something that operators are given and that knows the error for what breaks their rules.
protocol OperatorChecks {
    /// What is given breaks a rule of the operator.
    func invalid(_ reason: String) -> SwiftletError
}

extension OperatorChecks {
    func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws {
        if !condition { throw invalid(reason()) }
    }

    /// An axis counted from the front, of a tensor of `rank` axes.
    func axis(_ axis: Int, rank: Int) throws -> Int {
        let front = axis < 0 ? axis + rank : axis
        try require((0..<rank).contains(front), "there is no axis \(axis) among \(rank)")
        return front
    }
}
