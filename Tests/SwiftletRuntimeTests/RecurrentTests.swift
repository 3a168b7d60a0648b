// Recurrent layers on the CPU against the reference: every cell and direction, sizes beside those of panels and vectors.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Recurrent layers on the CPU")
struct RecurrentTests {
    @Test("cells, directions and sizes", arguments: ISAPath.allCases)
    func layers(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        let cells: [Recurrent.Cell] = [.simple, .gru(resetsAfter: false), .gru(resetsAfter: true), .lstm(couplesInputAndForget: false)]
        for (seed, cell) in cells.enumerated() {
            for direction in [Recurrent.Direction.forward, .reverse, .bidirectional] {
                for (steps, batch, width, hidden) in [(1, 1, 1, 1), (3, 1, 5, 16), (2, 4, 33, 15), (7, 2, 8, 17)] {
                    let hasStates = steps != 3
                    let graph = try Self.graph(cell, direction, steps, batch, width, hidden, hasStates: hasStates, seed: UInt64(seed))
                    var random = SeededGenerator(seed: 99)
                    let inputs = graph.inputs.map { random.floats(graph[$0].type.shape.compactMap(\.fixed).reduce(1, *)) }
                    let cpu = CPUBackend(pool: Pools.all[seed % 3], isa: path.rawValue)
                    let compiled = try CompiledGraph(graph, backends: BackendSet([cpu]))
                    let results = try Self.run(compiled, inputs)
                    let expected = try Self.run(CompiledGraph(graph, backends: BackendSet([ReferenceBackend(pool: nil)])), inputs)
                    for (result, exact) in zip(results, expected) {
                        let worst = zip(result, exact).reduce(0) { max($0, abs($1.0 - $1.1)) }
                        #expect(worst < 1e-5, "\(cell) \(direction) \(steps)×\(batch)×\(width), \(hidden) hidden")
                    }
                }
            }
        }
    }

    @Test("rare options are left to the reference")
    func rareOptions() throws {
        var graph = try Self.graph(.lstm(couplesInputAndForget: false), .forward, 2, 1, 4, 4, hasStates: false, seed: 1)
        let cpu = CPUBackend(pool: Pools.all[0], isa: 0)
        #expect(cpu.preference(for: graph.nodes[0], in: graph) > 0)
        guard case .tensor(.recurrent(var layer)) = graph.nodes[0].op else { return }
        layer.clip = 1
        graph.nodes[0].op = .tensor(.recurrent(layer))
        #expect(cpu.preference(for: graph.nodes[0], in: graph) == 0)
    }

    private static func run(_ compiled: CompiledGraph, _ inputs: [[Float]]) throws -> [[Float]] {
        let plan = try ExecutionContext(compiled, stateBinding: [:]).plan([:])
        for (id, values) in zip(compiled.graph.inputs, inputs) { _ = try plan.elements(of: id, as: Float.self).update(fromContentsOf: values) }
        try plan.run()
        return try compiled.graph.outputs.map { Array(try plan.elements(of: $0, as: Float.self)) }
    }

    private static func graph(
        _ cell: Recurrent.Cell, _ direction: Recurrent.Direction, _ steps: Int, _ batch: Int, _ width: Int, _ hidden: Int, hasStates: Bool, seed: UInt64
    ) throws -> Graph {
        var random = SeededGenerator(seed: seed)
        var builder = GraphBuilder(name: "recurrent")
        func weight(_ name: String, _ shape: [Int], _ builder: inout GraphBuilder) throws -> ValueID {
            let store = try WeightStore(random.floats(shape.reduce(1, *), in: -0.5...0.5))
            return builder.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(.f32), store: store))
        }
        var layer = Recurrent(cell: cell, hidden: hidden, direction: direction, activations: [], hasBias: true, hasInitialHidden: hasStates)
        layer.hasInitialCell = hasStates && layer.isLSTM
        let one: [Unary] = [.sigmoid, .tanh, .tanh]
        let functions = layer.activationCount == 1 ? [.tanh] : Array(one.prefix(layer.activationCount))
        layer.activations = (0..<direction.count).flatMap { _ in functions }
        let (d, g) = (direction.count, layer.gateCount)
        var operands = [builder.input("x", .f32, [steps, batch, width].map { Dimension($0) })]
        operands.append(try weight("W", [d, g * hidden, width], &builder))
        operands.append(try weight("R", [d, g * hidden, hidden], &builder))
        operands.append(try weight("B", [d, 2 * g * hidden], &builder))
        if hasStates { operands.append(builder.input("h", .f32, [d, batch, hidden].map { Dimension($0) })) }
        if layer.hasInitialCell { operands.append(builder.input("c", .f32, [d, batch, hidden].map { Dimension($0) })) }
        for output in try builder.node(.tensor(.recurrent(layer)), operands, name: "layer") { builder.output(output) }
        return builder.graph
    }
}
