// Random graphs: whatever the lowering reuses, writes in place or hands from backend to backend must not change an answer.
import CKernels
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Random graphs compute the same everywhere")
struct RandomGraphTests {
    /// A random graph of elementwise, normalising and linear operations over `[tokens, width]` values, several of them outputs.
    private func graph(_ generator: inout SeededGenerator) throws -> Graph {
        let widths = [32, 64]
        var builder = GraphBuilder(name: "random")
        var values = [builder.input("a", .f32, ["tokens", 32]), builder.input("b", .f32, ["tokens", 64]), builder.input("c", .f32, ["tokens", 32])]
        func width(_ value: ValueID) -> Int { builder.type(of: value).shape[1].fixed ?? 0 }
        /// Recent values are likelier, so that buffers die and are reused.
        func pick(_ width: Int?, _ generator: inout SeededGenerator) -> ValueID {
            let fitting = values.filter { width == nil || builder.type(of: $0).shape[1].fixed == width }
            return fitting[max(Int.random(in: 0..<fitting.count, using: &generator), Int.random(in: 0..<fitting.count, using: &generator))]
        }
        func matrix(_ rows: Int, _ columns: Int, _ name: String, _ generator: inout SeededGenerator) throws -> ValueID {
            // Small weights keep the numbers near 1; half of the matrices are rounded to blocks.
            let floats = generator.floats(rows * columns, in: -0.2...0.2)
            let isBlock = Bool.random(using: &generator)
            let store = try isBlock ? WeightStore(BlockFormat.q8_0.quantize(floats)) : WeightStore(floats)
            return builder.weight(name, try Weight(name: name, shape: [rows, columns], format: isBlock ? .block(.q8_0) : .dense(.f32), store: store))
        }
        for step in 0..<Int.random(in: 6...24, using: &generator) {
            let name = "node \(step)"
            let x = pick(nil, &generator)
            switch Int.random(in: 0..<11, using: &generator) {
            case 0: values.append(try builder.unary([.silu, .tanh, .relu, .scale(-0.5)].randomElement(using: &generator) ?? .silu, x, name: name))
            case 1: values.append(try builder.node(.rmsNorm(epsilon: 1e-2), [x], name: name)[0])
            case 2: values.append(try builder.node(.softmax, [x], name: name)[0])
            case 3, 4:
                let function: Binary = [.add, .subtract, .multiply].randomElement(using: &generator) ?? .add
                let bounded = try builder.unary(.tanh, x, name: name + " bounded")
                values.append(try builder.binary(function, bounded, pick(width(x), &generator), name: name))
            case 5: values.append(try builder.binary([.add, .multiply].randomElement(using: &generator) ?? .add, x, x, name: name))
            case 6:
                let scale = builder.weight(name + " scale", try generator.vector(width(x)))
                values.append(try builder.node(.layerNorm(epsilon: 1e-1), [x, scale], name: name)[0])
            case 7:
                let flat = try builder.reshape(x, [Dimension("tokens") * width(x)], name: name + " flat")
                values.append(try builder.reshape(builder.unary(.sigmoid, flat, name: name), ["tokens", Dimension(width(x))], name: name + " back"))
            case 8:
                let target = widths.randomElement(using: &generator) ?? 32
                let weight = try matrix(target, width(x), name + " weight", &generator)
                let residual = pick(target, &generator)
                values.append(try builder.node(.linear(Linear(epilogue: .residual)), [x, weight, residual], name: name)[0])
            case 9:
                let gate = try matrix(32, width(x), name + " gate", &generator), up = try matrix(32, width(x), name + " up", &generator)
                values.append(try builder.node(.linear(Linear(weightCount: 2, epilogue: .gated(.silu))), [x, gate, up], name: name)[0])
            default:
                let first = try matrix(32, width(x), name + " first", &generator), second = try matrix(64, width(x), name + " second", &generator)
                values += try builder.node(.linear(Linear(weightCount: 2)), [x, first, second], name: name)
            }
        }
        builder.output(values[values.count - 1])
        for _ in 0..<2 { builder.output(pick(nil, &generator)) }
        return builder.graph
    }

    private func sample(_ seed: UInt64) throws -> BuiltSample {
        var generator = SeededGenerator(seed: seed)
        let graph = try graph(&generator)
        let runs = [1, 5, 2, 70, 1].map { tokens in
            SampleRun(
                inputs: ["a": generator.tensor([tokens, 32]), "b": generator.tensor([tokens, 64]), "c": generator.tensor([tokens, 32])],
                binding: ["tokens": tokens])
        }
        return BuiltSample(graph: graph, runs: runs, bounds: { _, _, _ in [] })
    }

    @Test("One backend and any split of two", arguments: 0..<60 as Range<UInt64>)
    func everywhere(_ seed: UInt64) throws {
        let sample = try sample(seed)
        let reference = ReferenceBackend(pool: nil)
        let cpu = CPUBackend(pool: Pools.all[Int(seed % 3)], isa: ck_isa_detect())
        let colours = Dictionary(uniqueKeysWithValues: sample.graph.nodes.map { node in (node.name, node.name.utf8.reduce(seed) { $0 &* 31 &+ UInt64($1) } % 3 == 0) })
        let split = SplitBackend(reference, name: "split") { colours[$0.name] ?? false }
        let exact = try exactResults(sample)
        for (what, backends) in [("reference", [reference] as [any Backend]), ("cpu", [cpu]), ("split", [split, cpu])] {
            let results = try execute(sample, on: backends)
            for (run, outputs) in exact.enumerated() {
                for (index, output) in outputs.enumerated() {
                    // Roundings of up to 24 operations, amplified by each in turn; a corrupted buffer is wrong by far more.
                    let largest = output.values.reduce(1) { max($0, abs($1)) }
                    expectClose(results.outputs[run][index], output.values, within: output.values.map { _ in 3e-3 * largest }, "\(what), run \(run), output \(index)")
                }
            }
        }
    }
}
