// The page of a report: complete, well formed, and safe whatever models call their layers.
import Foundation
#if canImport(FoundationXML)
    import FoundationXML
#endif
import SwiftletCompress
import SwiftletRuntime
import Testing

import SwiftletMeasure

private let hostile = "blk.<script>alert(1)</script>&\"'\u{1}</svg>"

private func report(drop: Double? = 1) throws -> CompressionReport {
    func figures(_ name: String, _ bytes: Int, _ time: Double) throws -> ModelFigures {
        ModelFigures(path: name, fileBytes: bytes, latencyMilliseconds: try #require(Spread([time])), loadMilliseconds: 1)
    }
    let weight = try Weight(name: "w", shape: [1, 2], floats: [1, 2])
    let tensor = try TensorReport(name: hostile, before: weight, after: Weight(name: "w", shape: [1, 2], floats: [1, 0]), outputError: 0.04)
    var builder = GraphBuilder(name: hostile)
    let x = builder.input("x", .f32, [1, 2])
    builder.output(try builder.linear(x, builder.weight(hostile, weight), name: "y"))
    var step = try StepResult(technique: "cast<b>", before: builder.graph, after: builder.graph, tensors: [tensor], notes: [hostile]).report
    step.sensitivities = [SensitivityEntry(layer: hostile, candidate: hostile, divergence: 0.25, outputErrorPercent: 3)]
    step.choices = [ChoicePoint(weightBytes: 1_000_000, loss: 0.5, kind: .expected), ChoicePoint(weightBytes: 1_500_000, loss: 0.25, kind: .chosen)]
    func candidate(_ kind: CompressionCandidate.Kind, _ bytes: Int, _ drop: Double?) -> CompressionCandidate {
        CompressionCandidate(kind: kind, label: hostile, fileBytes: bytes, latencyMilliseconds: Double(bytes) / 1000, dropPercent: drop, sizeFactor: 1, speedup: 1)
    }
    return CompressionReport(
        recipe: hostile, seed: 1, instructionSet: "avx2", threads: 1, output: hostile, steps: [step],
        comparison: ModelComparison(parent: try figures(hostile, 2000, 2), model: try figures(hostile, 1000, 1)), data: hostile, dropMeaning: hostile, dropPercent: drop,
        candidates: [candidate(.parent, 2000, drop.map { _ in 0 }), candidate(.stage, 1500, drop), candidate(.result, 1000, drop.map { $0 * 2 })],
        budget: Budget(sizeBytes: 5).verdicts(sizeBytes: 7, dropPercent: nil, latencyMilliseconds: nil), refusals: [hostile], isWritten: false,
        sensitivities: [SensitivityEntry(layer: hostile, candidate: hostile, divergence: 0.1, outputErrorPercent: 0.5)],
        histograms: [
            LayerHistogram(name: hostile, weightLimit: 2, before: [0.5, 0.5], after: [1, 0], activationExponent: -16, activations: [0.25, 0.75]),
            LayerHistogram(name: "plain", weightLimit: 2, before: [0, 0], after: [], activationExponent: nil, activations: nil),
        ], compressionSeconds: 1)
}

private func page(_ report: CompressionReport) throws -> String {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: folder) }
    try ReportFiles.write(report, to: folder.appending(path: "new/folder").path)
    return try String(contentsOfFile: folder.appending(path: "new/folder/report.html").path, encoding: .utf8)
}

