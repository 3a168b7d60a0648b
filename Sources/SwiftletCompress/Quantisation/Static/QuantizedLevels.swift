// Levels of 8 bits: q stands for scale·(q − zero). Source: Jacob et al., "Quantization and training of neural networks for efficient
// integer-arithmetic-only inference", 2018.
import Foundation
import SwiftletRuntime

/// What kind of levels activations get.
public struct QuantizedType: Sendable, Hashable {
    /// i8 levels, else u8.
    public var isSigned: Bool
    /// The zero point is the middle of the type, whatever the values are.
    public var isSymmetric: Bool

    public init(isSigned: Bool = false, isSymmetric: Bool = false) {
        self.isSigned = isSigned
        self.isSymmetric = isSymmetric
    }

    var element: DType { isSigned ? .i8 : .u8 }
    var lowest: Int { isSigned ? -128 : 0 }
}

/// The levels of one tensor.
package struct QuantizedLevels: Sendable, Hashable {
    package let scale: Float
    package let zero: Int
    package let type: QuantizedType

    /// Spreads the levels over a range. A range of nothing but 0 gets scale 1.
    package init(_ range: ValueRange, _ type: QuantizedType) {
        self.type = type
        // Ends are halved so that their difference stays a number.
        let (low, high) = (Double(range.low), Double(range.high))
        var scale = type.isSymmetric ? max(-low, high) / 127 : (high - low) / 255
        if scale < Double(Float.leastNormalMagnitude) { scale = 1 }
        self.scale = Float(scale)
        let offset = type.isSymmetric ? 128 : Int((-low / Double(self.scale)).rounded(.toNearestOrEven))
        zero = min(max(offset, 0), 255) + type.lowest
    }

    /// The value of the level nearest to `value`.
    package func rounded(_ value: Float) -> Float {
        let level = (value / scale).rounded(.toNearestOrEven) + Float(zero)
        return (min(max(level, Float(type.lowest)), Float(type.lowest + 255)) - Float(zero)) * scale
    }
}

/// A weight as i8 in −127…127 with one scale a channel, or one for all.
package struct QuantizedWeight: Sendable {
    package let values: [Int8]
    /// One an outermost element of the weight, or a single one.
    package let scales: [Float]

    /// Rounds `[channels, …]` to the nearest level, ties to even; the largest magnitude of a channel becomes ±127.
    ///
    /// - Parameter leastScales: scales are not smaller than these, one a channel. A channel of zeros gets its least scale, or 1.
    /// - Parameter inHalfScales: scales are numbers that an f16 holds, the next one upwards.
    /// - Throws: `SwiftletError.numerical` naming the weight when an element or a least scale is no finite number.
    package init(
        _ elements: [Float], name: String, channels: Int, perChannel: Bool, leastScales: [Float]? = nil, inHalfScales: Bool = false
    ) throws {
        guard elements.allSatisfy(\.isFinite), leastScales?.allSatisfy(\.isFinite) ?? true else {
            throw SwiftletError.numerical(
                routine: "rounding to 8 bits", reason: "the weight '\(name)' or its bias has elements that are no finite numbers",
                remedy: "Check the model, or leave the layer out with exclude.")
        }
        let run = elements.count / max(1, channels)
        var largest = (0..<channels).map { channel in elements[channel * run..<(channel + 1) * run].reduce(Float(0)) { max($0, abs($1)) } }
        var least = leastScales ?? [Float](repeating: 0, count: channels)
        if !perChannel {
            largest = [largest.max() ?? 0]
            least = [least.max() ?? 0]
        }
        let scales = zip(largest, least).map { magnitude, least -> Float in
            let scale = max(magnitude / 127, least)
            guard scale >= .leastNormalMagnitude else { return 1 }
            return inHalfScales ? scale.roundedToHalf(.up) : scale
        }
        values = elements.enumerated().map { place, value in
            let level = (value / scales[perChannel ? place / run : 0]).rounded(.toNearestOrEven)
            return Int8(min(max(level, -127), 127))
        }
        self.scales = scales
    }

    /// The floats that the levels stand for.
    package var floats: [Float] {
        let run = values.count / max(1, scales.count)
        return values.enumerated().map { Float($1) * scales[$0 / max(1, run)] }
    }
}

extension Float {
    /// This positive number as an f16 holds it; the number itself where f16 ends.
    func roundedToHalf(_ rule: FloatingPointRoundingRule) -> Float {
        let unit = Float(sign: .plus, exponent: Float.Exponent(Swift.max(Int(exponent), -14) - 10), significand: 1)
        let rounded = (self / unit).rounded(rule) * unit
        return rounded <= 65504 ? rounded : self
    }
}

extension Double {
    /// The natural logarithm.
    var logarithm: Double { log(self) }

    func raised(to exponent: Double) -> Double { pow(self, exponent) }
}
