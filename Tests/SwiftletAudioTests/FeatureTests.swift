// Windows, filters and features against SciPy and librosa; streams against batches.
import Foundation
import SwiftletAudio
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

@Suite struct FeatureTests {
    @Test(arguments: [("hann", Window.hann), ("hamming", .hamming), ("blackman", .blackman), ("kaiser", .kaiser(beta: 8.6))])
    func windowsAreSciPys(name: String, window: Window) throws {
        for (suffix, periodic) in [("", true), ("-symmetric", false)] {
            let expected = try Vectors.tensor("window-\(name)\(suffix)").floats()
            #expect(relativeError(window.values(33, periodic: periodic), expected) < 1e-6)
        }
        #expect(window.values(0).isEmpty)
        #expect(window.values(1, periodic: false) == [1])
        #expect(Window.rectangular.values(3) == [1, 1, 1])
    }

    @Test func filtersAreLibrosas() throws {
        let slaney = try MelFilterBank(MelSettings(count: 40), fftSize: 400, sampleRate: 16000)
        #expect(try relativeError(slaney.matrix, Vectors.tensor("filters-slaney").floats()) < 1e-6)
        let htk = MelSettings(count: 23, lowest: 60, highest: 7000, scale: .htk, hasUnitArea: false)
        #expect(
            try relativeError(MelFilterBank(htk, fftSize: 512, sampleRate: 16000).matrix, Vectors.tensor("filters-htk").floats()) < 1e-6)
        for scale in MelScale.allCases {
            for hertz in [0, 440, 1000, 1001, 7999.0] { #expect(abs(scale.hertz(mels: scale.mels(hertz: hertz)) - hertz) < 1e-9 * 8000) }
        }
    }

    private static let mel = MelSettings(count: 40)

    /// Each vector with the features that make it.
    private static let cases: [(name: String, features: AudioFeatures, tolerance: Float)] = [
        ("stft-zeros", AudioFeatures(sampleRate: 16000, framing: Framing(fftSize: 256, hop: 100, padding: .zeros), kind: .spectrum), 1e-6),
        (
            "stft-reflect",
            AudioFeatures(
                sampleRate: 16000, framing: Framing(fftSize: 256, hop: 400, windowLength: 200, window: .hamming), kind: .spectrum),
            1e-6
        ),
        ("stft-none", AudioFeatures(sampleRate: 16000, framing: Framing(fftSize: 250, hop: 300, padding: .none), kind: .spectrum), 1e-6),
        ("mel", AudioFeatures(sampleRate: 16000, kind: .mel(mel)), 1e-6),
        ("mel-natural", AudioFeatures(sampleRate: 16000, kind: .logMel(mel, .natural(floor: 1e-6))), 1e-6),
        ("mel-decibels", AudioFeatures(sampleRate: 16000, kind: .logMel(mel, .decibels(floor: 1e-10))), 1e-5),
        ("mel-decimal-8", AudioFeatures(sampleRate: 16000, kind: .logMel(mel, .decimal(floor: 1e-10)), dynamicRange: 8), 1e-5),
        ("mfcc", AudioFeatures(sampleRate: 16000, kind: .mfcc(mel, .decibels(floor: 1e-10), count: 13)), 1e-5),
        ("mfcc-80", AudioFeatures(sampleRate: 16000, kind: .mfcc(mel, .decibels(floor: 1e-10), count: 13), dynamicRange: 80), 1e-5),
    ]

    @Test(arguments: cases.indices) func featuresAreLibrosas(index: Int) throws {
        let (name, features, tolerance) = Self.cases[index]
        let expected = try Vectors.tensor(name)
        let tensor = try features.tensor(Vectors.signal())
        #expect(tensor.shape == expected.shape, "\(name)")
        let error = try relativeError(tensor.floats(), expected.floats())
        #expect(error < tolerance, "\(name): \(error)")
    }

    @Test func magnitudeAndPowerFollowFromTheSpectrum() throws {
        let signal = try Vectors.signal()
        let framing = Framing(fftSize: 128, hop: 64)
        let complex = try AudioFeatures(sampleRate: 16000, framing: framing, kind: .spectrum).tensor(signal).floats()
        var power: [Float] = []
        for place in stride(from: 0, to: complex.count, by: 2) {
            let (real, imaginary) = (complex[place], complex[place + 1])
            power.append(real * real + imaginary * imaginary)
        }
        #expect(try AudioFeatures(sampleRate: 16000, framing: framing, kind: .power).tensor(signal).floats() == power)
        let magnitude = try AudioFeatures(sampleRate: 16000, framing: framing, kind: .magnitude).tensor(signal).floats()
        #expect(magnitude == power.map { $0.squareRoot() })
    }

