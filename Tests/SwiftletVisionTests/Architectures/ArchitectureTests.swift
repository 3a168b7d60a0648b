// Parameters are the published counts of torchvision's and timm's models (torchvision's documentation, `num_params`; timm's model cards);
// multiply-accumulates are those of the papers to the digits they give, and exact against a change.
import Foundation
import SwiftletFormats
import SwiftletGraph
import SwiftletNetwork
import SwiftletRuntime
import SwiftletVision
import TestSupport
import Testing

private func temporaryFile(_ name: String) -> String {
    FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString)-\(name)").path
}

@Suite("Architectures of image networks")
struct ArchitectureTests {
    struct Published: Sendable, CustomTestStringConvertible {
        let architecture: VisionArchitecture
        let width: Double
        let parameters: Int
        /// Millions, from the paper (and torchvision where it gives another figure).
        let millions: ClosedRange<Double>
        var testDescription: String { "\(architecture.rawValue) \(width)" }
    }

    static let published: [Published] = [
        // Howard et al., 2017, table 4: 569 million.
        Published(architecture: .mobileNetV1, width: 1, parameters: 4_231_976, millions: 568.5...569.9),
        // Sandler et al., 2018, table 4: 300 million; torchvision: 0.30 G.
        Published(architecture: .mobileNetV2, width: 1, parameters: 3_504_872, millions: 299.5...301),
        // Howard et al., 2019, table 3: 219 and 56 million; torchvision: 0.22 and 0.06 G.
        Published(architecture: .mobileNetV3Large, width: 1, parameters: 5_483_032, millions: 216...219.5),
        Published(architecture: .mobileNetV3Small, width: 1, parameters: 2_542_856, millions: 56...59),
        // Ma et al., 2018, table 8: 41, 146, 299 and 591 million.
        Published(architecture: .shuffleNetV2, width: 0.5, parameters: 1_366_792, millions: 40...42),
        Published(architecture: .shuffleNetV2, width: 1, parameters: 2_278_604, millions: 144...147),
        Published(architecture: .shuffleNetV2, width: 1.5, parameters: 3_503_624, millions: 295...300),
        Published(architecture: .shuffleNetV2, width: 2, parameters: 7_393_996, millions: 581...592),
        // torchvision: 0.35 G.
        Published(architecture: .squeezeNet11, width: 1, parameters: 1_235_496, millions: 349...352),
        // Tan and Le, 2019, table 2: 0.39 G.
        Published(architecture: .efficientNetB0, width: 1, parameters: 5_288_548, millions: 385...394),
        // The model card of efficientnet-lite: 407 million counts more than products; timm: 0.41 G.
        Published(architecture: .efficientNetLite0, width: 1, parameters: 4_652_008, millions: 385...407),
    ]

    @Test("Parameters and multiply-accumulates are the published ones", arguments: published)
    func counts(_ published: Published) throws {
        let network = try published.architecture.build(NetworkShape(width: published.width))
        #expect(network.parameterCount == published.parameters)
        let operations = try network.graph.multiplyAccumulates(under: [:])
        #expect(published.millions.contains(Double(operations) / 1e6), "\(operations)")
        try network.graph.verify()
        let output = try #require(network.graph.outputs.first)
        #expect(network.graph[output].type == ValueType(.f32, [1, 1000]))
        #expect(network.graph[output].name == "logits")
    }

    @Test("Width, classes and size", arguments: VisionArchitecture.allCases)
    func shapes(_ architecture: VisionArchitecture) throws {
        let width = architecture == .squeezeNet11 ? 1 : 0.5
        let network = try architecture.build(NetworkShape(width: width, classes: 7, size: 96, batch: 2))
        let output = try #require(network.graph.outputs.first)
        #expect(network.graph[output].type == ValueType(.f32, [2, 7]))
        let whole = try architecture.build(NetworkShape(classes: 7, size: 96, batch: 2))
        #expect(network.parameterCount <= whole.parameterCount)
    }

    @Test("The paper's MobileNet with plain convolutions: 4866 million multiply-accumulates, 29.3 million parameters")
    func plainTwin() throws {
        let network = try VisionArchitecture.mobileNetV1.build()
        let saving = try #require(try network.graph.depthwiseSaving(under: [:]))
        #expect(saving.depthwiseConvolutions == 13)
        #expect((Double(saving.plainMultiplyAccumulates) / 1e6).rounded() == 4866 || (Double(saving.plainMultiplyAccumulates) / 1e6).rounded() == 4867)
        #expect((Double(saving.plainParameters) / 1e5).rounded() == 293)
        #expect(try VisionArchitecture.squeezeNet11.build().graph.depthwiseSaving(under: [:]) == nil)
    }

