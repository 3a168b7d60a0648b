// Transforms of every kind of length against NumPy's, and against the definition in Double.
import Foundation
import SwiftletAudio
import SwiftletTensor
import TestSupport
import Testing

@Suite struct FourierTests {
    @Test func spectraAreNumPys() throws {
        let signal = try Vectors.signal()
        let lengths = try Vectors.sizes("fft-")
        #expect(lengths.count == 24)
        for length in lengths {
            let expected = try Vectors.tensor("fft-\(length)").floats()
            var transform = try RealTransform(length: length)
            let (real, imaginary) = try transform.spectrum(Array(signal[..<length]))
            #expect(relativeError(real + imaginary, expected) < 5e-7, "length \(length)")
        }
    }

    /// X[k] = sum of x[n] · exp(-2πi·k·n / N), the angle reduced exactly.
    private static func naive(_ signal: [Float]) -> (real: [Float], imaginary: [Float]) {
        let count = signal.count
        var result: (real: [Float], imaginary: [Float]) = ([], [])
        for k in 0...count / 2 {
            var (real, imaginary) = (0.0, 0.0)
            for (n, sample) in signal.enumerated() {
                let angle = 2 * Double.pi * Double(k * n % count) / Double(count)
                real += Double(sample) * cos(angle)
                imaginary -= Double(sample) * sin(angle)
            }
            result.real.append(Float(real))
            result.imaginary.append(Float(imaginary))
        }
        return result
    }

    @Test func everyLengthUpTo300() throws {
        var random = SeededGenerator(seed: 4)
        for length in 1...300 {
            let signal = random.floats(length)
            var transform = try RealTransform(length: length)
            let (real, imaginary) = try transform.spectrum(signal)
            let expected = Self.naive(signal)
            #expect(real.count == length / 2 + 1)
            #expect(relativeError(real + imaginary, expected.real + expected.imaginary) < 1e-6, "length \(length)")
        }
    }

    @Test(arguments: [4096, 4095, 4093, 3000, 8192]) func longTransformsStayAccurate(length: Int) throws {
        var random = SeededGenerator(seed: 9)
        let signal = random.floats(length)
        var transform = try RealTransform(length: length)
        let (real, imaginary) = try transform.spectrum(signal)
        let expected = Self.naive(signal)
        // Root mean square: rounding errors of single bins cancel.
        var (difference, power) = (0.0, 0.0)
        for (value, wanted) in zip(real + imaginary, expected.real + expected.imaginary) {
            let error = Double(value) - Double(wanted)
            difference += error * error
            power += Double(wanted) * Double(wanted)
        }
        #expect((difference / power).squareRoot() < 3e-7)
    }

    /// A plan used again, and copies of it, give the same bits.
    @Test(arguments: [400, 101, 105]) func plansAreUsedAgain(length: Int) throws {
        var random = SeededGenerator(seed: 1)
        let (first, second) = (random.floats(length), random.floats(length))
        var transform = try RealTransform(length: length)
        let expected = try transform.spectrum(first)
        var copy = transform
        _ = try transform.spectrum(second)
        #expect(try transform.spectrum(first).real == expected.real)
        #expect(try copy.spectrum(first).imaginary == expected.imaginary)
    }

    @Test func senselessLengthsAreErrors() throws {
        for length in [0, -1, RealTransform.maximumLength + 1] {
            #expect(throws: SwiftletError.self) { try RealTransform(length: length) }
        }
        var transform = try RealTransform(length: 4)
        #expect(throws: SwiftletError.self) { try transform.spectrum([1, 2, 3]) }
    }
}
