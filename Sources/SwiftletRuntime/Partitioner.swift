// Colours the nodes of a graph by backend and cuts it into runs of one colour. Nodes are in topological order, so every run can be
// computed as a whole once the runs before it are done.

/// The graph cut into partitions, in execution order, with the backend of each.
package struct Partitioning: Sendable {
    package let parts: [(backend: any Backend, partition: Partition)]

    /// Throws `SwiftletError.unsupported` naming the first node that no backend runs.
    package init(_ graph: Graph, backends: BackendSet) throws {
        let colours = try graph.nodes.map { node in
            var best: (index: Int, preference: Int)?
            for (index, backend) in backends.backends.enumerated() {
                let preference = backend.preference(for: node, in: graph)
                if preference > (best?.preference ?? 0) { best = (index, preference) }
            }
            guard let best else {
                throw SwiftletError.unsupported(
                    file: graph.name, place: node.name, reason: "no backend runs \(node.op)",
                    remedy: "Add a backend that does (tried: \(backends.backends.map(\.name).joined(separator: ", "))).")
            }
            return best.index
        }

        var runs: [Range<Int>] = []
        for index in colours.indices {
            if let last = runs.last, colours[last.lowerBound] == colours[index] {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }

        let roots = graph.storageRoots()
        func root(_ id: ValueID) -> ValueID { roots[id] ?? id }
        var lastReader: [ValueID: Int] = [:]
        for (index, run) in runs.enumerated() {
            for node in graph.nodes[run] { for input in node.inputs { lastReader[root(input)] = index } }
        }
        for output in graph.outputs { lastReader[root(output)] = runs.count }

        parts = runs.enumerated().map { index, run in
            var produced: [ValueID] = [], read: [ValueID] = []
            var seenProduced = Set<ValueID>(), seenRead = Set<ValueID>()
            for node in graph.nodes[run] {
                for input in node.inputs.map(root) {
                    let value = graph[input]
                    if value.weight == nil, value.state == nil, !seenProduced.contains(input), seenRead.insert(input).inserted { read.append(input) }
                }
                for output in node.outputs where !node.op.aliasesFirstInput && seenProduced.insert(output).inserted { produced.append(output) }
            }
            let outputs = produced.filter { (lastReader[$0] ?? -1) > index }
            let partition = Partition(graph: graph, nodes: run, inputs: read, outputs: outputs, roots: roots)
            return (backends.backends[colours[run.lowerBound]], partition)
        }
    }
}
