// Models that break a rule: each gives a typed error that names the node or value at fault and the file.
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

@Suite struct ONNXHostileTests {
    private func expectError(_ bytes: [UInt8], _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) {
        let error = #expect(throws: SwiftletError.self, sourceLocation: sourceLocation) { try ONNXFile(bytes: bytes, name: "hostile.onnx") }
        guard let text = error?.description else { return }
        #expect(
            text.contains("hostile.onnx") && words.allSatisfy { text.contains($0) }, "\(text)", sourceLocation: sourceLocation)
    }

    private func expectError(_ graph: RawMessage, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) {
        let error = #expect(throws: SwiftletError.self, sourceLocation: sourceLocation) {
            try ONNXFile(bytes: RawONNX.model(graph), name: "hostile.onnx")
        }
        guard let text = error?.description else { return }
        #expect(
            text.contains("hostile.onnx") && words.allSatisfy { text.contains($0) }, "\(text)", sourceLocation: sourceLocation)
    }

    private let x = RawONNX.value("x", [2])
    private let y = RawONNX.value("y", [2])

    @Test func filesThatAreNoModels() {
        expectError([], "no version")
        expectError(Array("GGUF and more".utf8), "byte")
        expectError(Array(repeating: 0, count: 100), "byte 0", "no field number")
        expectError(Array(repeating: 0xFF, count: 100), "more than ten bytes")
        expectError([0x0B], "wire type 3")
        expectError([0x08], "ends inside field 1")
        expectError([0x3A, 0x05, 0x00], "field 7 needs 5 bytes; its message has 1 left")
        expectError([0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], "needs 18446744073709551615 bytes")
        expectError([0x08, 0x08, 0x38, 0x01], "field 7 has the wrong wire type")
    }

    @Test func versions() throws {
        let graph = RawONNX.graph(inputs: [x], outputs: [RawONNX.untyped("x")])
        for ir in [-1, 0, 1, 2, 15, .max] { expectError(RawONNX.model(graph, ir: ir), "ir_version", "\(ir)") }
        for ir in [3, 14] { #expect(try ONNXFile(bytes: RawONNX.model(graph, ir: ir), name: "ok").irVersion == ir) }
        expectError(RawONNX.model(graph, ir: nil), "no version of the intermediate representation")
        expectError(RawONNX.model(nil), "no graph")
        expectError(RawONNX.model(graph, operatorSets: []), "no operator set")
        for version in [-1, 0, 6, 29, .max] {
            expectError(RawONNX.model(graph, operatorSets: [("", version)]), "opset_import", "version \(version)")
        }
        for version in [7, 28] {
            #expect(
                try ONNXFile(bytes: RawONNX.model(graph, operatorSets: [("ai.onnx", version)]), name: "ok").operatorSets == [
                    "ai.onnx": version
                ])
        }
        expectError(RawONNX.model(graph, operatorSets: [("", 17), ("ai.onnx", 18)]), "two versions")
        #expect(
            try ONNXFile(bytes: RawONNX.model(graph, operatorSets: [("", 17), ("other", 999)]), name: "ok").operatorSets["other"] == 999)
        let custom = RawONNX.graph(inputs: [x], outputs: [y], nodes: [RawONNX.node("Op", ["x"], ["y"], name: "n", domain: "com.other")])
        expectError(custom, "n (Op)", "does not import the operator set 'com.other'")
    }

    @Test func namesAreDefinedOnceAndBeforeTheyAreRead() {
        func graph(_ nodes: [RawMessage], inputs: [RawMessage]? = nil, initializers: [RawMessage] = []) -> RawMessage {
            RawONNX.graph(inputs: inputs ?? [x], outputs: [y], nodes: nodes, initializers: initializers)
        }
        expectError(graph([RawONNX.node("Relu", ["z"], ["y"], name: "act")]), "act (Relu)", "reads 'z', which nothing defines")
        expectError(graph([RawONNX.node("Relu", ["x"], ["z"])]), "'y'", "this output of the graph 'g' is defined by nothing")
        expectError(
            graph([RawONNX.node("Relu", ["x"], ["y"]), RawONNX.node("Neg", ["x"], ["y"])]), "Neg (node 1)", "makes 'y'", "Relu (node 0)")
        expectError(graph([RawONNX.node("Split", ["x"], ["y", "y"])]), "makes 'y'")
        expectError(graph([RawONNX.node("Relu", ["x"], ["x"])]), "makes 'x'", "a graph input or initialiser")
        expectError(graph([RawONNX.node("Relu", ["x"], ["w"])], initializers: [RawONNX.tensor("w", [1], raw: [1])]), "makes 'w'")
        expectError(graph([], inputs: [x, x]), "two graph inputs")
        expectError(graph([], initializers: [RawONNX.tensor("w", [1], raw: [1]), RawONNX.tensor("w", [1], raw: [1])]), "two initialisers")
        expectError(graph([], initializers: [RawONNX.tensor("", [1], raw: [1])]), "an initialiser has no name")
        expectError(graph([], inputs: [RawONNX.value("", [1])]), "an input has no name")
        expectError(graph([RawONNX.node("", ["x"], ["y"])]), "no operator")
        expectError(RawONNX.graph(inputs: [x], outputs: [x, x]), "two graph outputs")
        expectError(RawONNX.graph(inputs: [x]), "no outputs")
        expectError(RawONNX.graph(inputs: [RawONNX.untyped("x")], outputs: [RawONNX.untyped("x")]), "has no type")
    }

    @Test func cycles() {
        func graph(_ nodes: [RawMessage]) -> RawMessage { RawONNX.graph(inputs: [x], outputs: [y], nodes: nodes) }
        expectError(graph([RawONNX.node("Add", ["x", "y"], ["y"], name: "self")]), "self (Add)", "cycle")
        // d waits for the cycle but is not on it.
        expectError(
            graph([
                RawONNX.node("D", ["y"], ["d"]), RawONNX.node("Start", ["x"], ["s"]), RawONNX.node("Add", ["s", "c"], ["y"], name: "one"),
                RawONNX.node("Neg", ["y"], ["c"], name: "two"),
            ]), "graph node 'one (Add)'", "cycle")
        let inner = RawONNX.graph(outputs: [RawONNX.untyped("i")], nodes: [RawONNX.node("Neg", ["y"], ["i"])])
        expectError(
            graph([RawONNX.node("If", ["x"], ["y"], name: "loop", [RawONNX.graphAttribute("then_branch", inner)])]), "loop (If)", "cycle")
        let inside = RawONNX.graph(
            outputs: [RawONNX.untyped("i")], nodes: [RawONNX.node("Neg", ["j"], ["i"], name: "deep"), RawONNX.node("Neg", ["i"], ["j"])])
        expectError(graph([RawONNX.node("If", ["x"], ["y"], [RawONNX.graphAttribute("then_branch", inside)])]), "(Neg)", "cycle")
    }

    @Test func graphsWithinSeeOnlyWhatIsAround() throws {
        let reads = RawONNX.graph(outputs: [RawONNX.untyped("i")], nodes: [RawONNX.node("Neg", ["h"], ["i"], name: "inner")])
        let makes = RawONNX.graph(outputs: [RawONNX.untyped("h")], nodes: [RawONNX.node("Neg", ["x"], ["h"])])
        // What one branch makes, the other does not see, nor does the graph around them.
        let branches = [RawONNX.graphAttribute("then_branch", makes), RawONNX.graphAttribute("else_branch", reads)]
        expectError(
            RawONNX.graph(inputs: [x], outputs: [y], nodes: [RawONNX.node("If", ["x"], ["y"], branches)]), "inner (Neg)", "reads 'h'")
        let outside = [RawONNX.node("If", ["x"], ["q"], [RawONNX.graphAttribute("then_branch", makes)]), RawONNX.node("Neg", ["h"], ["y"])]
        expectError(RawONNX.graph(inputs: [x], outputs: [y], nodes: outside), "Neg (node 1)", "reads 'h'")
        // An inner definition hides the outer one: nothing is captured.
        let hides = RawONNX.graph(outputs: [RawONNX.untyped("x")], nodes: [RawONNX.node("Constant", [], ["x"])])
        let hidden = RawONNX.graph(
            inputs: [x], outputs: [y], nodes: [RawONNX.node("If", ["x"], ["y"], [RawONNX.graphAttribute("then_branch", hides)])])
        #expect(try ONNXFile(bytes: RawONNX.model(hidden), name: "ok").graph.nodes[0].graph("then_branch")?.captures == [])
    }

    @Test func typesAndShapesThatContradict() throws {
        func graph(_ declared: [RawMessage], values: [RawMessage] = [], _ tensor: RawMessage) -> RawMessage {
            RawONNX.graph(inputs: declared, outputs: [RawONNX.untyped("w")], initializers: [tensor], values: values)
        }
        let w = RawONNX.tensor("w", [2], raw: [1, 2])
        expectError(graph([RawONNX.value("w", [3])], w), "the initialiser is f32[2] where f32[3] is declared")
        expectError(graph([RawONNX.value("w", [1, 2])], w), "is declared")
        expectError(graph([RawONNX.value("w", type: 7, [2])], w), "where i64[2] is declared")
        expectError(graph([], values: [RawONNX.value("w", type: 7, nil)], w), "where i64[...] is declared")
        expectError(graph([RawONNX.value("w", [2])], values: [RawONNX.value("w", [3])], w), "declared as")
        for fine in [[2], ["n"], [nil]] as [[RawDimension]] {
            let file = try ONNXFile(bytes: RawONNX.model(graph([RawONNX.value("w", fine)], w)), name: "ok")
            #expect(file.graph.requiredInputs.isEmpty && file.graph.inputs.count == 1)
        }
        expectError(RawONNX.graph(inputs: [RawONNX.value("x", [-2])], outputs: [RawONNX.untyped("x")]), "dimension -2")
        expectError(
            RawONNX.graph(inputs: [RawONNX.value("x", [.size(1 << 40), nil, .size(1 << 40)])], outputs: [RawONNX.untyped("x")]),
            "absurdly large")
        expectError(RawONNX.graph(inputs: [RawONNX.value("x", type: 77, [1])], outputs: [RawONNX.untyped("x")]), "element type 77")
    }

    @Test func attributesThatAreWrong() {
        func graph(_ attributes: RawMessage...) -> RawMessage {
            RawONNX.graph(inputs: [x], outputs: [y], nodes: [RawONNX.node("Op", ["x"], ["y"], name: "n", attributes)])
        }
        let int = RawONNX.attribute("a", kind: 2) { $0.int(3, 1) }
        expectError(graph(int, int), "n (Op)", "'a' appears twice")
        expectError(graph(RawONNX.attribute("", kind: 2)), "no name")
        expectError(graph(RawONNX.attribute("a", kind: 2) { $0.float(2, 1) }), "'a' of type int holds float")
        expectError(
            graph(
                RawONNX.attribute("a", kind: 0) {
                    $0.float(2, 1)
                    $0.int(3, 1)
                }), "holds")
        for kind in [0, 4, 5, 13] { expectError(graph(RawONNX.attribute("a", kind: kind)), "'a' has no value") }
        expectError(graph(RawONNX.attribute("a", kind: 11) { $0.message(22, RawMessage { $0.int(3, 1) }) }), "sparse tensor")
        expectError(graph(RawONNX.attribute("a", kind: 2, ref: "b")), "a reference outside of a function")
        expectError(graph(RawONNX.attribute("a", kind: 4) { $0.message(5, RawONNX.tensor("", [9], raw: [1])) }), "n (Op): a", "takes 36")
        let sparse = RawMessage { $0.message(15, RawMessage { $0.message(1, RawONNX.tensor("s", [1], raw: [1])) }) }
        expectError(sparse, "'s'", "sparse initialisers")
        // Text that is not UTF-8, where the format promises it.
        expectError(RawONNX.graph(inputs: [x], outputs: [y], nodes: [RawMessage { $0.raw(4, [0xFF, 0xC0]) }]), "cannot be decoded")
    }

    @Test func functions() throws {
        let call = RawONNX.graph(inputs: [x], outputs: [y], nodes: [RawONNX.node("F", ["x"], ["y"], domain: "local")])
        func model(_ functions: RawMessage...) -> [UInt8] {
            RawONNX.model(call, operatorSets: [("", 17), ("local", 1)], functions: functions)
        }
        let good = RawONNX.function("F", nodes: [RawONNX.node("Neg", ["a"], ["b"])])
        #expect(try ONNXFile(bytes: model(good), name: "ok").functions.count == 1)
        expectError(model(good, good), "'F'", "two functions")
        // A function sees its inputs and nothing of the main graph.
        expectError(model(RawONNX.function("F", nodes: [RawONNX.node("Neg", ["x"], ["b"])])), "Neg (node 0)", "reads 'x'")
        expectError(
            model(RawONNX.function("F", nodes: [RawONNX.node("Neg", ["a"], ["c"])])), "'b'",
            "this output of the graph 'F' is defined by nothing")
        expectError(model(RawONNX.function("F", nodes: [RawONNX.node("F", ["a"], ["b"], domain: "local")])), "calls itself")
        let twin = { (name: String, other: String) in RawONNX.function(name, nodes: [RawONNX.node(other, ["a"], ["b"], domain: "local")]) }
        expectError(model(twin("F", "G"), twin("G", "H"), twin("H", "G")), "calls itself")
        let inBranch = RawONNX.graph(outputs: [RawONNX.untyped("i")], nodes: [RawONNX.node("F", ["a"], ["i"], domain: "local")])
        expectError(
            model(RawONNX.function("F", nodes: [RawONNX.node("If", ["a"], ["b"], [RawONNX.graphAttribute("then_branch", inBranch)])])),
            "calls itself")
        let reference = RawONNX.node("Op", ["a"], ["b"], [RawONNX.attribute("k", kind: 2, ref: "missing")])
        expectError(model(RawONNX.function("F", nodes: [reference])), "refers to 'missing'")
        expectError(
            model(
                RawONNX.function(
                    "F", nodes: [RawONNX.node("Neg", ["a"], ["b"])], attributes: ["missing"],
                    defaults: [RawONNX.attribute("missing", kind: 2)])),
            "'missing' twice")
        expectError(model(RawONNX.function("", nodes: [])), "no name")
        expectError(
            model(RawONNX.function("F", nodes: [RawONNX.node("Op", ["a"], ["b"], domain: "elsewhere")])),
            "import the operator set 'elsewhere'")
    }

    /// Nested deeper than any real model, and so deep that a careless reader overflows its stack.
    @Test func depth() throws {
        func nested(_ depth: Int) -> [UInt8] {
            var graph = RawONNX.graph(outputs: [RawONNX.untyped("x")])
            for _ in 0..<depth {
                graph = RawONNX.graph(
                    outputs: [RawONNX.untyped("r")],
                    nodes: [RawONNX.node("If", ["x"], ["r"], [RawONNX.graphAttribute("then_branch", graph)])])
            }
            let outer = RawONNX.graph(
                inputs: [x], outputs: [y], nodes: [RawONNX.node("If", ["x"], ["y"], [RawONNX.graphAttribute("then_branch", graph)])])
            return RawONNX.model(outer)
        }
        #expect(try ONNXFile(bytes: nested(24), name: "ok").graph.nodes[0].graph("then_branch")?.captures == ["x"])
        expectError(nested(40), "nested more than")
        expectError(nested(2000), "nested more than")
        // Types nest too.
        var type = RawMessage { $0.message(1, RawMessage { $0.int(1, 1) }) }
        for _ in 0..<1000 {
            let inner = type
            type = RawMessage { $0.message(4, RawMessage { $0.message(1, inner) }) }
        }
        let value = RawMessage {
            $0.text(1, "x")
            $0.message(2, type)
        }
        expectError(RawONNX.graph(inputs: [value], outputs: [RawONNX.untyped("x")]), "nested more than")
    }

    /// Two bytes a node: a few megabytes would become gigabytes of objects.
    @Test func manyEmptyMessages() {
        var nodes = [UInt8](repeating: 0, count: 2 * ((1 << 22) + 1))
        for index in stride(from: 0, to: nodes.count, by: 2) { nodes[index] = 0x0A }
        expectError(RawMessage { $0.append(nodes) }, "more than 4194304 messages")
    }

    /// Captured names through many levels and long chains of nodes take time in proportion to the file.
    @Test func longChainsInReverseOrder() throws {
        let count = 20_000
        let nodes = (0..<count).reversed().map { RawONNX.node("Neg", [$0 == 0 ? "x" : "v\($0)"], [$0 == count - 1 ? "y" : "v\($0 + 1)"]) }
        let graph = RawONNX.graph(inputs: [x], outputs: [y], nodes: nodes)
        let file = try ONNXFile(bytes: RawONNX.model(graph), name: "chain")
        #expect(file.graph.nodes.first?.inputs == ["x"] && file.graph.nodes.last?.outputs == ["y"])
        #expect(zip(file.graph.nodes, file.graph.nodes.dropFirst()).allSatisfy { $0.outputs == $1.inputs })
    }
}
