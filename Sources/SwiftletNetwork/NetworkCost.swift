// What running an imported network costs, for inputs of given shapes, before it runs: operations, and memory of activations.
import SwiftletFormats
import SwiftletRuntime

/// The cost of one run.
package struct NetworkCost: Sendable {
    /// Multiply-accumulates of convolutions, matrix products and recurrent layers.
    package let multiplyAccumulates: Int
    /// Bytes of the inputs and of everything computed, each with memory of its own: what a run without a plan would hold.
    package let activationBytes: Int
    /// Bytes of the one arena that a run uses: fused, planned by lifetimes, with the scratch memory of kernels.
    package let plannedBytes: Int
    /// Nil for a network without depthwise convolutions.
    package let depthwise: DepthwiseSaving?

    /// Imports and compiles a model for the shapes its file declares, those in `shapes` (by input) where it leaves them open.
    ///
    /// Throws `SwiftletError.invalidArgument` naming an input whose shape is open, unknown or wrong, `.unsupported` where shapes or operators
    /// depend on data, so that only a run tells, and whatever the import meets.
    package init(_ file: ONNXFile, shapes: [String: [Int]]) throws {
        let network = try NetworkGraph(file, shapes: shapes)
        let graph = try DeadCodeElimination().run(network.graph)
        multiplyAccumulates = try graph.multiplyAccumulates(under: [:])
        depthwise = try graph.depthwiseSaving(under: [:])
        let roots = graph.storageRoots()
        let values = graph.inputs + graph.nodes.flatMap(\.outputs).filter { roots[$0] == nil }
        activationBytes = try values.reduce(0) { $0 + (try graph[$1].type.byteCount(under: [:])) }

        let computed = graph.outputs.filter { if case .node = graph[$0].origin { true } else { false } }
        guard !computed.isEmpty else {
            plannedBytes = 0
            return
        }
        var runnable = network
        runnable.graph.outputs = computed
        let pool = try ThreadPool(threadCount: 1)
        let backends = BackendSet([CPUBackend(pool: pool, isa: try InstructionSet.resolve(nil).usableMask), ReferenceBackend(pool: pool)])
        let context = try ExecutionContext(CompiledGraph(runnable.fused(), backends: backends), stateBinding: [:])
        _ = try context.plan([:])
        plannedBytes = context.arenaBytes
    }
}
