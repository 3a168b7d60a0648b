// What a compressed model may take: `size=40MB,drop=1%,latency=5ms`, any of the three.
//
// `size` is of the file, units of 1000 (kB, MB, GB) or 1024 (KiB, MiB, GiB). `latency` is of one generated token of a language model, of one run
// of a network, of one text of an encoder. `drop` is what ModelComparison calls the drop: the rise of perplexity, the loss of accuracy, the disagreement with the parent, or what a
// cosine lacks of 1.
import Foundation
import SwiftletTensor

/// Limits for the result of a compression.
public struct Budget: Sendable, Equatable, Codable {
    public var sizeBytes: Int?
    public var dropPercent: Double?
    public var latencyMilliseconds: Double?

    public init(sizeBytes: Int? = nil, dropPercent: Double? = nil, latencyMilliseconds: Double? = nil) {
        self.sizeBytes = sizeBytes
        self.dropPercent = dropPercent
        self.latencyMilliseconds = latencyMilliseconds
    }

    /// Reads `size=40MB,drop=1%,latency=5ms`; `name` is what errors call the text.
    ///
    /// Throws `SwiftletError.syntax` with the column of what is wrong.
    public init(_ text: String, name: String = "--budget") throws {
        self.init()
        var column = 1
        var seen: Set<String> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            func failure(_ reason: String, _ remedy: String, after: Int = 0) -> SwiftletError {
                .syntax(source: name, line: 1, column: column + after, reason: reason, remedy: remedy)
            }
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
            guard words.count == 2 else { throw failure("'\(part)' is no limit", "Write size=40MB, drop=1% or latency=5ms, with commas between.") }
            let (key, value) = (words[0], words[1])
            guard let units = Self.units[key] else { throw failure("there is no limit '\(key)'", "Limit size, drop or latency.") }
            guard seen.insert(key).inserted else { throw failure("'\(key)' comes twice", "Keep one of them.") }
            guard let amount = Self.amount(value, units) else {
                throw failure(
                    "'\(value)' is no amount for \(key)", "Write a number from 0 and a unit: \(units.map(\.name).joined(separator: ", ")).",
                    after: (part.firstIndex(of: "=").map { part.distance(from: part.startIndex, to: $0) } ?? 0) + 1)
            }
            switch key {
            case "size": sizeBytes = Int(exactly: amount.rounded()) ?? .max
            case "drop": dropPercent = amount
            default: latencyMilliseconds = amount
            }
            column += part.unicodeScalars.count + 1
        }
    }

    private static let units: [String: [(name: String, factor: Double)]] = [
        "size": [("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("KiB", 1024), ("MiB", 1024 * 1024), ("GiB", 1024 * 1024 * 1024), ("B", 1)],
        "drop": [("%", 1)], "latency": [("ms", 1), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3)],
    ]

    /// The longest unit that fits: `ms` is no `s`.
    private static func amount(_ text: String, _ units: [(name: String, factor: Double)]) -> Double? {
        let fitting = units.filter { text.lowercased().hasSuffix($0.name.lowercased()) }
        guard let unit = fitting.max(by: { $0.name.count < $1.name.count }) else { return nil }
        let digits = text.dropLast(unit.name.count).trimmingCharacters(in: .whitespaces)
        guard let number = Double(digits), number.isFinite, number >= 0, digits.allSatisfy({ $0.isNumber || ".eE+-".contains($0) }) else { return nil }
        return number * unit.factor
    }

    /// What of the budget a result keeps.
    public struct Verdict: Sendable, Equatable, Codable {
        /// `size`, `drop` or `latency`.
        public var limit: String
        public var allowed: Double
        /// Nil where it was not measured.
        public var measured: Double?
        /// Bytes, percent or milliseconds.
        public var unit: String
        public var isMet: Bool
        /// One clause for people: what is allowed, what is, and by how much it is missed.
        public var text: String
    }

    /// The verdict on each limit there is.
    public func verdicts(sizeBytes: Int, dropPercent: Double?, latencyMilliseconds: Double?) -> [Verdict] {
        func verdict(_ limit: String, _ allowed: Double?, _ measured: Double?, _ unit: String, _ show: (Double) -> String) -> Verdict? {
            guard let allowed else { return nil }
            guard let measured, !measured.isNaN else {
                return Verdict(limit: limit, allowed: allowed, measured: nil, unit: unit, isMet: false, text: "\(limit) was not measured, \(show(allowed)) are allowed")
            }
            let isMet = measured <= allowed
            let text = "\(limit) is \(show(measured)) of \(show(allowed))" + (isMet ? "" : ", \(show(measured - allowed)) too much")
            return Verdict(limit: limit, allowed: allowed, measured: measured, unit: unit, isMet: isMet, text: text)
        }
        return [
            verdict("size", self.sizeBytes.map(Double.init), Double(sizeBytes), "bytes") { ByteText.text(Int($0)) },
            verdict("drop", self.dropPercent, dropPercent, "percent") { String(format: "%.3g %%", $0) },
            verdict("latency", self.latencyMilliseconds, latencyMilliseconds, "milliseconds") { String(format: "%.3g ms", $0) },
        ].compactMap { $0 }
    }
}

/// Bytes as people read them, in units of 1000.
package enum ByteText {
    package static func text(_ bytes: Int) -> String {
        let size = Double(bytes)
        switch size.magnitude {
        case ..<1e3: return "\(bytes) B"
        case ..<1e6: return String(format: "%.1f kB", size / 1e3)
        case ..<1e9: return String(format: "%.2f MB", size / 1e6)
        default: return String(format: "%.3f GB", size / 1e9)
        }
    }
}
