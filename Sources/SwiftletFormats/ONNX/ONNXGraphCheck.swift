// The rules of names and order that make a list of nodes a graph, and the sort that makes an unordered list one.
//
//   one definition a name   an input, an initialiser or a node's output; an initialiser may share its name with an input, whose default it is
//   no dangling names       whatever a node reads, or a graph gives out, is defined in its graph or in one around it
//   no cycles               a node reads, itself or through a graph inside it, only what nodes before it make, once they are sorted
//   types agree             an initialiser has the type and shape declared for its name
// A name of a graph hides the same name of the graphs around it, as with the onnx package's own checker.
// Source: docs/IR.md of github.com/onnx/onnx.
import SwiftletTensor

/// Checks the graphs of one model. All methods throw `SwiftletError.invalidGraph` with the node or value at fault.
struct ONNXGraphCheck {
    let file: String
    /// The operator sets that the nodes checked may be from, by domain.
    let operatorSets: [String: Int]

    /// Checks a graph and those inside it, and sorts their nodes. `outer` are the names of each graph around it, the innermost last; none for
    /// the main graph and for functions.
    func check(_ graph: inout ONNXGraph, outer: [Set<String>] = []) throws {
        let makers = try definitions(graph)
        try checkTypes(graph)
        var captures: Set<String> = []
        // For each node, the nodes that must come before it, by index in the file.
        var needs: [[Int]] = []
        needs.reserveCapacity(graph.nodes.count)
        // Made once, and only when there is a graph inside that sees these names.
        var scopes: [Set<String>]?

        /// The index of the node that makes `name`, −1 for inputs and initialisers, nil for a value of a graph around this one.
        func maker(of name: String, _ error: @autoclosure () -> SwiftletError) throws -> Int? {
            if let maker = makers[name] { return maker }
            guard outer.contains(where: { $0.contains(name) }) else { throw error() }
            captures.insert(name)
            return nil
        }

        for index in graph.nodes.indices {
            let node = graph.nodes[index]
            guard operatorSets[node.domain] != nil else {
                throw invalid(node.label, "the model does not import the operator set '\(node.domain)' that the node is from")
            }
            var read: Set<Int> = []
            func add(_ name: String) throws {
                let maker = try maker(of: name, invalid(node.label, "reads '\(name)', which nothing defines"))
                if let maker, maker >= 0 { read.insert(maker) }
            }
            for name in node.inputs where !name.isEmpty { try add(name) }
            if !node.subgraphs.isEmpty {
                let inner = scopes ?? outer + [Set(makers.keys)]
                scopes = inner
                for name in try checkSubgraphs(&graph.nodes[index], inner) { try add(name) }
            }
            needs.append(Array(read))
        }
        for output in graph.outputs {
            _ = try maker(of: output.name, invalid(output.name, "this output of the graph '\(graph.name)' is defined by nothing"))
        }
        if let order = try order(needs, graph.nodes) { graph.nodes = order.map { graph.nodes[$0] } }
        graph.captures = captures.sorted()
    }

    /// Checks the graphs of a node and returns the names they read from around them.
    private func checkSubgraphs(_ node: inout ONNXNode, _ outer: [Set<String>]) throws -> Set<String> {
        var captures: Set<String> = []
        for index in node.attributes.indices {
            switch node.attributes[index].value {
            case .graph(var graph):
                try check(&graph, outer: outer)
                captures.formUnion(graph.captures)
                node.attributes[index].value = .graph(graph)
            case .graphs(var graphs):
                for position in graphs.indices {
                    try check(&graphs[position], outer: outer)
                    captures.formUnion(graphs[position].captures)
                }
                node.attributes[index].value = .graphs(graphs)
            default: break
            }
        }
        return captures
    }

    // MARK: - Definitions

