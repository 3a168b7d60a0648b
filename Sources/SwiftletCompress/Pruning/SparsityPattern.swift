// Where zeros may lie, and which weights become zeros by their scores.
//
// A matrix is seen as rows of columns: a kernel of a convolution `[outputs, inputs, kernel…]` as `[outputs, inputs · kernel]`, the order of its
// elements in memory. Groups and blocks that stick out at the end of a row or of the matrix are smaller ones.
import SwiftletRuntime

/// A pattern of zeros.
public enum SparsityPattern: Sendable, Hashable, CustomStringConvertible {
    /// Blocks of so many rows and columns are zero or not as a whole.
    case blocks(rows: Int, columns: Int)
    /// Of every `of` consecutive columns of a row at most `kept` are not zero. Mishra et al., 2021.
    case grouped(kept: Int, of: Int)

    /// Zeros may lie anywhere.
    public static let free = SparsityPattern.blocks(rows: 1, columns: 1)

    /// The words of recipes.
    package static let names = ["free", "2:4", "4:8", "1x16", "16x1"]

    /// `free`, `N:M` or `ROWSxCOLUMNS`. Throws `SwiftletError.invalidArgument` for anything else.
    public init(_ text: String) throws {
        func numbers(_ separator: Character) -> (Int, Int)? {
            let parts = text.split(separator: separator, omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, let first = parts[0], let second = parts[1], (1...1024).contains(first), (1...1024).contains(second) else { return nil }
            return (first, second)
        }
        if text == "free" {
            self = .free
        } else if let (kept, group) = numbers(":"), kept < group {
            self = .grouped(kept: kept, of: group)
        } else if let (rows, columns) = numbers("x") {
            self = .blocks(rows: rows, columns: columns)
        } else {
            throw SwiftletError.invalidArgument(
                name: "pattern", reason: "'\(text)' is no pattern", remedy: "Use free, N:M with N below M (2:4), or rows x columns of a block (1x16).")
        }
    }

    public var description: String {
        switch self {
        case .free: "free"
        case .blocks(let rows, let columns): "\(rows)x\(columns)"
        case .grouped(let kept, let group): "\(kept):\(group)"
        }
    }

    /// Throws `SwiftletError.invalidArgument` where `sparsity` is no share, or not the one the pattern has.
    package func check(sparsity: Double) throws {
        guard sparsity >= 0, sparsity < 1 else {
            throw SwiftletError.invalidArgument(name: "sparsity", reason: "\(sparsity) is not a share from 0 to below 1", remedy: "Use 0.5 for every second weight.")
        }
        if case .grouped(let kept, let group) = self, abs(sparsity - (1 - Double(kept) / Double(group))) > 1e-3 {
            throw SwiftletError.invalidArgument(
                name: "sparsity", reason: "the pattern \(self) has a sparsity of \(1 - Double(kept) / Double(group)), not \(sparsity)",
                remedy: "Give that sparsity, or another pattern.")
        }
    }
}

/// Which weights are compared with each other where a share of them is to go.
package enum PruningComparison: Sendable { case row, layer }

extension SparsityPattern {
    /// True for the weights that go: those with the lowest scores, by their mean in blocks. Of equal scores the first ones go.
    ///
    /// - Parameter scores: `[rows, columns]`, none negative.
    package func removed(scores: UnsafeBufferPointer<Float>, rows: Int, columns: Int, sparsity: Double, comparison: PruningComparison) -> [Bool] {
        var removed = [Bool](repeating: false, count: rows * columns)
        switch self {
        case .grouped(let kept, let group):
            for row in 0..<rows {
                for start in stride(from: 0, to: columns, by: group) {
                    let first = row * columns + start
                    Self.removeLowest(UnsafeBufferPointer(rebasing: scores[first..<first + min(group, columns - start)]), keeping: kept) { removed[first + $0] = true }
                }
            }
        case .blocks(let blockRows, let blockColumns):
            let units = unitScores(scores, rows: rows, columns: columns)
            let width = (columns + blockColumns - 1) / blockColumns
            let height = (rows + blockRows - 1) / blockRows
            let (length, count) = comparison == .row ? (width, height) : (width * height, 1)
            guard length > 0 else { break }
            units.withUnsafeBufferPointer { units in
                for part in 0..<count {
                    let part = part * length..<(part + 1) * length
                    let slice = UnsafeBufferPointer(rebasing: units[part])
                    var selection = LowestScores(count: Self.count(sparsity, of: length)) { $0(slice) }
                    for unit in part where selection.takes(units[unit]) {
                        forEachElement(ofUnit: unit, rows: rows, columns: columns) { removed[$0] = true }
                    }
                }
            }
        }
        return removed
    }

    /// The places of all but the `kept` highest scores of a group, the first of equals going first.
    package static func removeLowest(_ scores: UnsafeBufferPointer<Float>, keeping kept: Int, _ remove: (Int) -> Void) {
        for index in scores.indices {
            // How many stay rather than this one.
            var better = 0
            for other in scores.indices where scores[other] > scores[index] || (scores[other] == scores[index] && other > index) { better += 1 }
            if better >= kept { remove(index) }
        }
    }

    /// A mean score a block, blocks row after row; the scores themselves where blocks are single weights.
    package func unitScores(_ scores: UnsafeBufferPointer<Float>, rows: Int, columns: Int) -> [Float] {
        guard case .blocks(let blockRows, let blockColumns) = self, blockRows > 1 || blockColumns > 1 else { return Array(scores) }
        let width = (columns + blockColumns - 1) / blockColumns
        var sums = [Double](repeating: 0, count: width * ((rows + blockRows - 1) / blockRows))
        var counts = [Int](repeating: 0, count: sums.count)
        for row in 0..<rows {
            for column in 0..<columns {
                let unit = row / blockRows * width + column / blockColumns
                sums[unit] += Double(scores[row * columns + column])
                counts[unit] += 1
            }
        }
        return zip(sums, counts).map { Float($0 / Double($1)) }
    }

    /// Calls `body` with the index of each weight of a block.
    package func forEachElement(ofUnit unit: Int, rows: Int, columns: Int, _ body: (Int) -> Void) {
        guard case .blocks(let blockRows, let blockColumns) = self else { return }
        let width = (columns + blockColumns - 1) / blockColumns
        let (top, left) = (unit / width * blockRows, unit % width * blockColumns)
        for row in top..<min(rows, top + blockRows) {
            for column in left..<min(columns, left + blockColumns) { body(row * columns + column) }
        }
    }

    /// How many of `total` a share is.
    package static func count(_ sparsity: Double, of total: Int) -> Int { Int((sparsity * Double(total)).rounded()) }
}