    @Test("The same seed gives the same numbers, another seed others") func seeds() throws {
        func first(_ seed: UInt64) throws -> Tensor {
            let graph = try VisionArchitecture.mobileNetV2.build(NetworkShape(width: 0.25, classes: 3, size: 32), parameters: .random(seed: seed)).graph
            let weight = try #require(graph.weights.first?.weight)
            return try weight.store.withBytes { try Tensor(.f32, shape: weight.shape, copying: $0) }
        }
        #expect(try first(1) == first(1))
        #expect(try first(1) != first(2))
        // He et al.: variance 2/fan-in before the normalisation's factor.
        let values = try first(1).floats()
        let variance = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
        #expect(abs(variance * 27 / 2 - 1) < 0.25)
    }

    @Test("Sizes no network has are errors") func wrongShapes() {
        #expect(throws: SwiftletError.self) { try VisionArchitecture.shuffleNetV2.build(NetworkShape(width: 0.75)) }
        #expect(throws: SwiftletError.self) { try VisionArchitecture.squeezeNet11.build(NetworkShape(width: 2)) }
        #expect(throws: SwiftletError.self) { try VisionArchitecture.squeezeNet11.build(NetworkShape(size: 2)) }
        for shape in [NetworkShape(width: 0), NetworkShape(width: .nan), NetworkShape(classes: 0), NetworkShape(size: 0), NetworkShape(batch: -1)] {
            #expect(throws: SwiftletError.self) { try VisionArchitecture.mobileNetV2.build(shape) }
        }
    }
}

@Suite("Networks from trained weights")
struct ArchitectureWeightTests {
    /// A file with the parameters torchvision's model has, statistics of normalisations that are not trivial among them.
    private func writeWeights(_ path: String, leaving left: String? = nil, adding added: String? = nil, width: Int = 8) throws {
        var generator = SeededGenerator(seed: 5)
        var writer = SafetensorsWriter()
        func add(_ name: String, _ shape: [Int], _ range: ClosedRange<Float>) throws {
            if name == left { return }
            let values = (0..<shape.reduce(1, *)).map { _ in Float.random(in: range, using: &generator) }
            try writer.add(name: name, shape: Shape(shape), type: .f32, store: WeightStore(values))
        }
        // The narrowest form: 8 channels almost everywhere.
        let shape = NetworkShape(width: 0.05, classes: 3, size: 32)
        let graph = try VisionArchitecture.mobileNetV2.build(shape).graph
        for (id, weight) in graph.weights {
            let name = graph[id].name
            if name.hasPrefix("classifier") {
                try add(name, weight.shape.dimensions, -0.1...0.1)
            } else if name.hasSuffix(".weight") {
                try add(name, weight.shape.dimensions, -0.5...0.5)
                let norm = Self.norm(of: String(name.dropLast(".weight".count)))
                let channels = weight.shape[0]
                try add("\(norm).weight", [channels], 0.5...1.5)
                try add("\(norm).bias", [channels], -1...1)
                try add("\(norm).running_mean", [channels], -1...1)
                try add("\(norm).running_var", [channels], 0.5...2)
            }
        }
        if let added { try add(added, [width], 0...1) }
        try writer.add(name: "features.0.1.num_batches_tracked", shape: [], type: .i64, store: WeightStore([Int64(9)]))
        try writer.write(to: path)
    }

    /// The normalisation behind a convolution of torchvision's MobileNetV2: the next number in its sequence.
    private static func norm(of convolution: String) -> String {
        var parts = convolution.split(separator: ".").map(String.init)
        let last = Int(parts[parts.count - 1]) ?? 0
        parts[parts.count - 1] = "\(last + 1)"
        return parts.joined(separator: ".")
    }

