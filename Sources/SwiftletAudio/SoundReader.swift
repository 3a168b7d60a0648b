// A WAVE file of any rate and number of channels as one channel of the rate a network wants, piece by piece: however long the recording, memory
// holds a second of it.
import SwiftletFormats
import SwiftletTensor

/// Reads a WAVE file as a stream of samples.
///
///     var reader = try SoundReader(path: "meeting.wav", sampleRate: 16_000)
///     while let samples = try reader.next() { probabilities += try detector.process(samples) }
public struct SoundReader: Sendable {
    public let file: WAVFile
    /// Of the samples that come out, in hertz.
    public let sampleRate: Int
    private var resampler: Resampler?
    /// The next frame of the file; nil behind the end.
    private var position: Int? = 0

    /// Throws what `WAVFile` throws, and `SwiftletError.invalidArgument` for rates too far apart.
    public init(path: String, sampleRate: Int) throws {
        file = try WAVFile(path: path)
        self.sampleRate = sampleRate
        resampler = file.sampleRate == sampleRate ? nil : try Resampler(from: file.sampleRate, to: sampleRate)
    }

    /// The next samples, the mean of all channels: about a second of them, fewer at the end. Nil behind the end.
    public mutating func next() throws -> [Float]? {
        guard let start = position else { return nil }
        let end = start + min(max(1, file.sampleRate), file.frameCount - start)
        position = end < file.frameCount ? end : nil
        let samples = try file.mono(start..<end)
        guard var resampler else { return samples }
        // Taken out, so that its buffers are not copied.
        self.resampler = nil
        var result = resampler.process(samples)
        if position == nil { result += resampler.finish() }
        self.resampler = resampler
        return result
    }
}
