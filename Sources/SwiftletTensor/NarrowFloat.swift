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

    // MARK: Rounding

    /// The bits of the number nearest to `x`, ties to even. Beyond the largest number: that number when `saturates`, else infinity, or NaN
    /// where there is none (the table of ONNX Cast). A format without NaN has a zero for it. Powers of two (`f8e8m0`) have no sign and are
    /// rounded up, so that what is divided by the scale stays in range.
    package func bits(of x: Double, saturates: Bool) -> UInt8 {
        guard isSigned else { return powerBits(abs(x), saturates: saturates) }
        let sign = x.sign == .minus ? signMask : 0
        if x.isNaN { return UInt8(notANumber(sign)) }
        var magnitude = largest + 1
        if abs(x) < 0x1p128 {
            // Steps of the mantissa in the power of two x lies in, or in the smallest one. A carry into the exponent adds up by itself.
            let exponent = x == 0 ? 1 - bias : max(Int(x.exponent), 1 - bias)
            let steps = Int((abs(x) * Double(sign: .plus, exponent: mantissaBits - exponent, significand: 1)).rounded(.toNearestOrEven))
            magnitude = (exponent + bias - 1) << mantissaBits + steps
        }
        if magnitude > largest {
            switch specials {
            case .none: magnitude = largest
            case _ where saturates: magnitude = largest
            case .ieee: magnitude = ((1 << exponentBits) - 1) << mantissaBits
            case .allOnesIsNaN, .minusZeroIsNaN: return UInt8(notANumber(sign))
            }
        }
        if magnitude == 0, specials == .minusZeroIsNaN { return 0 }
        return UInt8(sign | magnitude)
    }

    /// The bits of the largest finite magnitude.
    private var largest: Int {
        switch specials {
        case .ieee: ((1 << exponentBits) - 1) << mantissaBits - 1
        case .allOnesIsNaN: magnitudeMask - 1
        case .minusZeroIsNaN, .none: magnitudeMask
        }
    }

    private func notANumber(_ sign: Int) -> Int {
        switch specials {
        case .ieee: sign | magnitudeMask & ~((1 << (mantissaBits - 1)) - 1)
        case .allOnesIsNaN: sign | magnitudeMask
        case .minusZeroIsNaN: signMask
        case .none: signMask ^ sign
        }
    }

    /// The smallest power of two that is not below `x`.
    private func powerBits(_ x: Double, saturates: Bool) -> UInt8 {
        guard x.isFinite else { return 0xff }
        guard x > 0 else { return 0 }
        let exponent = Int(x.exponent) + (x.significand > 1 ? 1 : 0) + bias
        return UInt8(min(max(exponent, 0), saturates ? 0xfe : 0xff))
    }
}
