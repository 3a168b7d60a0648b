// What a channel is worth, and how many of each group stay.
import SwiftletLinearAlgebra
import SwiftletRuntime

/// How channels are ranked.
public enum ChannelImportance: String, Sendable, Hashable, CaseIterable {
    /// Σ|w| over the rows that make a channel. Li et al., 2017.
    case l1
    /// √Σw² over the rows that make it.
    case l2
    /// √(Σx²·Σw²) over the inputs it is to the layers that take it in, x measured on calibration data, w the weights it is multiplied with: what
    /// these layers would miss, were the channels independent.
    case activation
}

/// Scores of the channels of groups.
struct ChannelScores {
    let graph: Graph
    let importance: ChannelImportance
    /// What flows into layers, for `activation`.
    let moments: [InputKey: InputMoments]

    /// A score a channel, none negative.
    func scores(of group: ChannelGroups.Group) throws -> [Double] {
        guard importance == .activation else { return try norms(group, group.producers) }
        var sums = [Double](repeating: 0, count: group.count)
        var isMeasured = false
        for slot in Set(group.consumers) {
            for (columns, moment) in try measured(slot) {
                isMeasured = true
                let size = moment.columns / columns.count
                for channel in 0..<group.count {
                    for place in slot.offset + channel * slot.repeats..<slot.offset + (channel + 1) * slot.repeats {
                        for column in place * size..<(place + 1) * size { sums[channel] += Double(moment.squares[column]) * columns.energies[column] }
                    }
                }
            }
        }
        // Layers whose inputs cannot be measured are judged by what they multiply with.
        return isMeasured ? sums.map { $0.squareRoot() } : try norms(group, group.consumers)
    }

    private func norms(_ group: ChannelGroups.Group, _ slots: [ChannelGroups.Slot]) throws -> [Double] {
        var sums = [Double](repeating: 0, count: group.count)
        for slot in slots {
            guard let weight = graph[slot.weight].weight else { continue }
            let elements = try weight.floats()
            let stride = weight.shape.dimensions[(slot.axis + 1)...].reduce(1, *)
            for (index, value) in elements.enumerated() {
                let place = index / stride % weight.shape[slot.axis] - slot.offset
                guard place >= 0, place < group.count * slot.repeats else { continue }
                sums[place / slot.repeats] += importance == .l1 ? Double(abs(value)) : Double(value) * Double(value)
            }
        }
        return importance == .l1 ? sums : sums.map { $0.squareRoot() }
    }

    /// Σw² of the columns of a weight, and how many inputs they belong to.
    private struct Columns {
        let count: Int
        let energies: [Double]
    }

    /// The moments of each layer that reads a consumer's weight.
    private func measured(_ slot: ChannelGroups.Slot) throws -> [(Columns, InputMoments)] {
        try graph.layers().filter { $0.weightID == slot.weight }.compactMap { layer in
            guard slot.axis == 1, let key = InputKey(layer, in: graph), let moment = moments[key] else { return nil }
            let width = layer.weight.inputCount
            try moment.check(columns: width, of: layer)
            var energies = [Double](repeating: 0, count: width)
            for (index, value) in try layer.weight.floats().enumerated() { energies[index % width] += Double(value) * Double(value) }
            return (Columns(count: layer.weight.shape[1], energies: energies), moment)
        }
    }
}

/// How many channels of a group stay.
struct ChannelQuota {
    /// The share to remove.
    let share: Double
    /// What the number that stays is a multiple of.
    let multiple: Int

    /// Of `count` channels; all where fewer than two multiples are there or nothing is to go.
    func kept(of count: Int) -> Int {
        let target = Double(count) * (1 - share) / Double(multiple)
        return min(count, max(1, Int(target.rounded())) * multiple)
    }

    /// The places of the highest scores, ascending; of equal ones the last.
    static func highest(_ scores: [Double], count: Int) -> [Int] {
        Array(scores.indices.sorted { (scores[$0], $0) > (scores[$1], $1) }.prefix(count)).sorted()
    }

    func check() throws {
        guard share >= 0, share < 1, multiple > 0 else {
            throw SwiftletError.invalidArgument(
                name: "share", reason: "\(share) of the channels, in multiples of \(multiple), cannot go", remedy: "Use a share from 0 to below 1 and a positive multiple.")
        }
    }
}

/// Makes the columns that stay in a layer do the work of those that go: least squares on what flows into it.
///
/// With G = XᵀX, columns K that stay and R that go, the change of W_K that keeps ‖X_K·ΔᵀK − X_R·W_Rᵀ‖² + λ‖Δ‖² least is
/// W_R·G_RK·(G_KK + λI)⁻¹.
struct ColumnReconstruction {
    let damping: Double

    /// The elements of `weight` `[outputs, columns]` with the columns `kept` changed.
    func elements(of weight: Weight, kept: [Int], moments: InputMoments) throws -> [Float]? {
        guard let gram = moments.gram, !kept.isEmpty, kept.count < moments.columns else { return nil }
        let (rows, columns) = (weight.outputCount, moments.columns)
        var elements = try weight.floats()
        let isKept = kept.reduce(into: [Bool](repeating: false, count: columns)) { $0[$1] = true }
        let gone = (0..<columns).filter { !isKept[$0] }
        let mean = kept.reduce(0.0) { $0 + Double(gram[$1 * columns + $1]) } / Double(kept.count)
        guard mean > 0 else { return nil }
        var square = kept.flatMap { row in kept.map { Double(gram[row * columns + $0]) } }
        for index in kept.indices { square[index * (kept.count + 1)] += damping * mean }
        let lower = try LinearAlgebra.choleskyFactorisation(Matrix(rows: kept.count, columns: kept.count, elements: square))
        let inverse = try LinearAlgebra.inverse(ofLowerTriangle: lower)
        let cross = try Matrix(rows: gone.count, columns: kept.count, elements: gone.flatMap { row in kept.map { Double(gram[row * columns + $0]) } })
        let removed = try Matrix(rows: rows, columns: gone.count, elements: (0..<rows).flatMap { row in gone.map { Double(elements[row * columns + $0]) } })
        // W_R·G_RK·L⁻ᵀ·L⁻¹
        let half = try LinearAlgebra.matrixMultiply(LinearAlgebra.matrixMultiply(removed, cross), inverse, transposeB: true)
        let change = try LinearAlgebra.matrixMultiply(half, inverse)
        for row in 0..<rows {
            for (index, column) in kept.enumerated() { elements[row * columns + column] += Float(change[row, index]) }
        }
        return elements
    }
}
