// Networks beside one another on samples whose answers are worked out by hand.
import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletNetwork
import SwiftletTensor
import TestSupport
import Testing

import SwiftletMeasure

/// y = relu(x + w) in a file.
func addition(_ w: [Float], folder: URL, name: String) throws -> String {
    let path = folder.appending(path: name).path
    let bytes = RawONNX.model(
        RawONNX.graph(
            inputs: [RawONNX.value("x", [1, 3])], outputs: [RawONNX.value("y", [1, 3])],
            nodes: [RawONNX.node("Add", ["x", "w"], ["s"]), RawONNX.node("Relu", ["s"], ["y"])], initializers: [RawONNX.tensor("w", [3], raw: w)]))
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
}

func temporaryFolder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}

@Suite struct NetworkEvaluationTests {
    private static let samples: [[Float]] = [[3, 2, 1], [1, 3, 2], [0, 0, 5], [2, 2, 0]]

    @Test func agreementAndErrorAreThoseOfTheOutputs() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let parent = try Model(path: addition([0, 0, 0], folder: folder, name: "a.onnx")), model = try Model(path: addition([0, 2, -10], folder: folder, name: "b.onnx"))
        let labels: [Int?] = [1, 1, nil, 0]
        var calls = 0
        let result = try NetworkAgreement.measure(parent: parent, model: model, count: 4) { index in
            NetworkSample(inputs: ["x": try Tensor(Self.samples[index], shape: [1, 3])], label: labels[index])
        } progress: { _ in
            calls += 1
        }
        // The parent answers 0, 1, 2, 0; the model sees (3, 4, 0), (1, 5, 0), (0, 2, 0), (2, 4, 0) and answers 1 always.
        #expect(result.topAgreementPercent == 25 && result.samples == 4 && calls == 4)
        #expect(result.labelled == 3 && abs((result.parentAccuracyPercent ?? 0) - 200 / 3) < 1e-9 && abs((result.accuracyPercent ?? 0) - 200 / 3) < 1e-9)
        #expect(result.top5Percent == 100)
        let noise = 4.0 * 4 + 1 + 4 + 25, signal = 14.0 + 14 + 25 + 8
        #expect(abs(result.relativeErrorPercent - 100 * (noise / signal).squareRoot()) < 1e-4)
        #expect(throws: SwiftletError.self) { try NetworkAgreement.measure(parent: parent, model: model, count: 0) { _ in NetworkSample(inputs: [:]) } }
        let same = try NetworkAgreement.measure(parent: parent, model: parent, count: 1) { _ in NetworkSample(inputs: ["x": try Tensor(Self.samples[0], shape: [1, 3])]) }
        #expect(same.relativeErrorPercent == 0 && same.topAgreementPercent == 100 && same.accuracyPercent == nil)
    }

    @Test func classesAreRankedByScoreAndIndex() {
        var count = ClassCount()
        count.count([1, 3, 3, 0, 0, 0, 0], 1)
        count.count([1, 3, 3, 0, 0, 0, 0], 2)
        count.count([1, 3, 3, 0, 0, 0, 0], 4)
        count.count([1, 3, 3, 0, 0, 0, 0], 5)
        count.count([1, 3], 9)
        #expect((count.samples, count.top1, count.top5) == (5, 1, 3))
    }

    @Test func arraysInAFolderAreSamples() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        for (index, values) in Self.samples.enumerated() { try NPYFile.write(Tensor(values, shape: index == 0 ? [3] : [1, 3]), to: folder.appending(path: "\(index).npy").path) }
        let all = try NetworkSamples(arrays: folder.path, shapes: ["x": [1, 3]])
        #expect(all.count == 4 && all.batchCount == 4)
        #expect(try all.sample(0).inputs["x"]?.shape == [1, 3])
        for index in 0..<4 { #expect(try all.batch(index).inputs["x"]?.floats() == Self.samples[index]) }
        let some = try NetworkSamples(arrays: folder.path, shapes: ["x": [1, 3]], limit: 2)
        #expect(try some.count == 2 && some.sample(1).inputs["x"]?.floats() == Self.samples[2])
        #expect(throws: SwiftletError.self) { try NetworkSamples(arrays: folder.path, shapes: ["x": [1, 4]]).sample(0) }
        #expect(throws: SwiftletError.self) { try NetworkSamples(arrays: folder.path, shapes: ["x": [1, 3], "z": [1]]) }
        #expect(throws: SwiftletError.self) { try NetworkSamples(arrays: "/absent", shapes: ["x": [1, 3]]) }
        // Two inputs: a folder a sample.
        let sample = folder.appending(path: "one")
        try FileManager.default.createDirectory(at: sample, withIntermediateDirectories: true)
        try NPYFile.write(Tensor([Float(1), 2, 3], shape: [1, 3]), to: sample.appending(path: "x.npy").path)
        try NPYFile.write(Tensor([Float(9)], shape: [1]), to: sample.appending(path: "z.npy").path)
        let two = try NetworkSamples(arrays: folder.path, shapes: ["x": [1, 3], "z": [1]])
        #expect(try two.count == 1 && two.sample(0).inputs["z"]?.floats() == [9])
    }

    @Test func picturesHaveTheirClasses() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["3/a.jpg", "12/b.PNG", "12/notes.txt", "12/c.jpeg"] {
            let file = folder.appending(path: name)
            try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data().write(to: file)
        }
        #expect(try LabelledPictures([folder.path]).pictures.map(\.label) == [12, 12, 3])
        try FileManager.default.moveItem(at: folder.appending(path: "3"), to: folder.appending(path: "cat"))
        let byOrder = try LabelledPictures([folder.path])
        #expect(byOrder.pictures.map(\.label) == [0, 0, 1] && byOrder.pictures[2].path.hasSuffix("/cat/a.jpg"))
        #expect(byOrder.spread(2).map(\.label) == [0, 0] && byOrder.spread(9).count == 3)
        let truth = folder.appending(path: "truth.csv")
        try Data("file,class\nb.PNG,7\n".utf8).write(to: truth)
        #expect(try LabelledPictures([folder.path + "/12"], truth: truth.path).pictures.map(\.label) == [7, nil])
        #expect(throws: SwiftletError.self) { try LabelledPictures([folder.path + "/cat"], truth: truth.path) }
        try Data("a.jpg,1\nb.PNG\n".utf8).write(to: truth)
        #expect(throws: SwiftletError.syntax(source: truth.path, line: 2, column: 1, reason: "the line has no class index", remedy: "Write: file.jpg,207")) {
            try LabelledPictures([folder.path + "/12"], truth: truth.path)
        }
        try FileManager.default.removeItem(at: folder.appending(path: "cat/a.jpg"))
        #expect(throws: SwiftletError.self) { try LabelledPictures([folder.path + "/cat"]) }
    }

    @Test func peaksAreOfTheirOwnTime() throws {
        guard let peak = MemoryPeak() else { return }
        let bytes = 256 << 20
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
        defer { memory.deallocate() }
        memset(memory, 1, bytes)
        #expect(peak.growthBytes > bytes / 4)
    }
}
