// Random numbers of the operators that draw them: xoshiro256** (Blackman and Vigna, 2018), its state filled by SplitMix64 (Steele et al., 2014).
import Foundation

/// A generator of random numbers.
struct RandomNumbers: Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    /// The numbers of a seed, or of the system's choice.
    init(_ seed: Float?) {
        var word = seed.map { UInt64($0.bitPattern) } ?? UInt64.random(in: .min ... .max)
        func next() -> UInt64 {
            word &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return mixed ^ mixed >> 31
        }
        state = (next(), next(), next(), next())
    }

    private mutating func next() -> UInt64 {
        func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }
        let result = rotated(state.1 &* 5, 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, 45)
        return result
    }

    /// Evenly from 0 up to, not including, 1.
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// From the standard normal distribution (Box and Muller, 1958).
    mutating func normal() -> Double { (-2 * log(1 - unit())).squareRoot() * cos(2 * .pi * unit()) }
}

extension Double {
    /// eˣ.
    static func exponential(_ x: Double) -> Double { exp(x) }
}