@Suite struct ReportTests {
    @Test func everythingFromFilesIsEscaped() throws {
        let html = try page(report())
        #expect(!html.contains("<script") && !html.contains("alert(1)</script>") && !html.contains("\u{1}") && !html.contains("cast<b>"))
        #expect(html.contains("blk.&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;\u{FFFD}&lt;/svg&gt;"))
        // Nothing is fetched from anywhere.
        for word in ["http:", "https:", "src=", "href=", "@import", "url("] { #expect(!html.contains(word), "\(word)") }
    }

    /// The body is written as XML would have it, so a parser of XML finds what is not closed.
    @Test(arguments: [1.0, 0, -3, 1e9, nil]) func thePageIsWellFormed(drop: Double?) throws {
        let html = try page(report(drop: drop))
        let start = try #require(html.range(of: "<body>")), end = try #require(html.range(of: "</body>"))
        let parser = XMLParser(data: Data(html[start.lowerBound..<end.upperBound].utf8))
        #expect(parser.parse(), "\(parser.parserError.map { "\($0)" } ?? "") line \(parser.lineNumber)")
        for heading in ["Budget", "Candidates", "Steps", "Sensitivity", "Layers after", "Weights and activations"] { #expect(html.contains("<h2>\(heading)"), "\(heading)") }
        #expect(html.contains("Size against quality") == (drop != nil))
        #expect(!html.contains("nan") && !html.contains("inf"))
        #expect(html.components(separatedBy: "<svg").count == html.components(separatedBy: "</svg>").count)
    }

    @Test func withoutAScanTheErrorsOfLayersAreShown() throws {
        var report = try report()
        report.sensitivities = []
        // What a step measured itself comes before that, and where its search has been.
        let measured = try page(report)
        #expect(measured.contains("<h2>Sensitivity") && measured.contains(": 0.25</title>") && !measured.contains("<h2>Error of each layer"))
        #expect(measured.contains("<h2>Choices of cast&lt;b&gt;") && measured.contains("Weights against loss") && measured.contains("chosen, measured"))
        report.steps[0].sensitivities = []
        report.steps[0].choices = []
        let html = try page(report)
        // √0.04 of the layer's own output.
        #expect(html.contains("<h2>Error of each layer") && html.contains("20.000 %"))
        #expect(!html.contains("<h2>Sensitivity"))
    }

    @Test func dataOfAReportComeBack() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let written = try report()
        try ReportFiles.write(written, to: folder.path)
        let data = try Data(contentsOf: folder.appending(path: "report.json"))
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(object["is_written"] as? Bool == false && (object["candidates"] as? [Any])?.count == 3)
        #expect(throws: SwiftletError.self) { try ReportFiles.write(written, to: "/proc/absent") }
    }

    @Test func histogramsCountEveryElement() throws {
        var builder = GraphBuilder(name: "network")
        let x = builder.input("x", .f32, [1, 4])
        let same = try Weight(name: "same", shape: [4, 4], floats: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
        let weight = try Weight(name: "w", shape: [2, 4], floats: [-1, -0.99, 0, 0, 0.5, 0.5, 0.5, 1])
        let flowing = try builder.linear(x, builder.weight("same", same), name: "x as it is")
        builder.output(try builder.linear(flowing, builder.weight("w", weight), name: "y"))
        let before = builder.graph
        var after = before
        after.replaceWeight(try #require(before.layers().last).weightID, with: try Weight(name: "w", shape: [2, 4], floats: [Float](repeating: 0, count: 8)))
        // Magnitudes 0, 2⁰, 2³ and far above.
        let data = TensorBatches([["x": try Tensor([Float(0), -1, 9, 1e30], shape: [1, 4])], ["x": try Tensor([Float](repeating: 1, count: 4), shape: [1, 4])]])
        let context = try CompressionContext(passes: .language)
        let histograms = try LayerHistogram.collect(parent: before, compressed: after, limit: 5, data: data, batches: 1, in: context)
        let layer = try #require(histograms.first)
        let bins = LayerHistogram.bins
        #expect(histograms.count == 1 && layer.weightLimit == 1 && layer.before.count == bins)
        #expect(layer.before[0] == 2.0 / 8 && layer.before[bins / 2] == 2.0 / 8 && layer.before[bins * 3 / 4] == 3.0 / 8 && layer.before[bins - 1] == 1.0 / 8)
        #expect(layer.after[bins / 2] == 1 && layer.after.reduce(0, +) == 1)
        let activations = try #require(layer.activations), first = try #require(layer.activationExponent)
        #expect(activations[0] == 0.25 && activations[-first] == 0.25 && activations[3 - first] == 0.25 && activations.last == 0.25)
        #expect(try LayerHistogram.collect(parent: before, compressed: before, limit: 5, data: nil, batches: 1, in: context).isEmpty)
    }
}
