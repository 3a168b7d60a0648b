// Floats of a byte and less: what their bits mean, and the nearest bits of a number.
// Sources: Micikevicius et al., 2022 (E4M3, E5M2); Noune et al., 2022 (the fnuz forms); OCP Microscaling Formats 1.0 (E8M0, E2M1).

/// A float format of at most eight bits: sign, exponent, mantissa, and what the topmost patterns are.
package struct NarrowFloat: Sendable {
    private enum Specials {
        /// The top exponent holds infinities and NaNs.
        case ieee
        /// All ones is NaN; there are no infinities.
        case allOnesIsNaN
        /// Minus zero is NaN; there are no infinities.
        case minusZeroIsNaN
        /// Every pattern is a number.
        case none
    }

    private let exponentBits, mantissaBits, bias: Int
    private let isSigned: Bool
    private let specials: Specials

    /// Nil for types that are no narrow floats.
    package init?(_ type: DType) {
        switch type {
        case .f8e4m3fn: (exponentBits, mantissaBits, bias, isSigned, specials) = (4, 3, 7, true, .allOnesIsNaN)
        case .f8e4m3fnuz: (exponentBits, mantissaBits, bias, isSigned, specials) = (4, 3, 8, true, .minusZeroIsNaN)
        case .f8e5m2: (exponentBits, mantissaBits, bias, isSigned, specials) = (5, 2, 15, true, .ieee)
        case .f8e5m2fnuz: (exponentBits, mantissaBits, bias, isSigned, specials) = (5, 2, 16, true, .minusZeroIsNaN)
        case .f8e8m0: (exponentBits, mantissaBits, bias, isSigned, specials) = (8, 0, 127, false, .allOnesIsNaN)
        case .f4e2m1: (exponentBits, mantissaBits, bias, isSigned, specials) = (2, 1, 1, true, .none)
        default: return nil
        }
    }

    private var magnitudeMask: Int { (1 << (exponentBits + mantissaBits)) - 1 }
    private var signMask: Int { isSigned ? magnitudeMask + 1 : 0 }

    /// The number the low bits of `bits` stand for.
    package func value(_ bits: UInt8) -> Double {
        let magnitude = Int(bits) & magnitudeMask
        let isNegative = Int(bits) & signMask != 0
        let (exponent, mantissa) = (magnitude >> mantissaBits, magnitude & ((1 << mantissaBits) - 1))
        switch specials {
        case .ieee where exponent == (1 << exponentBits) - 1: return mantissa != 0 ? .nan : isNegative ? -.infinity : .infinity
        case .allOnesIsNaN where magnitude == magnitudeMask: return .nan
        case .minusZeroIsNaN where isNegative && magnitude == 0: return .nan
        default: break
        }
        let unit = Double(sign: .plus, exponent: -mantissaBits, significand: 1)
        // A format without a mantissa has no zero: its smallest exponent is a power of two like the others.
        let number =
            exponent == 0 && mantissaBits > 0
            ? Double(sign: .plus, exponent: 1 - bias, significand: Double(mantissa) * unit)
            : Double(sign: .plus, exponent: exponent - bias, significand: 1 + Double(mantissa) * unit)
        return isNegative ? -number : number
    }
}
