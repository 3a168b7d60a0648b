// A norm, a gated feed-forward block and a head with its own data: the smallest graph that has every kind of place techniques work on.
import SwiftletCompress
import SwiftletGraph
import TestSupport

struct FeedForwardFixture {
    static let (rows, width, hidden) = (48, 64, 96)
    let graph: Graph
    let data: TensorBatches

    /// `outliers`: columns of the input that are 20 times larger.
    init(seed: UInt64 = 1, outliers: [Int] = [3, 40], batches: Int = 4) throws {
        var generator = SeededGenerator(seed: seed)
        var builder = GraphBuilder(name: "feed-forward")
        let (width, hidden) = (Self.width, Self.hidden)
        func weight(_ name: String, _ shape: Shape, _ range: ClosedRange<Float>) throws -> ValueID {
            builder.weight(name, try Weight(name: name, shape: shape, floats: generator.floats(shape.elementCount, in: range)))
        }
        let x = builder.input("x", .f32, [Dimension(Self.rows), Dimension(width)])
        let scale = try weight("blk.0.ffn_norm.weight", [width], 0.5...1.5)
        let gate = try weight("blk.0.ffn_gate.weight", [hidden, width], -0.3...0.3)
        let up = try weight("blk.0.ffn_up.weight", [hidden, width], -0.3...0.3)
        let down = try weight("blk.0.ffn_down.weight", [width, hidden], -0.3...0.3)
        let head = try weight("output.weight", [32, width], -0.3...0.3)
        let normal = try builder.rmsNorm(x, scale: scale, epsilon: 1e-5, name: "norm")
        let g = try builder.linear(normal, gate, name: "gate"), u = try builder.linear(normal, up, name: "up")
        let activated = try builder.unary(.silu, g, name: "activated")
        let gated = try builder.binary(.multiply, activated, u, name: "gated")
        let fed = try builder.linear(gated, down, name: "down")
        let sum = try builder.binary(.add, x, fed, name: "sum")
        builder.output(try builder.linear(sum, head, name: "head"))
        graph = builder.graph
        // Columns that go together: the Hessian is far from diagonal.
        let batches = try (0..<batches).map { _ -> [String: Tensor] in
            let shared = generator.floats(Self.rows)
            var values = generator.floats(Self.rows * width)
            for index in values.indices {
                values[index] += 1.5 * shared[index / width]
                if outliers.contains(index % width) { values[index] *= 20 }
            }
            return ["x": try Tensor(values, shape: [Self.rows, width])]
        }
        data = TensorBatches(batches)
    }

    func context() throws -> CompressionContext { try CompressionContext(passes: .language, calibration: data, threads: 2) }

    /// The first output over all batches.
    func outputs(of graph: Graph) throws -> [Float] {
        var all: [Float] = []
        try GraphRun(graph, values: graph.outputs, in: context()).forEachBatch(of: data) { _, values in all += try values.floats(graph.outputs[0]) }
        return all
    }

    /// Σ(a − b)² / Σa²
    static func distance(_ a: [Float], _ b: [Float]) -> Double {
        let error = zip(a, b).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        return error / a.reduce(0.0) { $0 + Double($1) * Double($1) }
    }
}
