// Fourier transforms, and what audio models put around them: windows, frames, the mel scale.
//
// A transform of length n is a product with constant matrices of cosines and sines. Long ones are split into factors (Cooley and Tukey,
// 1965): two rounds of shorter transforms with a constant turn between them.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let signalOperators: [String: OperatorImporter] = [
        "DFT": { importer, call in [.tensor(try importer.fourier(call))] },
        "STFT": { importer, call in [.tensor(try importer.shortTimeFourier(call))] },
        "HannWindow": { importer, call in [.tensor(try importer.cosineWindow(call, [0.5, -0.5]))] },
        "HammingWindow": { importer, call in [.tensor(try importer.cosineWindow(call, [25.0 / 46, -21.0 / 46]))] },
        "BlackmanWindow": { importer, call in [.tensor(try importer.cosineWindow(call, [0.42, -0.5, 0.08]))] },
        "MelWeightMatrix": { importer, call in [.tensor(try importer.melWeights(call))] },
    ]

    /// Complex numbers in two tensors of one shape; without imaginary part they are real.
    private struct Complex {
        var real: ValueID
        var imaginary: ValueID?
    }

    /// Lengths up to this are one product.
    private static let longestProduct = 512

    // MARK: Transforms

    private mutating func fourier(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let shape = shape(x)
        try call.require(shape.count >= 2 && (shape.last == 1 || shape.last == 2), "the last axis of \(shape) is not the parts of numbers")
        let isSinceInputs = call.version >= 20
        let given = try isSinceInputs ? call.optional(2).map { try integers($0).first ?? -2 } ?? -2 : call.int("axis", 1)
        let axis = try call.axis(given, rank: shape.count)
        try call.require(axis < shape.count - 1, "the last axis is the parts of numbers")
        let (isInverse, isOneSided) = (try call.bool("inverse"), try call.bool("onesided"))
        let fallback = isInverse && isOneSided ? 2 * (shape[axis] - 1) : shape[axis]
        let length = try call.optional(1).map { try integers($0).first ?? fallback } ?? fallback
        try call.require(length >= 1 && length <= 1 << 24, "a transform of length \(length)")
        return try widened(x) { importer, x in
            try importer.transform(x, axis: axis, length: length, isInverse: isInverse, isOneSided: isOneSided)
        }
    }

    /// The transform along an axis of `[…, 1 or 2]`.
    private mutating func transform(_ x: ValueID, axis: Int, length: Int, isInverse: Bool, isOneSided: Bool) throws -> ValueID {
        let rank = rank(x)
        // Numbers in front, the axis last.
        let order = (0..<rank - 1).filter { $0 != axis } + [axis]
        let isComplex = shape(x)[rank - 1] == 2
        func part(_ importer: inout Importer, _ index: Int) throws -> ValueID {
            let part = try importer.slice(x, axis: rank - 1, index..<index + 1, "part")
            return try importer.transpose(importer.reshape(part, Array(importer.shape(x).dropLast()), "part"), order, "axisLast")
        }
        var numbers = Complex(real: try part(&self, 0), imaginary: isComplex ? try part(&self, 1) : nil)
        let half = length / 2 + 1
        if isInverse, isOneSided {
            numbers = try mirrored(fitted(numbers, half), length)
        } else {
            numbers = try fitted(numbers, length)
        }
        let wanted = isOneSided && !isInverse ? half : length
        var result = try transformed(numbers, length, wanted: wanted, sign: isInverse ? 1 : -1)
        if isInverse {
            result.real = try binary(.divide, result.real, Double(length), "mean")
            result.imaginary = try result.imaginary.map { try binary(.divide, $0, Double(length), "mean") }
        }
        let back = (0..<rank - 1).map { order.firstIndex(of: $0) ?? 0 }
        var parts = [result.real]
        if !(isInverse && isOneSided) { parts.append(try result.imaginary ?? binary(.subtract, result.real, result.real, "zero")) }
        let columns = try parts.map { try unsqueeze(transpose($0, back, "axisBack"), [rank - 1]) }
        return try concat(columns, axis: rank - 1, "parts")
    }

    /// Cut, or continued with zeros, to a length.
    private mutating func fitted(_ numbers: Complex, _ length: Int) throws -> Complex {
        func fit(_ importer: inout Importer, _ x: ValueID) throws -> ValueID {
            let last = importer.rank(x) - 1
            let have = importer.shape(x)[last]
            if have >= length { return try importer.slice(x, axis: last, 0..<length, "cut") }
            let none = [Int](repeating: 0, count: last)
            return try importer.pad(x, low: none + [0], high: none + [length - have])
        }
        return Complex(real: try fit(&self, numbers.real), imaginary: try numbers.imaginary.map { try fit(&self, $0) })
    }

    /// The other half of a spectrum of a real signal: the conjugates, backwards.
    private mutating func mirrored(_ numbers: Complex, _ length: Int) throws -> Complex {
        func mirror(_ importer: inout Importer, _ x: ValueID, _ flips: Bool) throws -> ValueID {
            let last = importer.rank(x) - 1
            let missing = length - importer.shape(x)[last]
            guard missing > 0 else { return try importer.slice(x, axis: last, 0..<length) }
            var slice = Slice(starts: importer.shape(x).map { _ in 0 }, sizes: importer.shape(x), steps: importer.shape(x).map { _ in 1 })
            (slice.starts[last], slice.sizes[last], slice.steps[last]) = (missing, missing, -1)
            let backwards = try importer.slice(x, slice, "backwards")
            return try importer.concat([x, flips ? importer.unary(.negate, backwards, "conjugate") : backwards], axis: last, "whole")
        }
        return Complex(real: try mirror(&self, numbers.real, false), imaginary: try numbers.imaginary.map { try mirror(&self, $0, true) })
    }

    /// `Σ x[n]·e^(sign·2πi·k·n/length)` for the first `wanted` k, along the last axis.
    private mutating func transformed(_ x: Complex, _ length: Int, wanted: Int, sign: Double) throws -> Complex {
        let factor = length > Self.longestProduct ? Self.factor(of: length) : 1
        guard factor > 1 else {
            let last = rank(x.real) - 1
            let (cosines, sines) = try turns(rows: length, columns: wanted, of: length, sign: sign, element(x.real))
            var (numbers, table) = (x.real, try concat([cosines, sines], axis: 1, "turns"))
            if let imaginary = x.imaginary {
                // One sum of both parts: what cancels between them does so before it is rounded.
                numbers = try concat([x.real, imaginary], axis: last, "parts")
                table = try concat([table, concat([unary(.negate, sines, "negated"), cosines], axis: 1, "turns")], axis: 0, "turns")
            }
            let product = try matmul(numbers, table, "transform")
            return Complex(
                real: try slice(product, axis: last, 0..<wanted, "real"), imaginary: try slice(product, axis: last, wanted..<2 * wanted, "imaginary"))
        }
        // n = n₁·inner + n₂ and k = k₁ + factor·k₂: transforms over n₁, turns by n₂·k₁, transforms over n₂.
        let inner = length / factor
        let leading = Array(shape(x.real).dropLast())
        func each(_ importer: inout Importer, _ x: Complex, _ body: (inout Importer, ValueID) throws -> ValueID) throws -> Complex {
            Complex(real: try body(&importer, x.real), imaginary: try x.imaginary.map { try body(&importer, $0) })
        }
        let swapped = Array(leading.indices) + [leading.count + 1, leading.count]
        var parts = try each(&self, x) { try $0.transpose($0.reshape($1, leading + [factor, inner], "factors"), swapped, "outerLast") }
        parts = try transformed(parts, factor, wanted: factor, sign: sign)
        let (cosines, sines) = try turns(rows: inner, columns: factor, of: length, sign: sign, element(x.real))
        let imaginary = try parts.imaginary ?? binary(.subtract, parts.real, parts.real, "zero")
        parts = Complex(
            real: try binary(.subtract, binary(.multiply, parts.real, cosines, "a"), binary(.multiply, imaginary, sines, "b"), "turnedReal"),
            imaginary: try binary(.add, binary(.multiply, parts.real, sines, "c"), binary(.multiply, imaginary, cosines, "d"), "turnedImaginary"))
        parts = try each(&self, parts) { try $0.transpose($1, swapped, "innerLast") }
        parts = try transformed(parts, inner, wanted: inner, sign: sign)
        return try each(&self, parts) { importer, part in
            let whole = try importer.reshape(importer.transpose(part, swapped, "order"), leading + [length], "whole")
            return try importer.slice(whole, axis: leading.count, 0..<wanted, "wanted")
        }
    }

    /// The divisor nearest below the square root; 1 for primes.
    private static func factor(of length: Int) -> Int {
        var divisor = Int(Double(length).squareRoot())
        while divisor > 1, length % divisor != 0 { divisor -= 1 }
        return divisor
    }

    /// Cosines and sines of `sign·2π·row·column/length`, exact at quarters of a turn.
    private mutating func turns(rows: Int, columns: Int, of length: Int, sign: Double, _ type: DType) throws -> (cosines: ValueID, sines: ValueID) {
        guard rows * columns <= Self.mostFoldedBytes / 64 else {
            throw SwiftletError.invalidArgument(
                name: "DFT", reason: "a transform of length \(length), which has no suitable factors, needs too large a table",
                remedy: "Use a length with small factors.")
        }
        let table = (0..<length).map { step -> (Double, Double) in
            // The quarter, and the angle in it.
            let (quarter, rest) = (4 * step / length, 4 * step % length)
            let angle = Double.pi / 2 * Double(rest) / Double(length)
            let (c, s) = (cos(angle), sin(angle))
            return switch quarter {
            case 0: (c, s)
            case 1: (-s, c)
            case 2: (-c, -s)
            default: (s, -c)
            }
        }
        var (cosines, sines): ([Double], [Double]) = ([], [])
        cosines.reserveCapacity(rows * columns)
        sines.reserveCapacity(rows * columns)
        for row in 0..<rows {
            for column in 0..<columns {
                let (c, s) = table[row * column % length]
                cosines.append(c)
                sines.append(sign * s)
            }
        }
        return (try constant(cosines, shape: [rows, columns], type), try constant(sines, shape: [rows, columns], type))
    }

    // MARK: Frames

    private mutating func shortTimeFourier(_ call: OperatorCall) throws -> ValueID {
        var signal = try call.tensor(0)
        if rank(signal) == 2 { signal = try unsqueeze(signal, [2]) }
        let shape = shape(signal)
        try call.require(shape.count == 3 && (shape[2] == 1 || shape[2] == 2), "the signal must be [n, length, 1 or 2]")
        let step = try integers(call.tensor(1)).first ?? 0
        let window = try call.optional(2)
        let length = try call.optional(3).map { try integers($0).first ?? 0 } ?? window.map { count($0) } ?? shape[1]
        try call.require(step > 0 && length > 0 && length <= shape[1], "frames of \(length) every \(step) do not suit a signal of \(shape[1])")
        if let window { try call.require(self.shape(window) == [length], "the window has \(count(window)) elements, a frame \(length)") }
        let frames = (shape[1] - length) / step + 1
        try call.require(frames * length <= Self.mostFoldedBytes / 8, "\(frames) frames of \(length) are too many")
        let isOneSided = try call.bool("onesided", true)
        return try widened(signal) { importer, signal in
            let places = (0..<frames).flatMap { frame in (0..<length).map { frame * step + $0 } }
            var parts = try importer.apply(.gather(axis: 1), [signal, importer.constant(places, shape: [frames, length])], "frames")
            if let window {
                let column = try importer.cast(importer.reshape(window, [length, 1], "window"), importer.element(signal))
                parts = try importer.binary(.multiply, parts, column, "windowed")
            }
            return try importer.transform(parts, axis: 2, length: length, isInverse: false, isOneSided: isOneSided)
        }
    }

    // MARK: Tables

    private func outputType(_ call: OperatorCall) throws -> DType { try call.node.int("output_datatype").map { try dtype($0, call) } ?? .f32 }

    /// `Σ cᵢ·cos(2π·i·n/N)`, N the size of the window, or one less when it is symmetric.
    private mutating func cosineWindow(_ call: OperatorCall, _ coefficients: [Double]) throws -> ValueID {
        let size = try integers(call.tensor(0)).first ?? -1
        try call.require(size >= 0 && size <= 1 << 24, "a window of size \(size)")
        let period = Double(try call.bool("periodic", true) ? size : max(1, size - 1))
        let values = (0..<size).map { place in
            coefficients.enumerated().reduce(0.0) { $0 + $1.element * cos(2 * Double.pi * Double($1.offset * place) / period) }
        }
        return try constant(values, outputType(call))
    }

    /// Triangles that gather the bins of a spectrum to bands of equal width on the mel scale, 2595·lg(1 + f/700).
    private mutating func melWeights(_ call: OperatorCall) throws -> ValueID {
        func whole(_ index: Int) throws -> Int { try integers(call.tensor(index)).first ?? -1 }
        let (bands, length, rate) = (try whole(0), try whole(1), try whole(2))
        let (low, high) = (try doubles(call.tensor(3)).first ?? -1, try doubles(call.tensor(4)).first ?? -1)
        let bins = length / 2 + 1
        try call.require(bands > 0 && bands <= 1 << 16 && length > 0 && bins * bands <= 1 << 26 && rate > 0, "\(bands) bands of \(length) at \(rate) Hz")
        try call.require(low >= 0 && high >= low && high <= Double(rate), "the bands reach from \(low) to \(high) Hz")
        func mel(_ hertz: Double) -> Double { 2595 * log10(1 + hertz / 700) }
        let step = (mel(high) - mel(low)) / Double(bands + 2)
        // Edges of the bands, in bins.
        let edges = (0..<bands + 2).map { edge -> Int in
            let hertz = 700 * (pow(10, (Double(edge) * step + mel(low)) / 2595) - 1)
            return Int((Double(length + 1) * hertz / Double(rate)).rounded(.down))
        }
        try call.require(edges.allSatisfy { $0 >= 0 && $0 <= bins } && edges[..<(bands + 1)].allSatisfy { $0 < bins }, "bands lie above half of the sample rate")
        var weights = [Double](repeating: 0, count: bins * bands)
        for band in 0..<bands {
            let (start, centre, end) = (edges[band], edges[band + 1], edges[band + 2])
            if start == centre { weights[centre * bands + band] = 1 }
            for bin in start..<max(start, centre + (start == centre ? 0 : 1)) {
                weights[bin * bands + band] = Double(bin - start) / Double(centre - start)
            }
            for bin in centre..<end { weights[bin * bands + band] = Double(end - bin) / Double(end - centre) }
        }
        return try constant(weights, shape: [bins, bands], outputType(call))
    }
}
