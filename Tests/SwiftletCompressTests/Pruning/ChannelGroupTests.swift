import Foundation
import SwiftletCompress
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct ChannelGroupTests {
    /// A network that grows by blocks, `[1, channels, size, size]` all the way.
    private struct Network {
        var fixture: PruningFixture
        var x: ValueID
        var channels = 12
        let size = 8
        private var count = 0

        init(seed: UInt64) throws {
            fixture = PruningFixture(seed: seed)
            let input = fixture.builder.input("x", .f32, [1, 3, 8, 8])
            x = try fixture.convolution(input, "stem", from: 3, to: 12)
            x = try fixture.builder.unary(.relu, x, name: "stem.relu")
        }

        private mutating func name(_ kind: String) -> String {
            count += 1
            return "\(kind)\(count)"
        }

        mutating func residual() throws {
            let name = name("residual")
            let inner = try fixture.builder.unary(.relu, fixture.convolution(x, "\(name).a", from: channels, to: 20), name: "\(name).relu")
            x = try fixture.builder.binary(.add, fixture.convolution(inner, "\(name).b", from: 20, to: channels), x, name: "\(name).sum")
        }

        /// Expansion, depthwise convolution, squeeze and excitation, projection: a block of MobileNet.
        mutating func inverted() throws {
            let name = name("inverted")
            var h = try fixture.convolution(x, "\(name).expand", from: channels, to: 16, kernel: 1)
            h = try fixture.builder.unary(.silu, h, name: "\(name).act")
            h = try fixture.convolution(h, "\(name).depthwise", from: 16, to: 16, groups: 16)
            var s = try fixture.builder.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [h], name: "\(name).mean")[0]
            s = try fixture.builder.unary(.relu, fixture.convolution(s, "\(name).squeeze", from: 16, to: 4, kernel: 1), name: "\(name).squeeze.relu")
            s = try fixture.builder.unary(.sigmoid, fixture.convolution(s, "\(name).excite", from: 4, to: 16, kernel: 1), name: "\(name).gate")
            h = try fixture.builder.binary(.multiply, h, s, name: "\(name).scaled")
            x = try fixture.builder.binary(.add, x, fixture.convolution(h, "\(name).project", from: 16, to: channels, kernel: 1), name: "\(name).sum")
        }

        /// Branches side by side, the first of them cut out again.
        mutating func joined() throws {
            let name = name("joined")
            let a = try fixture.convolution(x, "\(name).a", from: channels, to: 8)
            let b = try fixture.convolution(x, "\(name).b", from: channels, to: 12, kernel: 1)
            let both = try fixture.builder.node(.tensor(.concat(axis: 1)), [a, x, b], name: "\(name).concat")[0]
            let slice = Slice(starts: [0, 8 + channels, 0, 0], sizes: [1, 12, size, size], steps: [1, 1, 1, 1])
            let cut = try fixture.builder.node(.tensor(.slice(slice)), [both], name: "\(name).cut")[0]
            let merged = try fixture.convolution(both, "\(name).merge", from: 20 + channels, to: 12)
            x = try fixture.builder.binary(.add, fixture.builder.unary(.tanh, merged, name: "\(name).tanh"), cut, name: "\(name).sum")
            channels = 12
        }

        /// A normalisation as numbers a channel, from the left and from the right, of several ranks; pooling and enlarging.
        mutating func scaled() throws {
            let name = name("scaled")
            x = try fixture.builder.binary(.multiply, fixture.weight("\(name).scale", [channels, 1, 1]), x, name: "\(name).product")
            x = try fixture.builder.binary(.add, x, fixture.weight("\(name).shift", [1, channels, 1, 1]), name: "\(name).sum")
            x = try fixture.builder.binary(.add, x, fixture.weight("\(name).one", [1]), name: "\(name).plus")
            let pool = Pool(kind: .maximum(indices: false), window: Window(kernel: [2, 2], strides: [2, 2]))
            x = try fixture.builder.node(.tensor(.pool(pool)), [x], name: "\(name).pool")[0]
            let resize = Resize(
                interpolation: .nearest(.floor), coordinates: .asymmetric, scales: [1, 1, 2, 2], sizes: [1, channels, size, size])
            x = try fixture.builder.node(.tensor(.resize(resize)), [x], name: "\(name).resize")[0]
        }

        /// Flattened as it is, or after the mean over space.
        mutating func finished(flat: Bool) throws -> Graph {
            var width = channels * size * size
            if !flat {
                x = try fixture.builder.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: false)), [x], name: "mean")[0]
                width = channels
            } else {
                x = try fixture.builder.reshape(x, [1, Dimension(width)], name: "flat")
            }
            let hidden = try fixture.builder.unary(.relu, fixture.linear(x, "hidden", from: width, to: 32, bias: true), name: "hidden.relu")
            fixture.builder.output(try fixture.linear(hidden, "head", from: 32, to: 5, bias: true))
            return fixture.builder.graph
        }
    }

    private static func network(seed: UInt64) throws -> (Graph, TensorBatches) {
        var generator = SeededGenerator(seed: seed &+ 100)
        var network = try Network(seed: seed)
        for _ in 0..<4 {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: try network.residual()
            case 1: try network.inverted()
            case 2: try network.joined()
            default: try network.scaled()
            }
        }
        let graph = try network.finished(flat: seed % 2 == 0)
        return (graph, TensorBatches([["x": try Tensor(generator.floats(3 * 64), shape: [1, 3, 8, 8])]]))
    }

    /// The graph with the columns zeroed that the removed channels are to the layers that take them in.
    private static func silenced(_ graph: Graph, _ channels: ChannelGroups, kept: [Int: [Int]]) throws -> Graph {
        var result = graph
        for group in channels.groups {
            guard let stay = kept[group.id] else { continue }
            for slot in group.consumers {
                let weight = try #require(result[slot.weight].weight)
                var elements = try weight.floats()
                let stride = weight.shape.dimensions[(slot.axis + 1)...].reduce(1, *)
                for index in elements.indices {
                    let place = index / stride % weight.shape[slot.axis] - slot.offset
                    guard place >= 0, place < group.count * slot.repeats, !stay.contains(place / slot.repeats) else { continue }
                    elements[index] = 0
                }
                result.replaceWeight(slot.weight, with: try Weight(name: result[slot.weight].name, shape: weight.shape, floats: elements))
            }
        }
        return result
    }

    @Test(arguments: 0..<12) func theSmallerGraphComputesWhatTheParentDoesWithTheseChannelsSilent(seed: Int) throws {
        let (graph, data) = try Self.network(seed: UInt64(seed))
        let channels = ChannelGroups(graph)
        #expect(!channels.groups.isEmpty)
        var generator = SeededGenerator(seed: UInt64(seed) + 7)
        var kept: [Int: [Int]] = [:]
        for group in channels.groups { kept[group.id] = Array((0..<group.count).shuffled(using: &generator).prefix(max(1, group.count * 2 / 3))).sorted() }
        let smaller = try ChannelRemoval(channels: channels, kept: kept).apply(to: graph)
        try smaller.verify()
        #expect(smaller.parameterCount < graph.parameterCount)
        let expected = try PruningFixture.output(Self.silenced(graph, channels, kept: kept), data)
        #expect(relativeDistance(expected, try PruningFixture.output(smaller, data)) < 1e-5)
        // The channels that went mattered.
        #expect(relativeDistance(expected, try PruningFixture.output(graph, data)) > 1e-3)
    }

    @Test func residualsAndDepthwiseConvolutionsTieLayersTogether() throws {
        var network = try Network(seed: 1)
        try network.residual()
        try network.inverted()
        let graph = try network.finished(flat: false)
        let groups = ChannelGroups(graph).groups
        func names(_ slots: [ChannelGroups.Slot]) -> Set<String> { Set(slots.map { graph[$0.weight].name }) }
        let stream = try #require(groups.first { names($0.producers).contains("stem.weight") })
        #expect(names(stream.producers) == ["stem.weight", "residual1.b.weight", "inverted2.project.weight"])
        #expect(names(stream.consumers) == ["residual1.a.weight", "inverted2.expand.weight", "hidden.weight"])
        #expect(names(stream.carriers) == ["stem.bias", "residual1.b.bias", "inverted2.project.bias"])
        let inner = try #require(groups.first { names($0.producers).contains("inverted2.expand.weight") })
        #expect(names(inner.producers) == ["inverted2.expand.weight", "inverted2.excite.weight"])
        #expect(names(inner.carriers) == ["inverted2.expand.bias", "inverted2.depthwise.weight", "inverted2.depthwise.bias", "inverted2.excite.bias"])
        #expect(names(inner.consumers) == ["inverted2.squeeze.weight", "inverted2.project.weight"])
        // Inputs and outputs keep their channels.
        #expect(!groups.contains { names($0.producers).contains("head.weight") })
        #expect(!groups.contains { $0.count == 3 })
    }

    @Test func whatMixesChannelsOtherwiseKeepsThem() throws {
        func groups(_ body: (inout PruningFixture, ValueID) throws -> ValueID) throws -> Int {
            var fixture = PruningFixture()
            let x = fixture.builder.input("x", .f32, [4, 8])
            let h = try fixture.linear(x, "a", from: 8, to: 16)
            let y = try body(&fixture, h)
            let width = fixture.builder.type(of: y).shape[1].fixed ?? 0
            fixture.builder.output(try fixture.linear(y, "b", from: width, to: 3))
            return ChannelGroups(fixture.builder.graph).groups.count
        }
        #expect(try groups { _, h in h } == 1)
        #expect(try groups { try $0.builder.unary(.gelu, $1, name: "f") } == 1)
        #expect(try groups { try $0.builder.rmsNorm($1, scale: $0.weight("s", [16]), epsilon: 1e-5, name: "n") } == 0)
        #expect(try groups { try $0.builder.node(.softmax, [$1], name: "n")[0] } == 0)
        #expect(try groups { try $0.builder.reshape($1, [8, 8], name: "r") } == 0)
        #expect(try groups { try $0.builder.node(.tensor(.transpose([1, 0])), [$1], name: "t")[0] } == 0)
        #expect(try groups { fixture, h in
            fixture.builder.output(h)
            return h
        } == 0)
        // A sum with what has other channels, or none that are followed.
        #expect(try groups { fixture, h in
            let x = fixture.builder.input("more", .f32, [4, 16])
            return try fixture.builder.binary(.add, h, x, name: "sum")
        } == 0)
        // A part of a group.
        #expect(try groups { try $0.builder.node(.tensor(.slice(Slice(starts: [0, 4], sizes: [4, 8], steps: [1, 1]))), [$1], name: "s")[0] } == 0)
        // A weight that serves two layers of different channels.
        #expect(try groups { fixture, h in
            let shared = try fixture.weight("shared", [16, 16])
            return try fixture.builder.linear(fixture.builder.linear(h, shared, name: "once"), shared, name: "twice")
        } == 0)
    }

    @Test func channelsOfConvolutionsGoInMultiplesAndTheLeastImportantGo() throws {
        let (graph, data) = try Self.network(seed: 4)
        for (importance, reconstructs) in [(ChannelImportance.l1, false), (.l2, false), (.activation, false), (.activation, true)] {
            let step = PruneChannels(share: 0.4, multiple: 4, importance: importance, reconstructs: reconstructs)
            let result = try step.run(graph, in: PruningFixture.context(data))
            try result.graph.verify()
            #expect(result.report.after.parameters < result.report.before.parameters)
            #expect(result.report.after.multiplyAccumulates < result.report.before.multiplyAccumulates)
            for tensor in result.report.tensors where tensor.name.hasSuffix(".weight") && tensor.shapeBefore.count == 4 && tensor.shapeAfter[0] != tensor.shapeBefore[0] {
                #expect(tensor.shapeAfter[0] % 4 == 0)
            }
            #expect(try PruningFixture.output(result.graph, data).allSatisfy { $0.isFinite })
        }
        // Rows of a convolution scaled down go first.
        var fixture = PruningFixture(seed: 8)
        let x = fixture.builder.input("x", .f32, [1, 2, 6, 6])
        let kernel = fixture.floats(8 * 2 * 9).enumerated().map { $1 * ([1, 6].contains($0 / 18) ? 0.01 : 1) }
        let window = Window(kernel: [3, 3], low: [1, 1], high: [1, 1])
        let h = try fixture.builder.node(.tensor(.convolution(Convolution(window: window))), [x, fixture.weight("a", [8, 2, 3, 3], kernel)], name: "a")[0]
        fixture.builder.output(try fixture.convolution(h, "b", from: 8, to: 2))
        let small = fixture.builder.graph
        let pictures = TensorBatches([["x": try Tensor(fixture.floats(72), shape: [1, 2, 6, 6])]])
        for importance in ChannelImportance.allCases {
            let result = try PruneChannels(share: 0.25, multiple: 2, importance: importance).run(small, in: PruningFixture.context(pictures)).graph
            #expect(try result.elements("a") == kernel.enumerated().filter { ![1, 6].contains($0.offset / 18) }.map(\.element))
            #expect(result.shape("b.weight") == [2, 6, 3, 3])
        }
    }

    @Test func reconstructionMakesUpForWhatGoes() throws {
        let (graph, data) = try PruningFixture.layers(inputs: 12, hidden: 32, rows: 200)
        let parent = try PruningFixture.output(graph, data)
        let errors = try [true, false].map { reconstructs in
            let result = try PruneNeurons(share: 0.5, multiple: 8, reconstructs: reconstructs).run(graph, in: PruningFixture.context(data))
            #expect(result.graph.shape("first.weight") == [16, 12] && result.graph.shape("second.weight") == [3, 16] && result.graph.shape("first.bias") == [16])
            return zip(parent, try PruningFixture.output(result.graph, data)).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        }
        #expect(errors[0] < 0.7 * errors[1])
    }

    @Test func doubledNeuronsAreMadeUpForExactly() throws {
        // Neurons 4…7 repeat 0…3: with either half gone the other can do all the work.
        var fixture = PruningFixture(seed: 40)
        let x = fixture.builder.input("x", .f32, [50, 6])
        let rows = fixture.floats(24)
        let h = try fixture.builder.unary(.silu, fixture.builder.linear(x, fixture.weight("a", [8, 6], rows + rows), name: "a"), name: "act")
        // The first ones count for more behind: they stay.
        fixture.builder.output(try fixture.builder.linear(h, fixture.weight("b", [2, 8], [3, 3, 3, 3, 1, 1, 1, 1, -3, 3, -3, 3, 1, -1, 1, -1]), name: "b"))
        let data = TensorBatches([["x": try Tensor(fixture.floats(300), shape: [50, 6])]])
        let graph = fixture.builder.graph
        let result = try PruneNeurons(share: 0.5, multiple: 4).run(graph, in: PruningFixture.context(data)).graph
        let expected: [Float] = [4, 4, 4, 4, -2, 2, -2, 2]
        #expect(result.shape("b") == [2, 4])
        #expect(zip(try result.elements("b"), expected).allSatisfy { abs($0 - $1) < 0.1 })
        #expect(relativeDistance(try PruningFixture.output(graph, data), try PruningFixture.output(result, data)) < 0.03)
    }

    @Test func rowsOfBlocksKeepTheirFormat() throws {
        var fixture = PruningFixture(seed: 41)
        let x = fixture.builder.input("x", .f32, [5, 32])
        let up = try Weight(name: "up", shape: [64, 32], format: .block(.q8_0), store: WeightStore(BlockFormat.q8_0.quantize(fixture.floats(64 * 32))))
        let h = try fixture.builder.unary(.relu, fixture.builder.linear(x, fixture.builder.weight("up", up), name: "up"), name: "act")
        fixture.builder.output(try fixture.builder.linear(h, fixture.weight("down", [3, 64]), name: "down"))
        let graph = fixture.builder.graph
        let result = try PruneNeurons(share: 0.5, importance: .l2, reconstructs: false).run(graph, in: PruningFixture.context()).graph
        let after = try #require(result.weights.first { result[$0.id].name == "up" }?.weight)
        #expect(after.format == .block(.q8_0) && after.shape == [32, 32])
        let before = try (0..<64).map { try up.row($0) }
        #expect(try (0..<32).allSatisfy { row in before.contains(try after.row(row)) })
    }

    @Test func whatCannotGoIsAnError() throws {
        let (graph, data) = try PruningFixture.layers(inputs: 8, hidden: 16)
        let context = try PruningFixture.context(data)
        #expect(throws: SwiftletError.self) { try PruneChannels(share: 0.5).run(graph, in: context) }
        #expect(throws: SwiftletError.self) { try PruneNeurons(share: 1).run(graph, in: context) }
        #expect(throws: SwiftletError.self) { try PruneNeurons(share: -0.1).run(graph, in: context) }
        #expect(throws: SwiftletError.self) { try PruneNeurons(share: 0.5, scope: Scope(include: ["second*"])).run(graph, in: context) }
        #expect(throws: SwiftletError.self) { try PruneNeurons(share: 0.5).run(graph, in: PruningFixture.context()) }
        #expect(try PruneNeurons(share: 0, multiple: 8).run(graph, in: context).graph.shape("first.weight") == [16, 8])
        // Fewer than a multiple: all stay.
        #expect(try PruneNeurons(share: 0.9, multiple: 32).run(graph, in: context).graph.shape("first.weight") == [16, 8])
    }
}
