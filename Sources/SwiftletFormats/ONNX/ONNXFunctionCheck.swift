// The rules of model-local functions: one of a kind, attributes that lead somewhere, no recursion.
// Source: docs/IR.md of github.com/onnx/onnx, "Model-local functions".
import SwiftletTensor

/// Checks how functions hang together. Throws `SwiftletError.invalidGraph` with the function or node at fault.
struct ONNXFunctionCheck {
    /// What a node names when it calls a function.
    private struct Key: Hashable {
        let domain, name, overload: String
    }

    let file: String

    init(file: String) { self.file = file }

    func check(_ functions: [ONNXFunction], main: ONNXGraph) throws {
        var indices: [Key: Int] = [:]
        for (index, function) in functions.enumerated() {
            let key = Key(domain: function.domain, name: function.name, overload: function.overload)
            guard indices.updateValue(index, forKey: key) == nil else { throw invalid(function.name, "two functions have this name") }
            var names: Set<String> = []
            for name in function.attributes + function.attributeDefaults.map(\.name) where !names.insert(name).inserted {
                throw invalid(function.name, "the function has the attribute '\(name)' twice")
            }
            for value in function.attributeDefaults {
                if case .reference = value.value { throw invalid(function.name, "the default of '\(value.name)' is a reference") }
            }
            try checkReferences(function.body, known: names)
        }
        try checkReferences(main, known: nil)
        let calls = functions.map { function in
            callees(function.body).compactMap { indices[$0] }
        }
        try checkRecursion(calls, functions)
    }

    /// References to attributes name one the function has; the main graph (`known` is nil) has nothing to refer to.
    private func checkReferences(_ graph: ONNXGraph, known: Set<String>?) throws {
        for node in graph.nodes {
            for attribute in node.attributes {
                guard case .reference(let name) = attribute.value else { continue }
                guard let known else { throw invalid(node.label, "the attribute '\(attribute.name)' is a reference outside of a function") }
                guard known.contains(name) else {
                    throw invalid(node.label, "the attribute '\(attribute.name)' refers to '\(name)', which the function does not have")
                }
            }
            for (_, subgraph) in node.subgraphs { try checkReferences(subgraph, known: known) }
        }
    }

    private func callees(_ graph: ONNXGraph) -> Set<Key> {
        var keys: Set<Key> = []
        for node in graph.nodes {
            keys.insert(Key(domain: node.domain, name: node.op, overload: node.overload))
            for (_, subgraph) in node.subgraphs { keys.formUnion(callees(subgraph)) }
        }
        return keys
    }

    /// Takes away, again and again, the functions that call no other that is left: recursion is what stays.
    private func checkRecursion(_ calls: [[Int]], _ functions: [ONNXFunction]) throws {
        var callers = [[Int]](repeating: [], count: calls.count)
        for (index, callees) in calls.enumerated() { for callee in callees { callers[callee].append(index) } }
        var open = calls.map(\.count)
        var done = open.indices.filter { open[$0] == 0 }
        var next = 0
        while next < done.count {
            for caller in callers[done[next]] {
                open[caller] -= 1
                if open[caller] == 0 { done.append(caller) }
            }
            next += 1
        }
        if let index = open.firstIndex(where: { $0 > 0 }) {
            throw invalid(functions[index].name, "the function calls itself, directly or through others")
        }
    }

    private func invalid(_ node: String, _ reason: String) -> SwiftletError {
        .invalidGraph(node: node, reason: "\(reason), in \(file)", remedy: ONNXTensorReader.remedy)
    }
}
