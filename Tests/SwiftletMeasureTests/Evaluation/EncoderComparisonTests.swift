// Encoders beside one another, and compressed from folder to folder.
import Foundation
import SwiftletCompress
import SwiftletLanguage
import SwiftletTensor
import Testing

import SwiftletMeasure

/// The random encoder of the tests of SwiftletLanguage.
private let tiny = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "SwiftletLanguageTests/Encoders/Vectors/tiny").path
private let texts = "a cat sleeps\nthe kitten naps\n\none two three\nthe dog\ncat\n"

@Suite struct EncoderComparisonTests {
    @Test func cosinesAreThoseOfTheVectors() throws {
        let root = Float(0.5).squareRoot()
        let parent: [[Float]] = [[1, 0, 0], [0, 1, 0], [root, root, 0], [0, 0, 1]]
        // The second turns by 60°, towards the fourth: each becomes the nearest of the other. Before, the third was the nearest of the second, and the first
        // that of the fourth, which was at a right angle to all.
        let model: [[Float]] = [[1, 0, 0], [0, 0.5, Float(0.75).squareRoot()], [root, root, 0], [0, 0, 1]]
        let result = try VectorAgreement(parent: parent, model: model)
        #expect(result.texts == 4 && abs(result.leastCosine - 0.5) < 1e-6 && abs(result.meanCosine - 3.5 / 4) < 1e-6)
        #expect(result.sameNearestPercent == 50)
        let same = try VectorAgreement(parent: Array(parent[..<2]), model: Array(parent[..<2]))
        #expect(same.leastCosine == 1 && same.meanCosine == 1 && same.sameNearestPercent == nil)
        #expect(try VectorAgreement(parent: [[1, 0]], model: [[.nan, 0]]).leastCosine == -1)
        #expect(throws: SwiftletError.self) { _ = try VectorAgreement(parent: [], model: []) }
        #expect(throws: SwiftletError.self) { _ = try VectorAgreement(parent: [[1]], model: [[1, 0]]) }
    }

    @Test func anEncoderIsItsOwnTwin() throws {
        let comparison = EncoderComparison(text: Array(texts.utf8), limit: 4)
        let result = try comparison.measure(parent: tiny, model: tiny + "/model.safetensors", options: EncoderOptions(threads: 1))
        #expect(result.vectors?.texts == 4 && result.vectors?.leastCosine ?? 0 > 0.9999999 && result.vectors?.sameNearestPercent == 100)
        #expect(result.parent.fileBytes == result.model.fileBytes && result.parent.fileBytes > 3000)
        #expect(result.dropPercent ?? 1 < 1e-4 && result.dropMeaning?.contains("cosine") == true)
        let plain = try EncoderComparison(text: nil).measure(parent: tiny, model: tiny, options: EncoderOptions(threads: 1))
        #expect(plain.vectors == nil && plain.dropPercent == nil && plain.model.latencyMilliseconds.minimum > 0)
        #expect(throws: SwiftletError.self) { _ = try EncoderComparison(text: Array("\n \n".utf8)).measure(parent: tiny, model: tiny, options: EncoderOptions(threads: 1)) }
    }
}

@Suite struct EncoderCompressionTests {
    private let folder: URL
    private let text: String

    init() throws {
        folder = try temporaryFolder()
        text = folder.appending(path: "texts.txt").path
        try Data(texts.utf8).write(to: URL(fileURLWithPath: text))
    }

