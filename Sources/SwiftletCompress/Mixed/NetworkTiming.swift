// How long the layers of a network take here, in integers and in floats, and what it costs to go from one to the other: the network itself is run
// and each of its steps timed, once in integers, once in floats, and twice with every other layer in floats, so that there is a border at every value.
// Between profiles threads fall asleep, which runs that follow each other do not see, and borders are many small steps: how time is shared among layers and among
// borders is taken from the steps, what it adds up to from whole runs.
import Foundation
import SwiftletRuntime

/// Measured times, in nanoseconds.
package struct NetworkTiming {
    /// Of one run with all layers in integers.
    package let integerRun: Double
    /// Of one run with all layers in floats.
    package let floatRun: Double
    /// How much longer a layer takes in floats, by the index of its node; may be negative.
    package private(set) var floatTimes: [Int: Double] = [:]
    /// Of rounding a value, or of making floats of it again.
    package private(set) var borderTimes: [ValueID: Double] = [:]

    /// Runs before the clock counts, and runs of which the median counts.
    private static let (warmUps, runs) = (3, 21)

    package init(_ quantisation: StaticQuantisation, data: any CalibrationData, in context: CompressionContext) throws {
        let batch = try data.batch(0)
        let layers = quantisation.layers.keys.sorted()
        func elements(_ value: ValueID) throws -> Double { Double(try quantisation.graph[value].type.shape(under: batch.binding).elementCount) }
        // Products of layers, and a few for each element that is rounded or made a float again.
        var work: [String: Double] = [:]
        for node in layers {
            guard let shape = quantisation.layers[node]?.weight.shape else { continue }
            work[quantisation.graph.nodes[node].name] = try elements(quantisation.graph.nodes[node].outputs[0]) * Double(shape.elementCount / max(1, shape[0]))
        }
        for value in quantisation.values {
            for kind in Self.borderKinds { work["\(quantisation.graph[value].name).\(kind)"] = try 8 * elements(value) }
        }
        func precisions(_ isFloat: (Int) -> Bool) -> [Int: LayerPrecision] {
            Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($1, isFloat($0) ? .float : .int8) })
        }
        func times(_ isFloat: (Int) -> Bool) throws -> (steps: [String: Double], whole: Double) {
            try Self.times(quantisation.graph(precisions(isFloat)).graph, work, batch, data.stateBinding, context)
        }
        let (integers, floats) = (try times { _ in false }, try times { _ in true })
        (integerRun, floatRun) = (integers.whole, floats.whole)
        for node in layers {
            let name = quantisation.graph.nodes[node].name
            floatTimes[node] = (floats.steps[name] ?? 0) - (integers.steps[name] ?? 0)
        }
        let longer = floatTimes.values.reduce(0, +)
        if longer > 0, floatRun > integerRun { floatTimes = floatTimes.mapValues { $0 * (floatRun - integerRun) / longer } }

        let mixes = try [0, 1].map { parity in try times { $0 % 2 == parity } }
        var (seconds, count) = (0.0, 0.0)
        var unseen: [ValueID] = []
        for value in quantisation.values {
            let name = quantisation.graph[value].name
            let seen = mixes.flatMap { mix in Self.borderKinds.compactMap { mix.steps["\(name).\($0)"] } }
            if let most = seen.max() {
                borderTimes[value] = most
                seconds += most
                count += try elements(value)
            } else {
                unseen.append(value)
            }
        }
        // A value that is nowhere a border takes what others do an element.
        for value in unseen { borderTimes[value] = count > 0 ? seconds / count * (try elements(value)) : 0 }
        let places = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($1, $0) })
        let readers = Dictionary(grouping: layers) { quantisation.layers[$0].map(\.input) }
        var (expected, measured) = (0.0, 0.0)
        for (parity, mix) in mixes.enumerated() {
            func isFloat(_ node: Int) -> Bool { places[node].map { $0 % 2 == parity } ?? false }
            for value in quantisation.values {
                let touching = Set(((readers[value] ?? []) + (quantisation.makers[value].map { [$0] } ?? [])).map(isFloat))
                if touching.count == 2 { expected += borderTimes[value] ?? 0 }
            }
            measured += mix.whole - integerRun - layers.filter(isFloat).reduce(0) { $0 + (floatTimes[$1] ?? 0) }
        }
        // Borders take some time, whatever short runs seem to say.
        if expected > 0 { borderTimes = borderTimes.mapValues { $0 * max(0.1, measured / expected) } }
    }

    /// The ends of the names of nodes at borders.
    private static let borderKinds = ["quantize", "dequantize"]

    /// The median time of each step, by the names of nodes in it, and of a whole run. What several nodes of `work` take together is shared by their work.
    private static func times(
        _ graph: Graph, _ work: [String: Double], _ batch: CalibrationBatch, _ state: Binding, _ context: CompressionContext
    ) throws -> (steps: [String: Double], whole: Double) {
        let pool = try ThreadPool(threadCount: context.threads)
        let backends = BackendSet([CPUBackend(pool: pool, isa: context.instructionSet.usableMask, activation: .int8), ReferenceBackend(pool: pool)])
        let compiled = try CompiledGraph(context.passes.run(graph), backends: backends)
        let plan = try ExecutionContext(compiled, stateBinding: state).plan(batch.binding)
        for id in compiled.graph.inputs where plan.holds(id) {
            if let tensor = batch.inputs[compiled.graph[id].name] { try plan.write(tensor, to: id) }
        }
        var (steps, wholes): ([String: [Double]], [Double]) = ([:], [])
        let clock = ContinuousClock()
        // Runs follow each other as they will in use: between them and after a profile threads fall asleep.
        for run in 0..<warmUps + runs {
            try Task.checkCancellation()
            let start = clock.now
            try plan.run()
            if run >= warmUps { wholes.append((clock.now - start) / .nanoseconds(1)) }
        }
        for run in 0..<warmUps + runs {
            try Task.checkCancellation()
            let timings = try plan.profile()
            guard run >= warmUps else { continue }
            for timing in timings {
                let names = timing.node.components(separatedBy: " → ").filter { work[$0] != nil }
                let all = names.reduce(0) { $0 + (work[$1] ?? 0) }
                for name in names { steps[name, default: []].append(Double(timing.nanoseconds) * (work[name] ?? 0) / max(1, all)) }
            }
        }
        // A name that comes more than once in a run counts in full.
        return (steps.mapValues { median($0) * Double($0.count / runs) }, median(wholes))
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
