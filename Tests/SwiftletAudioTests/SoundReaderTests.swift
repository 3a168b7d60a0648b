import Foundation
import SwiftletAudio
import SwiftletFormats
import SwiftletTensor
import Testing

@Suite struct SoundReaderTests {
    private func withFile<Result>(_ samples: Tensor, rate: Int, _ body: (String) throws -> Result) throws -> Result {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).wav").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try WAVFile.write(samples, sampleRate: rate, encoding: .float32, to: path)
        return try body(path)
    }

    private func samples(_ channels: Int, _ frames: Int) throws -> Tensor {
        try Tensor((0..<channels * frames).map { Float($0 * 7919 % 1000) / 1000 - 0.5 }, shape: [channels, frames])
    }

    /// In pieces it is the file at once, whatever its rate, channels and length.
    @Test(arguments: [
        (1, 16_000, 40_000), (2, 44_100, 100_003), (3, 8_000, 20_000), (1, 48_000, 1), (2, 16_000, 16_000), (1, 22_050, 22_050),
    ])
    func piecesAreTheWhole(channels: Int, rate: Int, frames: Int) throws {
        try withFile(samples(channels, frames), rate: rate) { path in
            var reader = try SoundReader(path: path, sampleRate: 16_000)
            var (read, count): ([Float], Int) = ([], 0)
            while let piece = try reader.next() {
                read += piece
                count += 1
            }
            let file = try WAVFile(path: path)
            #expect(try read == (rate == 16_000 ? file.mono() : file.mono(at: 16_000)))
            #expect(read.count == (frames * 16_000 + rate - 1) / rate)
            #expect(count == (frames + rate - 1) / rate)
            #expect(try reader.next() == nil)
        }
    }

    @Test(arguments: [16_000, 44_100]) func anEmptyFileHasNoSamples(rate: Int) throws {
        try withFile(samples(1, 0), rate: rate) { path in
            var reader = try SoundReader(path: path, sampleRate: 16_000)
            var read: [Float] = []
            while let piece = try reader.next() { read += piece }
            #expect(read.isEmpty)
        }
    }

    @Test func errorsNameTheFile() {
        #expect(throws: SwiftletError.self) { try SoundReader(path: "/absent.wav", sampleRate: 16_000) }
    }
}