    /// Every name the graph defines, with the index of the node that makes it; −1 for inputs and initialisers.
    private func definitions(_ graph: ONNXGraph) throws -> [String: Int] {
        var makers: [String: Int] = [:]
        for input in graph.inputs {
            guard !input.name.isEmpty else { throw invalid("graph '\(graph.name)'", "an input has no name") }
            guard makers.updateValue(-1, forKey: input.name) == nil else { throw invalid(input.name, "two graph inputs have this name") }
        }
        var initialized: Set<String> = []
        for tensor in graph.initializers {
            guard !tensor.name.isEmpty else { throw invalid("graph '\(graph.name)'", "an initialiser has no name") }
            guard initialized.insert(tensor.name).inserted else { throw invalid(tensor.name, "two initialisers have this name") }
            makers[tensor.name] = -1
        }
        for (index, node) in graph.nodes.enumerated() {
            for output in node.outputs where !output.isEmpty {
                guard let other = makers.updateValue(index, forKey: output) else { continue }
                let definer = other < 0 ? "a graph input or initialiser" : "the node \(graph.nodes[other].label)"
                throw invalid(node.label, "makes '\(output)', which \(definer) defines already")
            }
        }
        return makers
    }

    private func checkTypes(_ graph: ONNXGraph) throws {
        var declared: [String: ONNXType] = [:]
        for value in graph.inputs + graph.values {
            guard let type = value.type else { continue }
            // A list of values may repeat the inputs.
            if let other = declared.updateValue(type, forKey: value.name), other.contradicts(type) {
                throw invalid(value.name, "the value is declared as \(other) and as \(type)")
            }
        }
        for tensor in graph.initializers {
            guard let type = declared[tensor.name], !type.accepts(tensor.type, tensor.shape.dimensions) else { continue }
            throw invalid(tensor.name, "the initialiser is \(tensor.type)\(tensor.shape) where \(type) is declared")
        }
    }

    // MARK: - Order

    /// The nodes' indices in an order in which each comes after those it needs; nil when they are in such an order. Among the nodes that are
    /// ready the first of the file comes first.
    private func order(_ needs: [[Int]], _ nodes: [ONNXNode]) throws -> [Int]? {
        if zip(needs.indices, needs).allSatisfy({ index, needed in needed.allSatisfy { $0 < index } }) { return nil }
        var readers = [[Int]](repeating: [], count: needs.count)
        for (index, needed) in needs.enumerated() { for maker in needed { readers[maker].append(index) } }
        var open = needs.map(\.count)
        var ready = SmallestFirst(open.indices.filter { open[$0] == 0 })
        var order: [Int] = []
        while let next = ready.removeSmallest() {
            order.append(next)
            for reader in readers[next] {
                open[reader] -= 1
                if open[reader] == 0 { ready.insert(reader) }
            }
        }
        guard order.count == needs.count else {
            throw invalid(
                nodes[onCycle(needs, open)].label, "the node reads, directly or through others, what it makes itself: the graph has a cycle"
            )
        }
        return order
    }

    /// A node of a cycle, given how many needs of each node the sort left open: going from need to need never leaves those nodes, so it meets
    /// one of them again.
    private func onCycle(_ needs: [[Int]], _ open: [Int]) -> Int {
        var seen: Set<Int> = []
        var node = open.firstIndex { $0 > 0 } ?? 0
        while seen.insert(node).inserted { node = needs[node].filter { open[$0] > 0 }.min() ?? node }
        return node
    }

    private func invalid(_ node: String, _ reason: String) -> SwiftletError {
        .invalidGraph(node: node, reason: "\(reason), in \(file)", remedy: ONNXTensorReader.remedy)
    }
}

/// A binary heap of indices.
private struct SmallestFirst {
    private var heap: [Int]

    /// `ascending` is sorted, which makes it a heap.
    init(_ ascending: [Int]) { heap = ascending }

    mutating func insert(_ value: Int) {
        heap.append(value)
        var child = heap.count - 1
        while child > 0, heap[(child - 1) / 2] > heap[child] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeSmallest() -> Int? {
        guard let smallest = heap.first, let last = heap.popLast() else { return nil }
        if heap.isEmpty { return smallest }
        heap[0] = last
        var parent = 0
        while 2 * parent + 1 < heap.count {
            var child = 2 * parent + 1
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            if heap[parent] <= heap[child] { break }
            heap.swapAt(parent, child)
            parent = child
        }
        return smallest
    }
}
