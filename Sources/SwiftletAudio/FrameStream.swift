// Cutting a signal into overlapping frames, piece by piece, with the padding of whole signals at its ends.
import SwiftletTensor

/// The state of a signal between two pieces of it.
struct FrameStream: Sendable {
    private let framing: Framing
    /// Samples not yet left behind by all frames, padding included; before the start can be mirrored: all samples.
    private var buffer: [Float] = []
    /// How many samples the next frame starts beyond the buffer: a hop may be longer than what is there.
    private var skip = 0
    private var hasStarted = false
    /// The last samples, for the mirror at the end.
    private var tail: [Float] = []

    private var padding: Int { framing.padding == .none ? 0 : framing.fftSize / 2 }

    init(_ framing: Framing) { self.framing = framing }

    /// Calls `body` with each frame of `fftSize` samples that the next samples complete.
    mutating func process(_ samples: UnsafeBufferPointer<Float>, _ body: (UnsafePointer<Float>) -> Void) {
        keepTail(samples)
        buffer.append(contentsOf: samples)
        if !hasStarted {
            // The sample at distance `padding` from the first is the first of the mirror image.
            guard framing.padding != .reflect || buffer.count > padding else { return }
            start()
        }
        cut(body)
    }

    /// Calls `body` with each frame that the padding at the end completes, and forgets everything.
    mutating func finish(_ body: (UnsafePointer<Float>) -> Void) throws {
        defer { self = FrameStream(framing) }
        if !hasStarted {
            guard framing.padding != .reflect else {
                throw SwiftletError.invalidArgument(
                    name: "samples", reason: "\(buffer.count) samples cannot be mirrored over \(padding)",
                    remedy: "Pass more samples, or pad with zeros.")
            }
            start()
        }
        switch framing.padding {
        case .none: break
        case .zeros: buffer.append(contentsOf: repeatElement(0, count: padding))
        case .reflect: buffer.append(contentsOf: tail.dropLast().reversed().prefix(padding))
        }
        cut(body)
    }

    private mutating func start() {
        hasStarted = true
        switch framing.padding {
        case .none: break
        case .zeros: buffer.insert(contentsOf: repeatElement(0, count: padding), at: 0)
        case .reflect: buffer.insert(contentsOf: padding == 0 ? [] : buffer[1...padding].reversed(), at: 0)
        }
    }

    private mutating func keepTail(_ samples: UnsafeBufferPointer<Float>) {
        guard framing.padding == .reflect else { return }
        tail.append(contentsOf: samples.suffix(padding + 1))
        if tail.count > padding + 1 { tail.removeFirst(tail.count - padding - 1) }
    }

    private mutating func cut(_ body: (UnsafePointer<Float>) -> Void) {
        var start = skip
        buffer.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            while start + framing.fftSize <= buffer.count {
                body(base + start)
                start += framing.hop
            }
        }
        let passed = min(start, buffer.count)
        buffer.removeFirst(passed)
        skip = start - passed
    }
}
