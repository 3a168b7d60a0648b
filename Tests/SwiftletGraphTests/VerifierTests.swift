// Every rule of the verifier: a graph that breaks just this one is refused, and the message names the place.
import SwiftletGraph
import TestSupport
import Testing

@Suite struct VerifierTests {
    /// Expects that `change` makes the llama fixture invalid at `place`, for a reason that contains `reason`.
    private func expectInvalid(
        at place: String, _ reason: String, sourceLocation: SourceLocation = #_sourceLocation, _ change: (inout Graph) throws -> Void
    ) throws {
        var graph = try LlamaFixture.graph(layers: 1)
        try graph.verify()
        try change(&graph)
        let error = try #require(throws: SwiftletError.self, sourceLocation: sourceLocation) { try graph.verify() }
        guard case .invalidGraph(let node, let text, _) = error else {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return
        }
        #expect(node == place, sourceLocation: sourceLocation)
        #expect(text.contains(reason), "\(text)", sourceLocation: sourceLocation)
    }

    @Test func idsMustExist() throws {
        try expectInvalid(at: "embedding", "operand %9999 does not exist") { try $0.edit("embedding") { $0.inputs[1] = ValueID(9999) } }
        try expectInvalid(at: "embedding", "result %-1 does not exist") { try $0.edit("embedding") { $0.outputs = [ValueID(-1)] } }
        try expectInvalid(at: "llama fixture", "output %9999") { $0.outputs.append(ValueID(9999)) }
        try expectInvalid(at: "llama fixture", "input %9999") { $0.inputs.append(ValueID(9999)) }
    }

    @Test func inputsMustBeInputsAndUnique() throws {
        try expectInvalid(at: "embedding", "is listed as an input") { $0.inputs.append(try $0.value(named: "embedding")) }
        try expectInvalid(at: "tokens", "two inputs have this name") { $0.inputs.append($0.inputs[0]) }
        try expectInvalid(at: "embedding", "missing from the graph's inputs") { $0.inputs.removeFirst() }
    }

    @Test func nodeNamesMustBeUnique() throws {
        try expectInvalid(at: "embedding", "used by another node") { try $0.edit("output") { $0.name = "embedding" } }
        try expectInvalid(at: "", "empty") { try $0.edit("output") { $0.name = "" } }
    }

    @Test func operandsMustBeDefinedBeforeUse() throws {
        try expectInvalid(at: "output_norm", "is used before 'rows wanted' computes it") { graph in
            let (a, b) = (graph.nodes.count - 4, graph.nodes.count - 3)
            graph.nodes.swapAt(a, b)
        }
        try expectInvalid(at: "blk.0/attn_norm", "computed by no node") { $0.nodes.removeFirst() }
        try expectInvalid(at: "llama fixture", "output 'output' is computed by no node") { $0.nodes.removeLast() }
    }

    @Test func cyclesAreFound() throws {
        try expectInvalid(at: "blk.0/attn_norm", "there is a cycle") { graph in
            let late = try graph.value(named: "blk.0/ffn.residual")
            try graph.edit("blk.0/attn_norm") { $0.inputs[0] = late }
        }
    }

    @Test func valuesMustBeComputedOnce() throws {
        try expectInvalid(at: "copy", "computes 'embedding' a second time") { graph in
            var copy = try graph.node(named: "embedding")
            copy.name = "copy"
            graph.nodes.insert(copy, at: 1)
        }
        try expectInvalid(at: "blk.0/ffn.residual", "which is a weight") { graph in
            // A weight of the type of the result, so that only its role is wrong.
            let weight = try Weight(name: "w", shape: [1, 16], format: .dense(.f32), store: WeightStore([Float](repeating: 0, count: 16)))
            let id = graph.add(Value(name: "w", type: weight.type, origin: .weight(weight)))
            graph[id].type = graph[try graph.value(named: "embedding")].type
            try graph.edit("blk.0/ffn.residual") { $0.outputs = [id] }
        }
    }

    @Test func storedTypesMustBeTheInferredOnes() throws {
        try expectInvalid(at: "rows wanted", "but computed as f32[rows, 16]") { graph in
            graph[try graph.value(named: "rows wanted")].type = ValueType(.f32, ["rows", 17])
        }
        try expectInvalid(at: "token_embd.weight", "but its data is f32[32, 16]") { graph in
            graph[try graph.value(named: "token_embd.weight")].type = ValueType(.f32, [33, 16])
        }
        try expectInvalid(at: "blk.0/cache_k", "not the shape of the state") { graph in
            graph[try graph.value(named: "blk.0/cache_k")].type = ValueType(.f32, ["slots", 2, 16, 4])
        }
        try expectInvalid(at: "blk.0/q+k", "results where 2") { graph in
            try graph.edit("blk.0/q") { node in
                node.name = "blk.0/q+k"
                node.op = .linear(Linear(weightCount: 2))
                node.inputs.append(node.inputs[1])
            }
        }
    }

    @Test func statesAreReadOnlyWhereTheyMayBe() throws {
        try expectInvalid(at: "blk.0/k.write", "must be a state") { graph in
            // A computed tensor of the shape of a cache.
            let table = try graph.value(named: "blk.0/cache_k")
            let type = graph[table].type
            let id = graph.add(Value(name: "pretender", type: type, origin: .input))
            try graph.edit("blk.0/k.write") { $0.inputs[0] = id }
        }
        try expectInvalid(at: "reader", "reads the state 'blk.0/cache_k' as operand 0") { graph in
            let written = try graph.value(named: "blk.0/k.write")
            let id = graph.add(Value(name: "reader", type: graph[written].type, origin: .node))
            graph.nodes.append(Node(name: "reader", op: .unary(.relu), inputs: [written], outputs: [id]))
        }
        try expectInvalid(at: "blk.0/v.write", "output of the graph") { $0.outputs.append(try $0.value(named: "blk.0/v.write")) }
    }

    @Test func aStateIsNotReadAsItWasBeforeAWrite() throws {
        try expectInvalid(at: "blk.0/attention", "before a write that has already happened") { graph in
            let state = try graph.value(named: "blk.0/cache_k")
            try graph.edit("blk.0/attention") { $0.inputs[1] = state }
        }
        try expectInvalid(at: "again", "before a write") { graph in
            var write = try graph.node(named: "blk.0/k.write")
            let result = graph.add(Value(name: "again", type: graph[write.outputs[0]].type, origin: .node))
            (write.name, write.outputs) = ("again", [result])
            graph.nodes.append(write)
        }
    }

    @Test func blocksAreReadByLinearAndEmbeddingOnly() throws {
        var b = GraphBuilder(name: "blocks")
        let store = try WeightStore([UInt8](repeating: 0, count: 34))
        let weight = b.weight("w", try Weight(name: "w", shape: [1, 32], format: .block(.q8_0), store: store))
        b.output(try b.linear(b.input("x", .f32, ["t", 32]), weight, name: "linear"))
        b.output(try b.embedding(weight, b.input("ids", .i32, ["t"]), name: "rows"))
        try b.graph.verify()
        b.output(try b.unary(.relu, weight, name: "relu"))
        let error = try #require(throws: SwiftletError.self) { try b.graph.verify() }
        #expect("\(error)".contains("relu") && "\(error)".contains("Q8_0"))
    }
}
