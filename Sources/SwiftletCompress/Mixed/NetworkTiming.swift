// How long the layers of a network take here, in integers and in floats, and what it costs to go from one to the other: the network itself is run
// and each of its steps timed, once in integers, once in floats, and twice with every other layer in floats, so that there is a border at every value.
import SwiftletRuntime

/// Measured times, in nanoseconds.
package struct NetworkTiming {
    /// Of one run with all layers in integers.
    package let integerRun: Double
    /// How much longer a layer takes in floats, by the index of its node; may be negative.
    package private(set) var floatTimes: [Int: Double] = [:]
    /// Of rounding a value, or of making floats of it again.
    package private(set) var borderTimes: [ValueID: Double] = [:]

    /// Runs before the clock counts, and runs of which the median counts.
    private static let (warmUps, runs) = (3, 21)

    package init(_ quantisation: StaticQuantisation, data: any CalibrationData, in context: CompressionContext) throws {
        let batch = try data.batch(0)
        let layers = quantisation.layers.keys.sorted()
        func precisions(_ isFloat: (Int) -> Bool) -> [Int: LayerPrecision] {
            Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($1, isFloat($0) ? .float : .int8) })
        }
        func times(_ isFloat: (Int) -> Bool) throws -> (steps: [String: Double], whole: Double) {
            try Self.times(quantisation.graph(precisions(isFloat)).graph, batch, data.stateBinding, context)
        }
        let (integers, floats) = (try times { _ in false }, try times { _ in true })
        integerRun = integers.whole
        for node in layers {
            let name = quantisation.graph.nodes[node].name
            floatTimes[node] = (floats.steps[name] ?? 0) - (integers.steps[name] ?? 0)
        }
        var (seconds, elements) = (0.0, 0.0)
        let borders = try [0, 1].map { parity in try times { $0 % 2 == parity }.steps }
        var unseen: [(ValueID, Double)] = []
        for value in quantisation.values {
            let count = Double(try quantisation.graph[value].type.shape(under: batch.binding).elementCount)
            let name = quantisation.graph[value].name
            let seen = borders.flatMap { steps in ["quantize", "dequantize"].compactMap { steps["\(name).\($0)"] } }
            if let most = seen.max() {
                borderTimes[value] = most
                seconds += most
                elements += count
            } else {
                unseen.append((value, count))
            }
        }
        // A value that is nowhere a border takes what others do an element.
        for (value, count) in unseen { borderTimes[value] = elements > 0 ? seconds / elements * count : 0 }
    }

    /// The median time of each step, by the name of the first node in it that has one, and of a whole run.
    private static func times(
        _ graph: Graph, _ batch: CalibrationBatch, _ state: Binding, _ context: CompressionContext
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
        for run in 0..<warmUps + runs {
            try Task.checkCancellation()
            let start = clock.now
            try plan.run()
            let whole = (clock.now - start) / .nanoseconds(1)
            let timings = try plan.profile()
            guard run >= warmUps else { continue }
            wholes.append(whole)
            for timing in timings { for name in timing.node.split(separator: " → ").prefix(1) { steps[String(name), default: []].append(Double(timing.nanoseconds)) } }
        }
        // A name that comes more than once in a run counts in full.
        return (steps.mapValues { median($0) * Double($0.count / runs) }, median(wholes))
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
