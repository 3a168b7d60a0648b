// Compressions from file to file: what is written, what is refused, what an interruption leaves behind.
import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletNetwork
import SwiftletTensor
import SwiftletVision
import TestSupport
import Testing

import SwiftletMeasure

private let needsModel: Comment = "needs ../shared/data/models/stories260k-f32.gguf"

private struct Interrupted: Error {}

@Suite(.enabled(if: SharedData.storiesModel != nil, needsModel)) struct CompressionJobTests {
    private let folder: URL
    private let text: String

    init() throws {
        folder = try temporaryFolder()
        text = folder.appending(path: "story.txt").path
        let story = String(repeating: "Once upon a time there was a little girl named Lily. She loved to play outside in the park with her big red ball. ", count: 60)
        try Data(story.utf8).write(to: URL(fileURLWithPath: text))
    }

    private func job(_ steps: [String], output: String = "small.gguf") throws -> CompressionJob {
        var recipe = try Recipe(flags: steps)
        recipe.calibration = Recipe.Calibration(windows: 2, length: 64)
        var job = CompressionJob(model: try #require(SharedData.storiesModel), output: folder.appending(path: output).path, recipe: recipe) { _ in .imageNet() }
        job.threads = 2
        // Times are no business of a test.
        job.isForced = true
        return job
    }

    private var files: Set<String> { Set((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []) }

    @Test func whatOnlyMendsAStepIsMeasuredWithIt() {
        let (quantize, mend) = (CastWeights(format: .f16), BiasCorrection())
        #expect(CompressionJob.parts(of: []).isEmpty)
        #expect(CompressionJob.parts(of: [quantize, quantize]) == [0..<1, 1..<2])
        #expect(CompressionJob.parts(of: [quantize, mend, quantize, mend, mend]) == [0..<2, 2..<5])
        #expect(CompressionJob.parts(of: [mend, quantize]) == [0..<1, 1..<2])
    }

    @Test func theResultIsSmallerAndMeasured() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var job = try job(["cast format=bf16 include=*ffn*", "cast format=f16 include=*attn*"])
        job.calibration = text
        job.evaluationCount = 2
        job.budget = try Budget("size=1MB,drop=5%,latency=10s")
        job.reportFolder = folder.appending(path: "report").path
        job.measuresStepsAlone = true
        job.measuresLayersAlone = true
        job.seed = 3
        let seen = Locked<[String: Int]>([:])
        let report = try job.run { progress in seen.withLock { $0[progress.technique, default: 0] += 1 } }
        #expect(files == ["story.txt", "small.gguf", "report"])
        let file = try GGUFFile(path: job.output)
        #expect(file.tensor(named: "blk.0.ffn_up.weight")?.format == .dense(.bf16) && file.tensor(named: "blk.0.attn_q.weight")?.format == .dense(.f16))
        #expect(report.comparison.model.fileBytes == file.files.reduce(0) { $0 + $1.byteCount } && report.comparison.model.path == job.output)
        #expect(report.comparison.parent.fileBytes == 1_054_208 && report.isWritten && report.refusal == nil && report.seed == 3)
        #expect(report.budget.map(\.isMet) == [true, true, true])
        let divergence = try #require(report.comparison.divergence)
        #expect(divergence.chunks == 2 && divergence.meanDivergence < 1e-3 && abs(divergence.perplexityRisePercent) < 1 && report.dropPercent == divergence.perplexityRisePercent)
        #expect(report.candidates.map(\.kind) == [.parent, .stage, .alone, .alone, .result])
        #expect(report.candidates.map(\.label) == ["parent", "1 cast", "1 cast alone", "2 cast alone", "1 cast + 2 cast"])
        // Sizes of the parts, and of all of them.
        let sizes = report.candidates.map(\.fileBytes)
        #expect(sizes[1] == sizes[2] && sizes[4] < sizes[3] && sizes[4] < sizes[2] && sizes[0] > sizes[3])
        let combination = try #require(report.combination)
        #expect(abs(combination.sizeProduct - Double(sizes[0]) / Double(sizes[2]) * Double(sizes[0]) / Double(sizes[3])) < 1e-9)
        // 5 layers with three matrices of feed-forward and four of attention.
        #expect(report.steps.map(\.tensors.count) == [15, 20] && report.sensitivities.count == 35)
        #expect(report.sensitivities.allSatisfy { $0.outputErrorPercent > 0 && $0.outputErrorPercent < 5 })
        #expect(report.histograms.count == 24 && report.histograms.allSatisfy { $0.activations != nil && $0.after.count == LayerHistogram.bins })
        #expect(seen.withLock { $0["cast"] } == 35 + 35 && seen.withLock { $0["sensitivity"] } == 35 && seen.withLock { $0["measure"] } ?? 0 > 4)
        // The report on disk is the one returned.
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let stored = try decoder.decode(CompressionReport.self, from: Data(contentsOf: folder.appending(path: "report/report.json")))
        #expect(stored.candidates == report.candidates && stored.steps == report.steps && stored.comparison == report.comparison)
        #expect(try String(contentsOfFile: folder.appending(path: "report/report.html").path, encoding: .utf8).contains("blk.0.attn_q.weight"))
        for line in ["perplexity", "same top token", "budget: size is", "wrote \(job.output)", "calibrated on 2 windows of 64 tokens of story.txt", "steps alone give size"] {
            #expect(report.text.contains(line), "\(line) in \(report.text)")
        }
    }

    @Test func aLargerResultIsRefused() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        _ = try job(["cast format=f16"], output: "half.gguf").run()
        var grown = try job(["cast format=f32"], output: "grown.gguf")
        grown.model = folder.appending(path: "half.gguf").path
        grown.isForced = false
        let report = try grown.run()
        #expect(files == ["story.txt", "half.gguf"] && !report.isWritten)
        let bytes = report.comparison.model.fileBytes - report.comparison.parent.fileBytes
        #expect(bytes > 400_000 && report.refusals.contains { $0.hasPrefix("it is larger than its parent by \(ByteText.text(bytes)) (") })
        let refusal = try #require(report.refusal?.description)
        #expect(refusal.contains("larger than its parent") && refusal.contains("--force"))
        grown.isForced = true
        let forced = try grown.run()
        #expect(forced.isWritten && forced.refusal == nil && !forced.refusals.isEmpty && files.contains("grown.gguf"))
        #expect(forced.text.contains("in spite of: it is larger"))
    }

    @Test func aBudgetThatIsMissedIsSaid() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var job = try job(["cast format=f16"])
        job.isForced = false
        job.budget = try Budget("size=100kB,latency=10s")
        let report = try job.run()
        #expect(!report.isWritten && files == ["story.txt"] && report.dropPercent == nil && report.comparison.divergence == nil)
        #expect(report.refusals.contains { $0.hasPrefix("size is ") && $0.hasSuffix("kB too much") })
        // A drop can only be judged on data.
        job.budget = try Budget("drop=1%")
        #expect(throws: SwiftletError.self) { try job.run() }
    }

    @Test func anInterruptedCompressionGoesOn() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        _ = try job(["cast format=bf16"], output: "whole.gguf").run()
        var job = try job(["cast format=bf16"])
        job.resumeFolder = folder.appending(path: "layers").path
        #expect(throws: Interrupted.self) { try job.run { if $0.technique == "cast", $0.done == 10 { throw Interrupted() } } }
        #expect(files == ["story.txt", "whole.gguf", "layers"])
        let layers = folder.appending(path: "layers/1-cast")
        let kept = try FileManager.default.contentsOfDirectory(atPath: layers.path)
        #expect(kept.count == 10)
        // A kept layer is taken as it is: one that says something else is seen in the result.
        let path = layers.appending(path: "blk.0.attn_q.weight.gguf").path
        let old = try GGUFFile(path: path), tensor = try #require(old.tensors.first)
        var writer = GGUFWriter(copying: old.metadata)
        try writer.add(name: tensor.name, shape: tensor.shape, format: tensor.format, store: WeightStore(byteCount: tensor.store.byteCount) { $0.initializeMemory(as: UInt8.self, repeating: 0) })
        try writer.write(to: path)
        _ = try job.run()
        #expect(try FileManager.default.contentsOfDirectory(atPath: layers.path).count > 10)
        let (resumed, whole) = (try GGUFFile(path: job.output), try GGUFFile(path: folder.appending(path: "whole.gguf").path))
        #expect(resumed.tensors.map(\.name) == whole.tensors.map(\.name))
        for tensor in resumed.tensors {
            let other = try #require(whole.tensor(named: tensor.name))
            let isSame = tensor.store.withBytes { bytes in other.store.withBytes { bytes.elementsEqual($0) } }
            #expect(isSame == (tensor.name != "blk.0.attn_q.weight"), "\(tensor.name)")
        }
        // Layers of another format are made anew.
        job.recipe.steps = try Recipe(flags: ["cast format=f16"]).steps
        _ = try job.run()
        #expect(try GGUFFile(path: job.output).tensor(named: "blk.0.attn_q.weight")?.format == .dense(.f16))
    }

    @Test func whatCannotBeReadOrWrittenIsAnError() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var job = try job(["cast format=f16"], output: "absent/small.gguf")
        #expect(throws: SwiftletError.self) { try job.run() }
        job.output = folder.appending(path: "small.gguf").path
        job.calibration = "/absent"
        #expect(throws: SwiftletError.self) { try job.run() }
        job.calibration = nil
        job.shapes = ["x": [1]]
        #expect(throws: SwiftletError.self) { try job.run() }
        #expect(files == ["story.txt"])
    }
}

