// What speech networks take instead of samples: spectra, mel spectra, their logarithms, cepstra. One row a frame.
//
//     samples → frames (padding, hop) → · window → transform → |X|^power → mel filters → logarithm → cosine transform
//
// Conventions are those of librosa and torchaudio; each step can be the last. Batch and stream run the same code, so their frames are the same.
import SwiftletFormats
import SwiftletTensor

/// What stands in front of the first sample and behind the last.
public enum FramePadding: String, Sendable, Hashable, CaseIterable, Codable {
    /// Nothing: the first frame starts with the first sample, and samples that fill no frame are left out.
    case none
    /// Half a transform of zeros on both sides: frame i is centred on sample i · hop (librosa's default).
    case zeros
    /// Half a transform of the signal mirrored at its first and last sample (PyTorch's default, Whisper).
    case reflect
}

/// How a signal is cut into frames. All lengths in samples.
public struct Framing: Sendable, Hashable {
    public var fftSize: Int
    /// Samples from one frame to the next.
    public var hop: Int
    /// Nil: as long as the transform; shorter ones lie in its middle, between zeros.
    public var windowLength: Int?
    public var window: Window
    public var padding: FramePadding

    public init(fftSize: Int = 400, hop: Int = 160, windowLength: Int? = nil, window: Window = .hann, padding: FramePadding = .reflect) {
        self.fftSize = fftSize
        self.hop = hop
        self.windowLength = windowLength
        self.window = window
        self.padding = padding
    }

    /// The frames of a signal.
    public func frameCount(samples: Int) -> Int {
        let padded = samples + (padding == .none ? 0 : fftSize / 2 * 2)
        return padded < fftSize ? 0 : (padded - fftSize) / hop + 1
    }
}

/// A logarithm that zeros do not break.
public enum LogScale: Sendable, Hashable {
    /// ln(max(x, floor))
    case natural(floor: Float)
    /// log10(max(x, floor)), as Whisper's
    case decimal(floor: Float)
    /// 10 · log10(max(x, floor)), librosa's power_to_db with a reference of 1
    case decibels(floor: Float)
}

/// A description of features of sound.
///
///     let features = AudioFeatures(sampleRate: 16_000, kind: .logMel(MelSettings(count: 80), .natural(floor: 1e-6)))
///     let tensor = try features.tensor(path: "speech.wav")           // f32 [frames, 80]
///
///     var stream = try features.stream()                             // the same, as the sound comes
///     var rows = try stream.process(samples)
///     rows += try stream.finish()
public struct AudioFeatures: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Real and imaginary part of each bin, one after the other: width 2 · (fftSize / 2 + 1).
        case spectrum
        /// |X| of each bin.
        case magnitude
        /// |X|² of each bin.
        case power
        /// Mel filters over the power spectrum.
        case mel(MelSettings)
        /// Their logarithm.
        case logMel(MelSettings, LogScale)
        /// The first `count` coefficients of the orthonormal DCT-II of that.
        case mfcc(MelSettings, LogScale, count: Int)
    }

    /// Of the samples the features are made of, in hertz.
    public var sampleRate: Int
    public var framing: Framing
    public var kind: Kind
    /// How far a logarithm may lie below the largest one of the whole signal (librosa's top_db, Whisper's 8); nil: as far as it does.
    /// Needs the whole signal, so a stream refuses it.
    public var dynamicRange: Float?

    public init(sampleRate: Int, framing: Framing = Framing(), kind: Kind, dynamicRange: Float? = nil) {
        self.sampleRate = sampleRate
        self.framing = framing
        self.kind = kind
        self.dynamicRange = dynamicRange
    }

    /// The features of a whole signal: f32 `[frames, width]`.
    ///
    /// Throws `SwiftletError.invalidArgument` for settings that make no sense, and for a signal that is too short to be mirrored.
    public func tensor(_ samples: [Float]) throws -> Tensor {
        var step = FeatureStep(try FrameTransform(self), coefficients: dynamicRange == nil)
        var rows: [Float] = []
        var frames = FrameStream(framing)
        rows.reserveCapacity(framing.frameCount(samples: samples.count) * step.width)
        samples.withUnsafeBufferPointer { frames.process($0) { step.append($0, to: &rows) } }
        try frames.finish { step.append($0, to: &rows) }
        if let dynamicRange {
            guard step.hasLogarithm, dynamicRange >= 0 else {
                throw SwiftletError.invalidArgument(
                    name: "dynamicRange", reason: "\(dynamicRange) limits no logarithm", remedy: "Leave it out, or choose logMel or mfcc.")
            }
            if let floor = rows.max().map({ $0 - dynamicRange }) { for index in rows.indices { rows[index] = max(rows[index], floor) } }
            rows = step.coefficients(of: rows)
        }
        let width = step.outputWidth
        return try Tensor(rows, shape: [rows.count / width, width])
    }

    /// The features of a WAVE file: its channels' mean, resampled to `sampleRate` where the file has another.
    public func tensor(path: String) throws -> Tensor { try tensor(WAVFile(path: path).mono(at: sampleRate)) }

    /// The same features of a signal that comes piece by piece.
    ///
    /// Throws `SwiftletError.invalidArgument` for settings that make no sense, and for a dynamic range.
    public func stream() throws -> FeatureStream {
        guard dynamicRange == nil else {
            throw SwiftletError.invalidArgument(
                name: "dynamicRange", reason: "a stream does not know its largest value before its end", remedy: "Leave it out.")
        }
        return FeatureStream(frames: FrameStream(framing), step: FeatureStep(try FrameTransform(self), coefficients: true))
    }
}

/// Features of a signal that comes piece by piece. Frames are those of `AudioFeatures.tensor` over the whole signal, each as soon as its last
/// sample is there. A value: a copy goes on by itself.
public struct FeatureStream: Sendable {
    private var frames: FrameStream
    private var step: FeatureStep

    init(frames: FrameStream, step: FeatureStep) {
        self.frames = frames
        self.step = step
    }

    /// Values of a frame.
    public var width: Int { step.outputWidth }

    /// The frames that the next samples complete: `width` values each, often none.
    public mutating func process(_ samples: [Float]) -> [Float] {
        var rows: [Float] = []
        process(samples, into: &rows)
        return rows
    }

    /// Appends the frames that the next samples complete. Allocates nothing once `rows` and the stream have grown to their size.
    public mutating func process(_ samples: [Float], into rows: inout [Float]) {
        samples.withUnsafeBufferPointer { samples in frames.process(samples) { step.append($0, to: &rows) } }
    }

    /// The frames that the padding behind the last sample completes. The stream starts anew.
    ///
    /// Throws `SwiftletError.invalidArgument` when the signal was too short to be mirrored.
    public mutating func finish() throws -> [Float] {
        var rows: [Float] = []
        try frames.finish { step.append($0, to: &rows) }
        return rows
    }
}
