// How long a matrix product takes here: measured with the kernels that will run it, not guessed from bytes.
import SwiftletRuntime

/// Times products of one row (a token) with matrices; equal shapes in equal formats are timed once.
package struct LayerTiming {
    private struct Key: Hashable {
        let shape: Shape
        let format: WeightFormat
    }

    private let isa: InstructionSet
    private let pool: ThreadPool
    private var known: [Key: Int] = [:]

    /// Runs before the clock counts, and runs of which the median counts.
    private static let (warmUps, runs) = (3, 15)

    package init(isa: InstructionSet, pool: ThreadPool) {
        self.isa = isa
        self.pool = pool
    }

    /// Nanoseconds of `x·Wᵀ` for one row x with the layer's matrix in `format`.
    package mutating func nanoseconds(_ layer: Layer, _ format: WeightFormat) throws -> Int {
        let key = Key(shape: layer.weight.shape, format: format)
        if let time = known[key] { return time }
        let weight = try layer.weight.stored(as: format, searches: false, name: layer.name, pool: pool)
        var builder = GraphBuilder(name: "timing")
        let x = builder.input("x", .f32, [1, Dimension(weight.columnCount)])
        builder.output(try builder.linear(x, builder.weight(layer.name, weight), name: "y"))
        let context = try ExecutionContext(
            CompiledGraph(builder.graph, backends: BackendSet([CPUBackend(pool: pool, isa: isa.usableMask, activation: .int8)])), stateBinding: [:])
        let plan = try context.plan([:])
        // Ones: the speed does not depend on the numbers, but subnormals would be slow.
        for index in try plan.elements(of: x, as: Float.self).indices { try plan.elements(of: x, as: Float.self)[index] = 1 }
        let clock = ContinuousClock()
        var times: [Int] = []
        for run in 0..<Self.warmUps + Self.runs {
            let start = clock.now
            try plan.run()
            if run >= Self.warmUps { times.append(Int((clock.now - start) / .nanoseconds(1))) }
        }
        let time = times.sorted()[times.count / 2]
        known[key] = time
        return time
    }
}