@Suite struct NetworkCompressionTests {
    @Test func networksAreCalibratedOnArrays() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let matrix = (0..<12).map { Float($0) / 7 - 1 }
        let bytes = RawONNX.model(
            RawONNX.graph(
                inputs: [RawONNX.value("x", ["N", 3])], outputs: [RawONNX.value("y", ["N", 4])], nodes: [RawONNX.node("MatMul", ["x", "w"], ["y"])],
                initializers: [RawONNX.tensor("w", [3, 4], raw: matrix)]))
        let model = folder.appending(path: "m.onnx").path
        try Data(bytes).write(to: URL(fileURLWithPath: model))
        let samples = folder.appending(path: "samples")
        try FileManager.default.createDirectory(at: samples, withIntermediateDirectories: true)
        for index in 0..<3 { try NPYFile.write(Tensor([Float(index), 1, -1], shape: [1, 3]), to: samples.appending(path: "\(index).npy").path) }
        var job = CompressionJob(model: model, output: folder.appending(path: "out.onnx").path, recipe: try Recipe(flags: ["cast format=f32"])) { _ in .imageNet() }
        job.calibration = samples.path
        job.evaluationCount = nil
        job.isForced = true
        let report = try job.run()
        #expect(report.comparison.agreement?.samples == 3 && report.comparison.agreement?.relativeErrorPercent == 0 && report.dropPercent == 0)
        #expect(report.data.contains("measured on 3 samples of samples"))
        let result = try Model(path: job.output).run(["x": try Tensor([Float(1), 0, 0], shape: [1, 3])])
        #expect(try result["y"]?.floats() == Array(matrix[..<4]))
        // Without data only bytes and speed are measured.
        job.calibration = nil
        #expect(try job.run().comparison.agreement == nil)
    }
}