    @Test("Normalisations are folded as they compute") func folding() throws {
        let path = temporaryFile("weights.safetensors")
        defer { try? FileManager.default.removeItem(atPath: path) }
        try writeWeights(path)
        let file = try SafetensorsFile(path: path)
        let graph = try VisionArchitecture.mobileNetV2.build(NetworkShape(width: 0.05, classes: 3, size: 32), parameters: .file(file)).graph
        let weights = Dictionary(uniqueKeysWithValues: graph.weights.map { (graph[$0.id].name, $0.weight) })
        func values(_ name: String) throws -> [Float] { try file.requiredTensor(named: name).dequantized() }
        for (convolution, norm) in [("features.0.0", "features.0.1"), ("features.2.conv.1.0", "features.2.conv.1.1"), ("features.2.conv.2", "features.2.conv.3")] {
            let kernel = try values("\(convolution).weight")
            let (gamma, beta) = (try values("\(norm).weight"), try values("\(norm).bias"))
            let (mean, variance) = (try values("\(norm).running_mean"), try values("\(norm).running_var"))
            let folded = try #require(weights["\(convolution).weight"]), bias = try #require(weights["\(convolution).bias"])
            let fan = kernel.count / gamma.count
            let (k, b) = (try folded.floats(), try bias.floats())
            for channel in gamma.indices {
                let factor = Double(gamma[channel]) / (Double(variance[channel]) + 1e-5).squareRoot()
                #expect(abs(Double(b[channel]) - (Double(beta[channel]) - Double(mean[channel]) * factor)) < 1e-5)
                for index in 0..<fan { #expect(abs(Double(k[channel * fan + index]) - Double(kernel[channel * fan + index]) * factor) < 1e-5) }
            }
        }
    }

    @Test("Missing, left over and misshapen tensors are errors that name them") func wrongFiles() throws {
        let path = temporaryFile("weights.safetensors")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let shape = NetworkShape(width: 0.05, classes: 3, size: 32)
        func failure(_ shape: NetworkShape) throws -> String {
            let file = try SafetensorsFile(path: path)
            do {
                _ = try VisionArchitecture.mobileNetV2.build(shape, parameters: .file(file))
                return ""
            } catch let error as SwiftletError { return error.description }
        }
        try writeWeights(path, leaving: "features.3.conv.1.1.running_var")
        #expect(try failure(shape).contains("'features.3.conv.1.1.running_var'"))
        try writeWeights(path, adding: "features.99.weight")
        #expect(try failure(shape).contains("features.99.weight"))
        try writeWeights(path)
        #expect(try failure(shape) == "")
        #expect(try failure(NetworkShape(width: 0.05, classes: 4, size: 32)).contains("classifier.1.weight"))
        #expect(try failure(NetworkShape(width: 1, classes: 3, size: 32)).contains("features.0.0.weight"))
    }
}

@Suite("Networks written as ONNX")
struct ArchitectureExportTests {
    /// The graph itself, node by node with the plain definitions of the operations.
    private func reference(_ graph: Graph, _ image: Tensor) throws -> [Float] {
        let context = try ExecutionContext(CompiledGraph(graph, backends: BackendSet([ReferenceBackend(pool: nil)])), stateBinding: [:])
        let plan = try context.plan([:])
        try plan.write(image, to: graph.inputs[0])
        try plan.run()
        return try plan.tensor(graph.outputs[0]).floats()
    }

    /// A network with random weights, the file it was written to, and a picture for it.
    private func written(_ architecture: VisionArchitecture) throws -> (network: VisionNetwork, path: String, image: Tensor) {
        let path = temporaryFile("network.onnx")
        let network = try architecture.build(NetworkShape(width: architecture == .squeezeNet11 ? 1 : 0.5, classes: 10, size: 64), parameters: .random(seed: 3))
        try ONNXWriter(network.graph).write(to: path)
        var generator = SeededGenerator(seed: 8)
        return (network, path, try Tensor((0..<3 * 64 * 64).map { _ in Float.random(in: -1...1, using: &generator) }, shape: [1, 3, 64, 64]))
    }

    @Test("Written, read and run, a network gives what its graph gives", arguments: VisionArchitecture.allCases)
    func roundTrip(_ architecture: VisionArchitecture) throws {
        let (network, path, image) = try written(architecture)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let model = try Model(path: path, options: NetworkOptions(threads: 1))
        #expect(model.inputs.map(\.name) == ["input"] && model.outputNames == ["logits"])
        let result = try #require(try model.run(["input": image])["logits"]).floats()
        let expected = try reference(network.graph, image)
        let scale = expected.reduce(0) { max($0, abs($1)) }
        #expect(scale > 0 && Set(expected).count > 1)
        for (a, b) in zip(result, expected) { #expect(abs(a - b) <= 1e-4 * scale) }
        #expect(result.count == 10)
    }

    @Test("In bf16 a network gives nearly the same", arguments: VisionArchitecture.allCases)
    func bf16(_ architecture: VisionArchitecture) throws {
        let (_, path, image) = try written(architecture)
        defer { try? FileManager.default.removeItem(atPath: path) }
        func logits(_ precision: NetworkPrecision, threads: Int) throws -> [Float] {
            let model = try Model(path: path, options: NetworkOptions(threads: threads, precision: precision))
            return try #require(try model.run(["input": image])["logits"]).floats()
        }
        let exact = try logits(.exact, threads: 1), rounded = try logits(.bf16, threads: 1)
        let scale = exact.reduce(0) { max($0, abs($1)) }
        let worst = zip(exact, rounded).reduce(0) { max($0, abs($1.0 - $1.1)) }
        // 8 bits of mantissa, some dozen layers: it must show, and it must not matter.
        #expect(worst > 1e-6 * scale && worst < 0.06 * scale, "\(worst) of \(scale)")
        #expect(try logits(.bf16, threads: 3) == rounded)
    }
}