    @Test(arguments: FramePadding.allCases, [100, 256, 700]) func streamsGiveTheFramesOfBatches(padding: FramePadding, hop: Int) throws {
        var random = SeededGenerator(seed: UInt64(hop))
        for fftSize in [256, 255] {
            let framing = Framing(fftSize: fftSize, hop: hop, padding: padding)
            let features = AudioFeatures(sampleRate: 16000, framing: framing, kind: .logMel(MelSettings(count: 20), .natural(floor: 1e-6)))
            var stream = try features.stream()
            for count in [129, 130, 255, 256, 257, 800, 1600] {
                let signal = try Array(Vectors.signal()[..<count])
                let batch = try features.tensor(signal)
                #expect(batch.shape == [framing.frameCount(samples: count), 20])
                // The stream is used again after each end.
                for largest in [1, 37, 400, count] {
                    var rows: [Float] = []
                    var rest = signal[...]
                    while !rest.isEmpty {
                        let piece = min(rest.count, Int.random(in: 0...largest, using: &random))
                        stream.process(Array(rest.prefix(piece)), into: &rows)
                        rest = rest.dropFirst(piece)
                    }
                    rows += try stream.finish()
                    #expect(try rows == batch.elements(as: Float.self), "\(count) samples in pieces of up to \(largest)")
                }
            }
        }
    }

    @Test func framesComeAsSoonAsTheirSamplesDo() throws {
        let features = AudioFeatures(
            sampleRate: 16000, framing: Framing(fftSize: 400, hop: 160, padding: .none), kind: .mel(MelSettings(count: 10)))
        var stream = try features.stream()
        #expect(stream.width == 10)
        #expect(stream.process([Float](repeating: 0, count: 399)).isEmpty)
        #expect(stream.process([0]).count == 10)
        #expect(stream.process([Float](repeating: 0, count: 159)).isEmpty)
        #expect(stream.process([0]).count == 10)
    }

    @Test func senselessSettingsAreErrors() throws {
        func refuses(_ features: AudioFeatures, samples: Int = 1600) {
            #expect(throws: SwiftletError.self) { try features.tensor([Float](repeating: 0, count: samples)) }
        }
        for framing in [
            Framing(fftSize: 0), Framing(fftSize: -4), Framing(fftSize: 1 << 30), Framing(hop: 0), Framing(hop: -1),
            Framing(windowLength: 0),
            Framing(windowLength: 401),
        ] {
            refuses(AudioFeatures(sampleRate: 16000, framing: framing, kind: .power))
        }
        for mel in [
            MelSettings(count: 0), MelSettings(count: 100_000), MelSettings(lowest: -1), MelSettings(lowest: 9000),
            MelSettings(highest: 8001),
            MelSettings(lowest: 4000, highest: 4000), MelSettings(lowest: .nan), MelSettings(highest: .infinity),
        ] {
            refuses(AudioFeatures(sampleRate: 16000, kind: .mel(mel)))
        }
        refuses(AudioFeatures(sampleRate: 0, kind: .power))
        refuses(AudioFeatures(sampleRate: 16000, kind: .mfcc(Self.mel, .natural(floor: 1e-6), count: 41)))
        refuses(AudioFeatures(sampleRate: 16000, kind: .logMel(Self.mel, .natural(floor: 0))))
        refuses(AudioFeatures(sampleRate: 16000, kind: .logMel(Self.mel, .natural(floor: .nan))))
        refuses(AudioFeatures(sampleRate: 16000, kind: .power, dynamicRange: 8))
        // 200 samples cannot be mirrored over 200.
        refuses(AudioFeatures(sampleRate: 16000, kind: .power), samples: 200)
        let limited = AudioFeatures(sampleRate: 16000, kind: .logMel(Self.mel, .decimal(floor: 1e-10)), dynamicRange: 8)
        #expect(throws: SwiftletError.self) { try limited.stream() }
        let none = AudioFeatures(sampleRate: 16000, framing: Framing(padding: .none), kind: .power)
        #expect(try none.tensor([]).shape == [0, 201])
        #expect(try none.tensor([Float](repeating: 0, count: 400)).shape == [1, 201])
    }

    @Test func fromFileToTensorInOneCall() throws {
        let signal = try Vectors.signal()
        let path = FileManager.default.temporaryDirectory.appending(path: "swiftlet-audio-\(UUID().uuidString).wav").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try WAVFile.write(Tensor(signal + signal, shape: [2, signal.count]), sampleRate: 48000, encoding: .float32, to: path)
        let features = AudioFeatures(sampleRate: 16000, kind: .logMel(Self.mel, .natural(floor: 1e-6)))
        let tensor = try features.tensor(path: path)
        #expect(tensor.shape == [4, 40])
        #expect(try tensor == features.tensor(Resampler.resample(signal, from: 48000, to: 16000)))
    }
}
