// Tapers: what a frame of sound is multiplied with so that its edges do not ring through the spectrum.
// Source: F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", 1978; SciPy's `signal.windows`.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A taper of any length.
public enum Window: Sendable, Hashable {
    case rectangular
    case hann
    case hamming
    case blackman
    /// A larger `beta` has lower side lobes and a wider main lobe.
    case kaiser(beta: Double)

    /// The weights of `count` samples.
    ///
    /// - Parameter periodic: the window as one period of a longer signal, as spectra want it (`false`: symmetric, as filters want it).
    public func values(_ count: Int, periodic: Bool = true) -> [Float] {
        let period = Double(periodic ? count : count - 1)
        return (0..<max(0, count)).map { period > 0 ? Float(weight(Double($0) / period)) : 1 }
    }

    /// The weight at `x` of 0...1, the middle being 0.5.
    func weight(_ x: Double) -> Double {
        let angle = 2 * Double.pi * x
        return switch self {
        case .rectangular: 1
        case .hann: 0.5 - 0.5 * cos(angle)
        case .hamming: 0.54 - 0.46 * cos(angle)
        case .blackman: 0.42 - 0.5 * cos(angle) + 0.08 * cos(2 * angle)
        case .kaiser(let beta): Self.bessel(beta * max(0, 1 - (2 * x - 1) * (2 * x - 1)).squareRoot()) / Self.bessel(beta)
        }
    }

    /// The modified Bessel function of the first kind, order 0: the sum of ((x/2)^k / k!)².
    static func bessel(_ x: Double) -> Double {
        var (sum, term, k) = (1.0, 1.0, 1.0)
        while term > sum * 1e-17 {
            term *= (x / (2 * k)) * (x / (2 * k))
            sum += term
            k += 1
        }
        return sum
    }
}
