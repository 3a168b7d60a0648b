// WAVE files against those of SciPy (Tests/Vectors/make_wav_vectors.py), and against files that lie.
import Foundation
import SwiftletFormats
import SwiftletTensor
import Testing

@Suite struct WAVTests {
    private static let folder = vectorFolder.deletingLastPathComponent().appending(path: "wav")
    private static let ofSciPy: [WAVEncoding] = [.int8, .int16, .int32, .float32, .float64]

    private static func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: folder.appending(path: name))) }

    private static func expected() throws -> Tensor {
        let tensor = try NPYFile.read(path: folder.appending(path: "expected.npy").path)
        return try Tensor(tensor.floats(), shape: tensor.shape)
    }

    @Test(arguments: ofSciPy) func readsWhatSciPyWrote(encoding: WAVEncoding) throws {
        let expected = try Self.expected()
        let file = try WAVFile(path: Self.folder.appending(path: "\(encoding).wav").path)
        #expect(file.sampleRate == 16000 && file.channels == 2 && file.frameCount == 33 && file.encoding == encoding)
        #expect(try file.samples() == expected)
        let values = try expected.elements(as: Float.self)
        #expect(try file.samples(5..<7).elements(as: Float.self) == [values[5], values[6], values[38], values[39]])
        #expect(try file.mono() == (0..<33).map { (values[$0] + values[33 + $0]) / 2 })
        #expect(try file.mono(33..<33).isEmpty)
        #expect(throws: SwiftletError.self) { try file.samples(0..<34) }
        let mono = try WAVFile(path: Self.folder.appending(path: "mono-\(encoding).wav").path)
        #expect(mono.sampleRate == 44100 && mono.channels == 1)
        #expect(try mono.mono() == Array(values[..<33]))
    }

    @Test(arguments: ofSciPy) func writesTheSameBytesAsSciPy(encoding: WAVEncoding) throws {
        let expected = try Self.expected()
        let first = try Tensor(expected.elements(as: Float.self)[..<33], shape: [33])
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.wav")
            try WAVFile.write(expected, sampleRate: 16000, encoding: encoding, to: path.path)
            #expect(try [UInt8](Data(contentsOf: path)) == Self.bytes("\(encoding).wav"))
            if encoding == .int8 { return }  // SciPy forgets the byte of padding after an odd size
            try WAVFile.write(first, sampleRate: 44100, encoding: encoding, to: path.path)
            #expect(try [UInt8](Data(contentsOf: path)) == Self.bytes("mono-\(encoding).wav"))
        }
    }

    @Test(arguments: WAVEncoding.allCases, [1, 2, 3, 7]) func writtenFilesReadBack(encoding: WAVEncoding, channels: Int) throws {
        let frames = 70_001 / channels
        let samples = try Tensor((0..<channels * frames).map { Float($0 * 7 % 255 - 127) / 128 }, shape: [channels, frames])
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.wav").path
            try WAVFile.write(samples, sampleRate: 22050, encoding: encoding, to: path)
            let file = try WAVFile(path: path)
            #expect(file.encoding == encoding && file.channels == channels && file.sampleRate == 22050)
            #expect(try file.samples() == samples)
        }
    }

    @Test func writingRoundsAndClamps() throws {
        let samples = try Tensor([0, 2, -2, .infinity, 1, -1, 0.5 / 32768, 1.5 / 32768, -0.6 / 32768] as [Float], shape: [9])
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.wav").path
            try WAVFile.write(samples, sampleRate: 8000, to: path)
            let stored = try WAVFile(path: path).mono().map { Int($0 * 32768) }
            #expect(stored == [0, 32767, -32768, 32767, 32767, -32768, 0, 2, -1])
            let broken = try Tensor([0, Float.nan], shape: [2])
            #expect(throws: SwiftletError.self) { try WAVFile.write(broken, sampleRate: 8000, to: path) }
            try WAVFile.write(broken, sampleRate: 8000, encoding: .float32, to: path)
            #expect(try WAVFile(path: path).mono()[1].isNaN)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["x.wav"])
            #expect(throws: SwiftletError.self) { try WAVFile.write(samples, sampleRate: 0, to: path) }
            #expect(throws: SwiftletError.self) { try WAVFile.write(Tensor(zeros: .f32, shape: [0, 4]), sampleRate: 1, to: path) }
            #expect(throws: SwiftletError.self) { try WAVFile.write(Tensor(zeros: .i16, shape: [4]), sampleRate: 1, to: path) }
            #expect(throws: SwiftletError.self) { try WAVFile.write(Tensor(zeros: .f32, shape: [70_000, 1]), sampleRate: 1, to: path) }
            try WAVFile.write(Tensor(zeros: .f32, shape: [0]), sampleRate: 1, to: path)
            #expect(try WAVFile(path: path).frameCount == 0)
        }
    }

    // MARK: Files made by hand

    private static func little(_ value: Int, _ bytes: Int) -> [UInt8] { (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

    private static func chunk(_ name: String, _ body: [UInt8], size: Int? = nil) -> [UInt8] {
        Array(name.utf8) + little(size ?? body.count, 4) + body + [UInt8](repeating: 0, count: body.count % 2)
    }

    private static func format(tag: Int = 1, channels: Int = 1, rate: Int = 8000, bits: Int = 16, frame: Int? = nil) -> [UInt8] {
        let frameBytes = frame ?? channels * ((bits + 7) / 8)
        return little(tag, 2) + little(channels, 2) + little(rate, 4) + little(rate * frameBytes, 4) + little(frameBytes, 2)
            + little(bits, 2)
    }

    private static let tail: [UInt8] = [0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xAA, 0x00, 0x38, 0x9B, 0x71]

    private static func extensible(_ tag: Int, bits: Int, valid: Int, tail: [UInt8] = tail) -> [UInt8] {
        format(tag: 0xFFFE, bits: bits) + little(22, 2) + little(valid, 2) + little(4, 4) + little(tag, 2) + tail
    }

    private static func file(_ chunks: [UInt8]...) -> [UInt8] {
        let body = chunks.flatMap(\.self)
        return Array("RIFF".utf8) + little(body.count + 4, 4) + Array("WAVE".utf8) + body
    }

    private static func read(_ bytes: [UInt8]) throws -> [Float] { try WAVFile(bytes: bytes, name: "x").mono() }

    @Test func twentyFourBits() throws {
        let data: [UInt8] = [0x00, 0x00, 0x80, 0xFF, 0xFF, 0x7F, 0x00, 0x00, 0x40, 0xFF, 0xFF, 0xFF, 0x01, 0x00, 0x00]
        let expected: [Float] = [-1, 8388607 / 8388608, 0.5, -1 / 8388608, 1 / 8388608]
        #expect(try Self.read(Self.file(Self.chunk("fmt ", Self.format(bits: 24)), Self.chunk("data", data))) == expected)
    }

    @Test func longFormatsAndFewerBits() throws {
        let data = Self.chunk("data", [0x00, 0x40, 0x00, 0x80])
        #expect(try Self.read(Self.file(Self.chunk("fmt ", Self.extensible(1, bits: 16, valid: 12)), data)) == [0.5, -1])
        // Twelve bits stand in the upper bits of two bytes.
        #expect(try Self.read(Self.file(Self.chunk("fmt ", Self.format(bits: 12)), data)) == [0.5, -1])
        #expect(
            try Self.read(Self.file(Self.chunk("fmt ", Self.extensible(3, bits: 32, valid: 32)), data))[0] == Float(bitPattern: 0x8000_4000)
        )
        #expect(throws: SwiftletError.self) {
            try Self.read(Self.file(Self.chunk("fmt ", Self.extensible(1, bits: 16, valid: 16, tail: Self.tail.reversed())), data))
        }
        #expect(throws: SwiftletError.self) { try Self.read(Self.file(Self.chunk("fmt ", Self.format(tag: 0xFFFE)), data)) }
    }

    @Test func otherChunksAreSkipped() throws {
        let format = Self.chunk("fmt ", Self.format())
        let data = Self.chunk("data", [0x00, 0x40])
        let bytes = Self.file(
            Self.chunk("LIST", [1, 2, 3]), format, Self.chunk("fact", [0, 0, 0, 0]), Self.chunk("odd ", [9]), data, Self.chunk("id3 ", [1]))
        #expect(try Self.read(bytes) == [0.5])
        #expect(try Self.read(bytes + [1, 2, 3]) == [0.5])
    }

    @Test func streamsAreReadToTheirEnd() throws {
        let format = Self.chunk("fmt ", Self.format(channels: 2))
        let stream = Self.file(format, Self.chunk("data", [0x00, 0x40, 0x00, 0x20, 0x00, 0x80, 0x00, 0x00], size: 0xFFFF_FFFF))
        #expect(try WAVFile(bytes: stream, name: "x").samples() == Tensor([0.5, -1, 0.25, 0] as [Float], shape: [2, 2]))
        // A frame that was cut off is left out.
        #expect(try WAVFile(bytes: stream + [1, 2, 3], name: "x").frameCount == 2)
        #expect(try WAVFile(bytes: stream.dropLast(1), name: "x").frameCount == 1)
        #expect(try WAVFile(bytes: stream.dropLast(8), name: "x").frameCount == 0)
    }

    @Test func refusesFilesThatLie() throws {
        let format = Self.chunk("fmt ", Self.format())
        let data = Self.chunk("data", [0, 0])
        for (name, bytes) in [
            ("no data", Self.file(format)), ("no format", Self.file(data)), ("format after data", Self.file(data, format)),
            ("two formats", Self.file(format, format, data)), ("short format", Self.file(Self.chunk("fmt ", [1, 0]), data)),
            ("data cut off", Self.file(format, Self.chunk("data", [0, 0], size: 4))),
            ("odd data", Self.file(format, Self.chunk("data", [0, 0, 0]))),
            ("chunk cut off", Self.file(format, Self.chunk("LIST", [], size: 0xFFFF_FFFF))),
            ("no channels", Self.file(Self.chunk("fmt ", Self.format(channels: 0, frame: 2)), data)),
            ("no rate", Self.file(Self.chunk("fmt ", Self.format(rate: 0)), data)),
            ("no frame", Self.file(Self.chunk("fmt ", Self.format(frame: 0)), data)),
            ("wrong frame", Self.file(Self.chunk("fmt ", Self.format(channels: 2, frame: 3)), data)),
            ("too many bits", Self.file(Self.chunk("fmt ", Self.format(bits: 24, frame: 2)), data)),
            ("no bits", Self.file(Self.chunk("fmt ", Self.format(bits: 0, frame: 1)), data)),
            ("big-endian", Array("RIFX".utf8) + Self.file(format, data).dropFirst(4)),
            ("64-bit sizes", Array("RF64".utf8) + Self.file(format, data).dropFirst(4)),
            ("other kind", Self.file(format, data).map { $0 == UInt8(ascii: "W") ? 0 : $0 }),
            ("text", Array("a plain text, not sound".utf8)),
        ] {
            #expect(throws: SwiftletError.self, "\(name)") { try Self.read(bytes) }
        }
        for tag in [0, 2, 6, 7, 0x11, 0x55, 0x1234] {
            #expect(throws: SwiftletError.self, "format \(tag)") {
                try Self.read(Self.file(Self.chunk("fmt ", Self.format(tag: tag)), data))
            }
        }
        let whole = try Self.bytes("int16.wav")
        for count in 0..<whole.count { #expect(throws: SwiftletError.self) { try Self.read(Array(whole.prefix(count))) } }
        #expect(throws: SwiftletError.self) { try WAVFile(path: Self.folder.appending(path: "none.wav").path) }
    }

    @Test(arguments: WAVEncoding.allCases) func mutatedFilesOnlyThrow(encoding: WAVEncoding) throws {
        let samples = try Tensor((0..<99).map { Float($0) / 100 }, shape: [3, 33])
        let bytes: [UInt8] = try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.wav")
            try WAVFile.write(samples, sampleRate: 8000, encoding: encoding, to: path.path)
            return [UInt8](try Data(contentsOf: path))
        }
        var mutator = Mutator(seed: UInt64(encoding.byteCount))
        var opened = 0, refused = 0
        for index in 0..<5_000 {
            do {
                let file = try WAVFile(bytes: mutator.mutated(bytes, headerBytes: 68), name: "mutant")
                #expect(try file.samples().elementCount == file.channels * file.frameCount)
                #expect(try file.mono().count == file.frameCount)
                opened += 1
            } catch is SwiftletError {
                refused += 1
            } catch {
                Issue.record("case \(index): \(error)")
            }
        }
        #expect(opened > 200 && refused > 1000, "\(opened) opened, \(refused) refused")
    }
}
