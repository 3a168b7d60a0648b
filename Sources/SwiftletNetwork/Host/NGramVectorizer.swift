// Counts of n-grams, as TfidfVectorizer of scikit-learn makes them. Source: the operator's specification in ONNX.
import SwiftletFormats
import SwiftletGraph

/// TfIdfVectorizer's attributes: which n-grams count, where, and how much.
struct NGramVectorizer: Sendable {
    /// An element of a text: a word or a number.
    private enum Item: Hashable {
        case word([UInt8])
        case number(Int)
    }

    private enum Weighting { case count, presence, weightedCount }

    /// The column in which each n-gram is counted.
    private var columns: [[Item]: Int] = [:]
    private let sizes: ClosedRange<Int>
    /// The size of the largest n-gram that counts.
    private let longest: Int
    private let mostSkips: Int
    private let width: Int
    private let weighting: Weighting
    /// By column; empty for 1 everywhere.
    private let weights: [Float]

    init(_ call: OperatorCall) throws {
        let modes: [String: Weighting] = ["TF": .count, "IDF": .presence, "TFIDF": .weightedCount]
        let pool =
            try call.node.ints("pool_int64s")?.map(Item.number) ?? call.node.strings("pool_strings")?.map { Item.word(Array($0.utf8)) } ?? []
        guard let least = try call.node.int("min_gram_length"), let most = try call.node.int("max_gram_length"),
            let skips = try call.node.int("max_skip_count"), let starts = try call.ints("ngram_counts"), let places = try call.ints("ngram_indexes"),
            let weighting = modes[try call.string("mode", "")]
        else { throw call.invalid("lacks an attribute, or has an unknown mode") }
        try call.require(least >= 1 && most >= least && skips >= 0, "n-grams of \(least) to \(most) with \(skips) skips are none")
        try call.require(places.allSatisfy { $0 >= 0 && $0 < 1 << 28 }, "a column is negative or too large")
        (sizes, mostSkips, self.weighting) = (least...most, skips, weighting)
        width = (places.max() ?? -1) + 1
        weights = try call.node.floats("weights") ?? []
        try call.require(weights.isEmpty || weights.count >= width, "there are \(weights.count) weights for \(width) columns")

        // The pool holds all 1-grams, then all 2-grams, and so on; the counts say where each kind begins.
        var number = 0
        for (index, start) in starts.enumerated() {
            let (size, end) = (index + 1, index + 1 < starts.count ? starts[index + 1] : pool.count)
            try call.require(start >= 0 && start <= end && end <= pool.count && (end - start) % size == 0, "ngram_counts do not divide the pool")
            for first in stride(from: start, to: end, by: size) {
                try call.require(number < places.count, "there are more n-grams than ngram_indexes")
                if sizes.contains(size), columns[Array(pool[first..<first + size])] == nil { columns[Array(pool[first..<first + size])] = places[number] }
                number += 1
            }
        }
        longest = columns.keys.map(\.count).max() ?? 0
    }

    /// `[width]` for a row `[c]`, `[n, width]` for `[n, c]`, f32.
    func vectors(_ operands: HostOperands) throws -> Tensor {
        guard let x = operands.value(0), let shape = x.shape else { throw operands.invalid("lacks its tensor") }
        let items: [Item]
        switch x {
        case .strings(let strings): items = strings.values.map { .word(Array($0.utf8)) }
        case .tensor(let tensor):
            try operands.require(tensor.type == .i32 || tensor.type == .i64, "\(tensor) holds neither texts nor integers")
            items = try tensor.wholeNumbers().map(Item.number)
        case .sequence, .absent: items = []
        }
        try operands.require(shape.rank == 1 || shape.rank == 2, "\(shape) is no row or batch of rows")
        let rows = shape.rank == 2 ? shape[0] : 1
        let length = shape[shape.rank - 1]
        var result = try Tensor(zeros: .f32, shape: shape.rank == 2 ? [rows, width] : [width])
        try result.withMutableElements(as: Float.self) { counts in
            for row in 0..<rows {
                let own = UnsafeMutableBufferPointer(rebasing: counts[row * width..<(row + 1) * width])
                count(items[row * length..<(row + 1) * length], into: own)
            }
            for index in counts.indices where counts[index] > 0 {
                let weight = weights.isEmpty ? 1 : weights[index % width]
                switch weighting {
                case .count: break
                case .presence: counts[index] = weight
                case .weightedCount: counts[index] *= weight
                }
            }
        }
        return result
    }

    private func count(_ items: ArraySlice<Item>, into counts: UnsafeMutableBufferPointer<Float>) {
        guard longest > 0 else { return }
        // Skips beyond the row find nothing.
        for step in 1...1 + min(mostSkips, items.count) {
            for first in items.indices {
                var gram: [Item] = []
                for place in stride(from: first, to: items.endIndex, by: step) {
                    gram.append(items[place])
                    if gram.count > longest { break }
                    // A single item skips nothing: it is counted once.
                    if gram.count >= sizes.lowerBound, gram.count > 1 || step == 1, let column = columns[gram] { counts[column] += 1 }
                }
            }
        }
    }
}
