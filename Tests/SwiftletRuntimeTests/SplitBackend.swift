// A backend for tests: another one under its own name, for a selection of nodes, so that a graph is cut where the test wants it.
import SwiftletRuntime

struct SplitBackend: Backend {
    let name: String
    let base: any Backend
    let selects: @Sendable (Node) -> Bool

    init(_ base: any Backend, name: String, selects: @escaping @Sendable (Node) -> Bool) {
        self.name = name
        self.base = base
        self.selects = selects
    }

    /// Above every other backend for the selected nodes, nothing for the rest.
    func preference(for node: Node, in graph: Graph) -> Int {
        selects(node) && base.preference(for: node, in: graph) > 0 ? 1000 : 0
    }

    func compile(_ partition: Partition) throws -> any Program { try base.compile(partition) }
}
