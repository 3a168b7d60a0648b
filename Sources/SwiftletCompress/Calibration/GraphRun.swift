// Running a graph on calibration data and looking at values inside it: what all measurements are made with.
//
// A value that is looked at becomes an output of a copy of the graph. Passes leave outputs alone, so what is fused around it still is, and the
// numbers are those the model really computes on this machine's kernels.
import SwiftletRuntime

/// A graph compiled with some of its values in view.
package struct GraphRun {
    /// Values of one batch, valid during the call.
    package struct Values {
        fileprivate let plan: BoundGraph
        fileprivate let graph: Graph

        /// The elements of an f32 value that is in view.
        package func floats(_ id: ValueID) throws -> UnsafeBufferPointer<Float> {
            UnsafeBufferPointer(try plan.elements(of: id, as: Float.self))
        }

        /// Its shape in this batch.
        package func shape(_ id: ValueID) throws -> Shape { try graph[id].type.shape(under: plan.binding) }
    }

    private let compiled: CompiledGraph

    /// Compiles what is needed for `values`; inputs of the graph may be among them.
    package init(_ graph: Graph, values: [ValueID], in context: CompressionContext) throws {
        var seen = Set<ValueID>()
        var graph = graph
        graph.outputs = values.filter { id in
            guard case .node = graph[id].origin else { return false }
            return seen.insert(id).inserted
        }
        let pool = try ThreadPool(threadCount: context.threads)
        // Activations in 15 bits: calibration measures the model, not the rounding of one backend.
        let cpu = CPUBackend(pool: pool, isa: context.instructionSet.usableMask, activation: .int15)
        compiled = try CompiledGraph(context.passes.run(graph), backends: BackendSet([cpu, ReferenceBackend(pool: pool)]))
    }

    /// Runs every batch in order.
    package func forEachBatch(of data: any CalibrationData, _ body: (Int, Values) throws -> Void) throws {
        let context = try ExecutionContext(compiled, stateBinding: data.stateBinding)
        for index in 0..<data.batchCount {
            try Task.checkCancellation()
            let batch = try data.batch(index)
            let plan = try context.plan(batch.binding)
            for id in compiled.graph.inputs {
                let name = compiled.graph[id].name
                guard plan.holds(id) else { continue }
                guard let tensor = batch.inputs[name] else {
                    throw SwiftletError.invalidArgument(
                        name: name, reason: "the calibration data have nothing for this input", remedy: "Give data for every input of the model.")
                }
                try plan.write(tensor, to: id)
            }
            try plan.run()
            try body(index, Values(plan: plan, graph: compiled.graph))
        }
    }
}
