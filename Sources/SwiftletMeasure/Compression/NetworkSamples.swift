// Samples for a network in a folder: pictures, prepared as a model card says, or arrays in .npy files.
//
// Of arrays, each .npy file is one sample where the network has one input. Where it has several, each folder inside is a sample, with a file
// INPUT.npy for each. An array without the leading axis of one gets it.
import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletGraph
import SwiftletNetwork
import SwiftletTensor
import SwiftletVision

/// Samples that are read when they are asked for.
public struct NetworkSamples: CalibrationData {
    private enum Source: Sendable {
        case pictures([LabelledPictures.Picture], ImageModelCard, input: String)
        case arrays([[String: String]], shapes: [String: Shape])
        case zeros([String: (DType, Shape)])
    }
    private let source: Source

    /// Up to `limit` pictures, evenly spread over what is there, for the one input of a network.
    public init(pictures: LabelledPictures, card: ImageModelCard, input: String, limit: Int? = nil) {
        source = .pictures(pictures.spread(limit ?? .max), card, input: input)
    }

    /// Up to `limit` samples in a folder of .npy files, for inputs of these shapes.
    ///
    /// Throws `SwiftletError.io` when the folder cannot be listed or has no sample.
    public init(arrays folder: String, shapes: [String: Shape], limit: Int? = nil) throws {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        } catch {
            throw SwiftletError.io(path: folder, reason: "cannot be listed: \(error.localizedDescription)", remedy: "Check the path and its permissions.")
        }
        let samples: [[String: String]]
        if shapes.count == 1, let input = shapes.keys.first {
            samples = names.filter { $0.hasSuffix(".npy") }.map { [input: folder + "/" + $0] }
        } else {
            samples = names.map { name in Dictionary(uniqueKeysWithValues: shapes.keys.map { ($0, "\(folder)/\(name)/\($0).npy") }) }
                .filter { $0.values.allSatisfy { FileManager.default.fileExists(atPath: $0) } }
        }
        guard !samples.isEmpty else {
            throw SwiftletError.io(
                path: folder, reason: shapes.count == 1 ? "the folder has no .npy files" : "no folder in it has a .npy file for each of \(shapes.keys.sorted().joined(separator: ", "))",
                remedy: "Give a folder of pictures or of .npy files.")
        }
        let taken = min(limit ?? .max, samples.count)
        source = .arrays((0..<taken).map { samples[$0 * samples.count / taken] }, shapes: shapes)
    }

    /// One sample of zeros: enough to measure speed.
    public init(zerosFor inputs: [String: (DType, Shape)]) { source = .zeros(inputs) }

    /// Whether the samples are of something, and not zeros.
    public var hasMeaning: Bool { if case .zeros = source { false } else { true } }

    public var count: Int {
        switch source {
        case .pictures(let pictures, _, _): pictures.count
        case .arrays(let samples, _): samples.count
        case .zeros: 1
        }
    }

    /// One sample. Throws when its file cannot be read or does not suit.
    public func sample(_ index: Int) throws -> NetworkSample {
        switch source {
        case .pictures(let pictures, let card, let input):
            return NetworkSample(inputs: [input: try card.tensor(path: pictures[index].path)], label: pictures[index].label)
        case .arrays(let samples, let shapes):
            var inputs: [String: Tensor] = [:]
            for (name, path) in samples[index] {
                let tensor = try NPYFile.read(path: path)
                guard let shape = shapes[name], tensor.elementCount == shape.elementCount else {
                    throw SwiftletError.invalidArgument(
                        name: path, reason: "is \(tensor.shape), the input \(name) is \(shapes[name].map { "\($0)" } ?? "unknown")", remedy: "Save arrays of the input's shape.")
                }
                inputs[name] = tensor.shape == shape ? tensor : try tensor.reshaped(to: shape)
            }
            return NetworkSample(inputs: inputs)
        case .zeros(let inputs): return NetworkSample(inputs: try inputs.mapValues { try Tensor(zeros: $0.0, shape: $0.1) })
        }
    }

    // MARK: Calibration

    public var batchCount: Int { count }
    public var stateBinding: Binding { [:] }
    public func batch(_ index: Int) throws -> CalibrationBatch { CalibrationBatch(binding: [:], inputs: try sample(index).inputs) }

    /// The types and shapes of the inputs of a network's graph, by name.
    package static func inputs(of graph: Graph) throws -> [String: (DType, Shape)] {
        try Dictionary(uniqueKeysWithValues: graph.inputs.map { id in
            (graph[id].name, (graph[id].type.element, try graph[id].type.shape(under: [:])))
        })
    }

    /// What a folder holds: pictures when it has any (also in folders inside), else arrays.
    ///
    /// - Parameters:
    ///   - inputs: those of the graph.
    ///   - card: how pictures are prepared; asked for only where there are some.
    package static func open(
        _ folder: String, inputs: [String: (DType, Shape)], truth: String?, limit: Int?, card: () throws -> ImageModelCard
    ) throws -> NetworkSamples {
        let hasArrays = (FileManager.default.enumerator(atPath: folder)?.contains { ($0 as? String)?.hasSuffix(".npy") == true }) ?? false
        if hasArrays, truth == nil { return try NetworkSamples(arrays: folder, shapes: inputs.mapValues(\.1), limit: limit) }
        guard inputs.count == 1, let input = inputs.keys.first else {
            throw SwiftletError.invalidArgument(
                name: folder, reason: "pictures are for networks with one input, this one has \(inputs.count)", remedy: "Give a folder of .npy files.")
        }
        return NetworkSamples(pictures: try LabelledPictures([folder], truth: truth), card: try card(), input: input, limit: limit)
    }
}