    private var files: Set<String> { Set((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []) }

    private func job(_ steps: [String], output: String = "small") throws -> CompressionJob {
        var job = CompressionJob(model: tiny, output: folder.appending(path: output).path, recipe: try Recipe(flags: steps)) { _ in .imageNet() }
        job.threads = 1
        job.calibration = text
        // Times are no business of a test.
        job.isForced = true
        return job
    }

    @Test func aFolderIsWrittenAndMeasured() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var job = try job(["smoothquant inserts=true", "int8-dynamic"], output: "small/")
        job.budget = try Budget("size=1MB,drop=5%,latency=10s")
        job.reportFolder = folder.appending(path: "report").path
        job.measuresStepsAlone = true
        let report = try job.run()
        let output = folder.appending(path: "small").path
        #expect(files == ["texts.txt", "small", "report"] && report.output == output && report.comparison.model.path == output)
        #expect(Set(try FileManager.default.contentsOfDirectory(atPath: output)) == ["config.json", "tokenizer.json", "model.safetensors"])
        #expect(report.budget.map(\.isMet) == [true, true, true] && report.comparison.sizeRatio < 1)
        let vectors = try #require(report.comparison.vectors)
        #expect(vectors.texts == 5 && vectors.leastCosine > 0.99 && vectors.leastCosine < 1)
        #expect(abs(try #require(report.dropPercent) - 100 * (1 - vectors.leastCosine)) < 1e-9)
        #expect(report.candidates.map(\.kind) == [.parent, .stage, .alone, .alone, .result])
        // The figures are those of the folder that was left there.
        let again = try EncoderComparison(text: Array(texts.utf8)).measure(parent: tiny, model: output, options: EncoderOptions(threads: 1))
        #expect(abs((again.vectors?.leastCosine ?? 0) - vectors.leastCosine) < 1e-6 && again.model.fileBytes == report.comparison.model.fileBytes)
        for line in ["cosine of 5", "a text", "same nearest text", "calibrated on 5 texts of texts.txt", "measured on at most 8 texts of texts.txt", "wrote \(output)"] {
            #expect(report.text.contains(line), "\(line) in \(report.text)")
        }
        // A second run takes the folder's place; one with a file of somebody else is left alone.
        var cast = try self.job(["cast format=f16"])
        cast.measuresLayersAlone = true
        let second = try cast.run()
        #expect(second.isWritten && files == ["texts.txt", "small", "report"])
        // Tables and matrices: the error of each is that of rounding, relative to vectors and not to logits.
        #expect(second.sensitivities.count == 14 && second.sensitivities.allSatisfy { $0.outputErrorPercent < 0.2 && $0.divergence < 1e-5 })
        try Data("mine".utf8).write(to: URL(fileURLWithPath: output + "/notes.txt"))
        #expect(throws: SwiftletError.self) { _ = try self.job(["cast format=f16"]).run() }
        #expect(FileManager.default.fileExists(atPath: output + "/notes.txt") && files == ["texts.txt", "small", "report"])
    }

    @Test func aResultBeyondTheBudgetIsRefused() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var job = try job(["int8-dynamic"])
        job.isForced = false
        job.budget = try Budget("drop=0.0000001%,latency=10s")
        let report = try job.run()
        #expect(!report.isWritten && files == ["texts.txt"] && report.refusals.contains { $0.hasPrefix("drop is ") && $0.hasSuffix("too much") })
    }

    @Test func whatDoesNotSuitAnEncoderIsAnError() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var shaped = try job(["int8-dynamic"]), labelled = shaped, blind = shaped, untexted = try job(["smoothquant"])
        shaped.shapes = ["x": [1]]
        (labelled.evaluation, labelled.truth) = (text, text)
        (blind.calibration, blind.budget) = (nil, try Budget("drop=1%"))
        untexted.calibration = nil
        for job in [shaped, labelled, blind, untexted, try job(["svd rank=ratio ratio=0.5 multiple=1"])] {
            #expect(throws: SwiftletError.self) { _ = try job.run() }
            #expect(files == ["texts.txt"])
        }
    }
}

private let miniLM: String? = {
    let environment = ProcessInfo.processInfo.environment
    let folders = [environment["SWIFTLET_TEST_MODELS"], environment["SWIFTLET_CACHE"], environment["HOME"].map { $0 + "/.cache/swiftlet" }].compactMap { $0 }
    return folders.map { $0 + "/all-MiniLM-L6-v2" }.first { FileManager.default.fileExists(atPath: $0 + "/model.safetensors") }
}()

@Suite(.enabled(if: miniLM != nil, "needs the model: swiftlet pull minilm")) struct MiniLMCompressionTests {
    private struct Sentences: Decodable { let sentences: [String] }

    /// 8 bits keep every vector within a cosine of 0.999, in less than a third of the bytes.
    @Test(arguments: [["quantize format=q8_0"], ["smoothquant inserts=true", "quantize format=q8_0"]])
    func eightBitsKeepTheVectors(_ steps: [String]) throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let vectors = URL(filePath: tiny).deletingLastPathComponent().appending(path: "minilm.json")
        let sentences = try JSONDecoder().decode(Sentences.self, from: Data(contentsOf: vectors)).sentences
        // Even ones calibrate, odd ones are measured.
        let parts = (0..<2).map { part in sentences.indices.filter { $0 % 2 == part }.map { sentences[$0] }.filter { !$0.isEmpty } }
        let paths = try parts.indices.map { part in
            let path = folder.appending(path: "\(part).txt")
            try Data(parts[part].joined(separator: "\n").utf8).write(to: path)
            return path.path
        }
        var job = CompressionJob(model: try #require(miniLM), output: folder.appending(path: "small").path, recipe: try Recipe(flags: steps)) { _ in .imageNet() }
        (job.calibration, job.evaluation, job.evaluationCount) = (paths[0], paths[1], nil)
        job.budget = try Budget("drop=0.1%,size=30MB")
        job.threads = 1
        let report = try job.run()
        // Times are no business of a test: only that may refuse it.
        #expect(report.budget.map(\.isMet) == [true, true] && report.refusals.allSatisfy { $0.contains("slower") }, "\(report.text)")
        let agreement = try #require(report.comparison.vectors)
        #expect(agreement.leastCosine >= 0.999 && agreement.texts == parts[1].count)
        print("MiniLM \(steps): \(report.text)")
    }
}
