// What becomes bf16, and where casts stand.
import SwiftletGraph
import TestSupport
import Testing

@Suite("Computing in bf16") struct ComputeInBF16Tests {
    private let window = Window(kernel: [3, 3], low: [1, 1], high: [1, 1])

    private func weight(_ builder: inout GraphBuilder, _ name: String, _ shape: [Int]) throws -> ValueID {
        let values = (0..<shape.reduce(1, *)).map { Float($0 % 17) / 16 - 0.5 + 0x1p-12 }
        return builder.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(.f32), store: WeightStore(values)))
    }

    private func convolution(_ builder: inout GraphBuilder, _ x: ValueID, _ weightName: String, _ shape: [Int], _ window: Window, _ name: String) throws -> ValueID {
        let weight = try weight(&builder, weightName, shape)
        return try builder.node(.tensor(.convolution(Convolution(window: window))), [x, weight], name: name)[0]
    }

    private func rounded(_ pass: ComputeInBF16, _ graph: Graph) throws -> Graph { try PassPipeline(name: "test", [pass]).run(graph) }

    private func kinds(_ graph: Graph) -> [String] {
        graph.nodes.map { node in
            let element = graph[node.outputs[0]].type.element
            return switch node.op {
            case .tensor(.convolution): "convolution \(element)"
            case .tensor(.cast): "cast \(element)"
            case .tensor(.reduce): "mean \(element)"
            case .unary: "unary \(element)"
            case .binary: "binary \(element)"
            case .linear: "linear \(element)"
            default: "\(node.op)"
            }
        }
    }

    @Test("one cast in, one out, and the weights are rounded") func chain() throws {
        var b = GraphBuilder(name: "chain")
        let x = b.input("x", .f32, [1, 3, 6, 6])
        let first = try convolution(&b, x, "a", [8, 3, 3, 3], window, "first")
        let relu = try b.unary(.relu, first, name: "relu")
        let second = try convolution(&b, relu, "b", [8, 8, 3, 3], window, "second")
        b.output(try b.unary(.exp, second, name: "exp"))
        let result = try rounded(ComputeInBF16(), b.graph)
        #expect(kinds(result) == ["cast bf16", "convolution bf16", "unary bf16", "convolution bf16", "cast f32", "unary f32"])
        let rounded = try #require(result[result.nodes[1].inputs[1]].weight)
        #expect(rounded.format == .dense(.bf16))
        #expect(try rounded.floats()[1] == Float(1) / 16 - 0.5)
    }

    @Test("the gate of squeeze and excitation stays f32 beside an image of bf16") func gate() throws {
        var b = GraphBuilder(name: "gate")
        let x = b.input("x", .f32, [1, 4, 5, 5])
        let image = try convolution(&b, x, "a", [4, 4, 3, 3], window, "image")
        let mean = try b.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [image], name: "mean")[0]
        let one = Window(kernel: [1, 1])
        let gate = try convolution(&b, mean, "g", [4, 4, 1, 1], one, "gate")
        let scaled = try b.binary(.multiply, gate, image, name: "scaled")
        b.output(try convolution(&b, scaled, "c", [4, 4, 3, 3], window, "last"))
        let result = try rounded(ComputeInBF16(), b.graph)
        #expect(
            kinds(result) == [
                "cast bf16", "convolution bf16", "mean bf16", "cast f32", "convolution f32", "binary bf16", "convolution bf16", "cast f32",
            ])
        let product = try #require(result.nodes.first { $0.name == "scaled" })
        #expect(product.inputs.map { result[$0].type.element } == [.bf16, .f32])
        // A mean that alone reads the image is taken of f32.
        var lone = GraphBuilder(name: "lone")
        let y = lone.input("x", .f32, [1, 4, 5, 5])
        let made = try convolution(&lone, y, "a", [4, 4, 3, 3], window, "image")
        lone.output(try lone.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [made], name: "mean")[0])
        #expect(kinds(try rounded(ComputeInBF16(), lone.graph)) == ["cast bf16", "convolution bf16", "cast f32", "mean f32"])
    }

    @Test("what is left out stays as it is, and matrices are stored in bf16") func exclusions() throws {
        var b = GraphBuilder(name: "matrix")
        let x = b.input("x", .f32, [1, 3, 6, 6])
        let image = try convolution(&b, x, "a", [8, 3, 3, 3], window, "image")
        let rows = try b.reshape(image, [8, 36], name: "rows")
        let matrix = try weight(&b, "m", [5, 36])
        b.output(try b.node(.linear(Linear(weightCount: 1)), [rows, matrix], name: "product")[0])
        let result = try rounded(ComputeInBF16 { _, x, made in x.shape == [1, 3, 6, 6] && made.shape == [1, 8, 6, 6] }, b.graph)
        #expect(kinds(result).filter { $0.contains("bf16") || $0.hasPrefix("cast") }.isEmpty)
        let product = try #require(result.nodes.last)
        #expect(result[product.inputs[1]].weight?.format == .dense(.bf16))
    }
}
