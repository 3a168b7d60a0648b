// RIFF/WAVE: plain samples of sound. WAVHeader.swift has the layout.
import SwiftletTensor

/// A WAVE file of plain samples: 8, 16, 24 or 32-bit integers, 32 or 64-bit floats, any rate and number of channels.
///
/// The samples stay in the mapped file and are converted when asked for.
///
///     let file = try WAVFile(path: "speech.wav")
///     let speech = try file.mono()                                  // [frames], -1 ..< 1
///     try WAVFile.write(file.samples(), sampleRate: file.sampleRate, to: "copy.wav")
public struct WAVFile: Sendable {
    public let path: String
    /// Frames a second.
    public let sampleRate: Int
    public let channels: Int
    /// A frame is one sample of each channel.
    public let frameCount: Int
    public let encoding: WAVEncoding
    private let image: FileImage
    private let data: Range<Int>

    /// Opens a file.
    ///
    /// Throws `SwiftletError.io` when it cannot be opened, `.malformed` with a byte offset when it is damaged or cut off, `.unsupported` for
    /// compressed samples. A file whose "data" chunk says 0xFFFFFFFF bytes, as programs write into a pipe, is read to its end.
    public init(path: String) throws { try self.init(FileImage(path: path)) }

    /// Reads a file that is in memory; the bytes are copied. `name` stands for the path in errors.
    package init(bytes: some Collection<UInt8>, name: String) throws { try self.init(FileImage(copying: bytes, name: name)) }

    private init(_ image: FileImage) throws {
        let header = try withExtendedLifetime(image) { try WAVHeader(image) }
        self.image = image
        path = image.name
        sampleRate = header.sampleRate
        channels = header.channels
        encoding = header.encoding
        data = header.data
        frameCount = header.data.count / (header.channels * header.encoding.byteCount)
    }

    /// The samples of `frames` (nil: all) as f32 `[channels, frames]`; integers map to -1 ..< 1, floats stay as they are.
    ///
    /// Throws `SwiftletError.invalidArgument` when the range leaves the file.
    public func samples(_ frames: Range<Int>? = nil) throws -> Tensor {
        let frames = try checked(frames)
        return try Tensor(.f32, shape: [channels, frames.count]) { target in
            let target = target.bindMemory(to: Float.self)
            for channel in 0..<channels {
                decode(
                    channel, frames,
                    into: UnsafeMutableBufferPointer(rebasing: target[channel * frames.count..<(channel + 1) * frames.count]))
            }
        }
    }

    /// The mean of all channels of `frames` (nil: all), as speech models want it: one float a frame.
    ///
    /// Throws `SwiftletError.invalidArgument` when the range leaves the file.
    public func mono(_ frames: Range<Int>? = nil) throws -> [Float] {
        let frames = try checked(frames)
        if frames.isEmpty { return [] }
        var sum = [Float](repeating: 0, count: frames.count)
        sum.withUnsafeMutableBufferPointer { decode(0, frames, into: $0) }
        if channels == 1 { return sum }
        var other = [Float](repeating: 0, count: frames.count)
        for channel in 1..<channels {
            other.withUnsafeMutableBufferPointer { decode(channel, frames, into: $0) }
            for index in sum.indices { sum[index] += other[index] }
        }
        for index in sum.indices { sum[index] /= Float(channels) }
        return sum
    }

    /// Writes samples: f32 `[channels, frames]`, or `[frames]` for one channel. The file appears under its name when it is complete.
    ///
    /// Integer encodings clamp to -1 ... 1 and round.
    ///
    /// Throws `SwiftletError.invalidArgument` for other shapes and types, for NaN where integers are written, and for what the format cannot
    /// hold (65,535 channels or bytes a frame, 4 GiB); `.io` when the file cannot be written.
    public static func write(_ samples: Tensor, sampleRate: Int, encoding: WAVEncoding = .int16, to path: String) throws {
        func refuse(_ name: String, _ reason: String, _ remedy: String) -> SwiftletError {
            .invalidArgument(name: name, reason: reason, remedy: remedy)
        }
        guard samples.type == .f32, samples.shape.rank == 1 || samples.shape.rank == 2 else {
            throw refuse("samples", "\(samples) is not f32 [channels, frames]", "Pass one row of f32 a channel.")
        }
        let channels = samples.shape.rank == 1 ? 1 : samples.shape[0]
        let frames = samples.shape[samples.shape.rank - 1]
        guard channels > 0, channels * encoding.byteCount <= Int(UInt16.max) else {
            throw refuse("samples", "a file cannot have \(channels) channels of \(encoding)", "Write fewer channels.")
        }
        guard sampleRate > 0, let rate = UInt32(exactly: sampleRate) else {
            throw refuse("sampleRate", "\(sampleRate) is no sample rate", "Pass the frames a second.")
        }
        let (bytes, overflow) = frames.multipliedReportingOverflow(by: channels * encoding.byteCount)
        guard !overflow, bytes <= Int(UInt32.max) - 256 else {
            throw refuse("samples", "\(frames) frames of \(channels) channels are more than 4 GiB", "Write several files.")
        }
        let file = try OutputFile(path: path)
        try file.write(
            WAVHeader.bytes(
                encoding: encoding, channels: UInt16(channels), sampleRate: rate, frames: UInt32(frames), dataBytes: UInt32(bytes)))
        try samples.withElements(as: Float.self) { values in
            var buffer: [UInt8] = []
            let framesAtOnce = max(1, bufferBytes / (channels * encoding.byteCount))
            for start in stride(from: 0, to: frames, by: framesAtOnce) {
                buffer.removeAll(keepingCapacity: true)
                for frame in start..<min(frames, start + framesAtOnce) {
                    for channel in 0..<channels {
                        let sample = values[channel * frames + frame]
                        guard encoding.isFloat || !sample.isNaN else {
                            throw refuse("samples", "frame \(frame) of channel \(channel) is NaN", "Find out what computed it.")
                        }
                        encoding.encode(sample, into: &buffer)
                    }
                }
                try file.write(buffer)
            }
        }
        try file.pad(to: 2)
        try file.commit()
    }

    private static let bufferBytes = 1 << 16

    private func checked(_ frames: Range<Int>?) throws -> Range<Int> {
        let range = frames ?? 0..<frameCount
        guard range.lowerBound >= 0, range.upperBound <= frameCount else {
            throw SwiftletError.invalidArgument(
                name: "frames", reason: "\(range) leaves the \(frameCount) frames of \(path)", remedy: "Ask for frames that are there.")
        }
        return range
    }

    private func decode(_ channel: Int, _ frames: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
        withExtendedLifetime(image) {
            guard let base = image.bytes.baseAddress, !frames.isEmpty else { return }
            let frameBytes = channels * encoding.byteCount
            let start = base + data.lowerBound + frames.lowerBound * frameBytes + channel * encoding.byteCount
            encoding.decode(start, stride: frameBytes, into: target)
        }
    }
}
