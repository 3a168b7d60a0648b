// A graph compiled for a set of backends: programs in execution order, ready to be shared by any number of sessions.

/// An immutable, runnable model. Sessions run it through an `ExecutionContext` each.
package final class CompiledGraph: Sendable {
    package let graph: Graph
    package let stages: [Stage]

    package struct Stage: Sendable {
        package let backend: String
        package let partition: Partition
        package let program: any Program
    }

    /// Verifies `graph`, cuts it by backend preference and compiles every part.
    package init(_ graph: Graph, backends: BackendSet) throws {
        try graph.verify()
        self.graph = graph
        stages = try Partitioning(graph, backends: backends).parts.map { backend, partition in
            Stage(backend: backend.name, partition: partition, program: try backend.compile(partition))
        }
    }
}
