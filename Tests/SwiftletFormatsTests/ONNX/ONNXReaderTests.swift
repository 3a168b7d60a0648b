// What valid models become: structure, types, attributes, and the elements of tensors in every way a file can store them.
import Foundation
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

private func read(_ bytes: [UInt8]) throws -> ONNXFile { try ONNXFile(bytes: bytes, name: "model") }

@Suite struct ONNXReaderTests {
    @Test func smallModelIsReadAsWritten() throws {
        let file = try read(RawONNX.small())
        #expect(file.irVersion == 8 && file.producerName == "tests" && file.operatorSets == ["ai.onnx": 17])
        #expect(file.graph.name == "g")
        #expect(file.graph.inputs == file.graph.requiredInputs)
        #expect(file.graph.inputs.map(\.name) == ["x"])
        #expect(file.graph.inputs.first?.type == .tensor(.f32, shape: [.symbol("N"), .fixed(3)]))
        #expect(file.graph.outputs.first?.type?.description == "f32[N, 3]")
        #expect(file.graph.nodes.map(\.op) == ["Add", "Relu"])
        #expect(file.graph.nodes.map(\.label) == ["sum (Add)", "Relu (node 1)"])
        #expect(file.graph.nodes.map(\.inputs) == [["x", "w"], ["s"]])
        let weight = try #require(file.graph.initializers.first)
        #expect(weight.name == "w" && weight.type == .f32 && weight.shape == [3])
        #expect(weight.elements(as: Float.self) == [1, -2, 3])
        #expect(file.files.isEmpty)
    }

    /// The elements of `raw_data` (field 9) and of a packed `float_data` (field 4) are the mapped file's own bytes, at any address; an aligned
    /// copy is made only on request.
    @Test(arguments: [9, 4]) func elementsStayInTheMappedFile(field: Int) throws {
        try withTemporaryFolder { folder in
            var misaligned = 0
            for padding in 0..<4 {
                let name = "w" + String(repeating: "w", count: padding)
                let tensor = RawONNX.tensor(name, [2]) { $0.raw(field, rawBytes([Float(0.5), 8])) }
                let bytes = RawONNX.model(RawONNX.graph(outputs: [RawONNX.untyped(name)], initializers: [tensor]))
                let path = folder.appending(path: "\(padding).onnx").path
                try Data(bytes).write(to: URL(filePath: path))
                let file = try ONNXFile(path: path)
                let weight = try #require(file.graph.initializers.first)
                guard case .elements(let store) = weight.content else { throw SwiftletError.outOfMemory(bytes: 0, purpose: "no store") }
                let source = try #require(store.source)
                #expect(source.file === file.files.first && source.range.count == 8)
                #expect(weight.place?.path == path && weight.place?.offset == source.range.lowerBound)
                #expect(Array(bytes[source.range]) == rawBytes([Float(0.5), 8]))
                let aligned = try #require(try weight.alignedStore())
                #expect(Int(bitPattern: aligned.bytes.baseAddress) % 4 == 0)
                #expect(aligned.withBytes { Array($0) } == rawBytes([Float(0.5), 8]))
                if source.range.lowerBound % 4 != 0 {
                    misaligned += 1
                    #expect(aligned.source == nil)
                } else {
                    #expect(aligned.source?.range == source.range)
                }
            }
            #expect(misaligned == 3)
        }
    }

    @Test func nestedGraphsFunctionsAndAttributes() throws {
        let file = try read(RawONNX.rich())
        #expect(file.operatorSets == ["ai.onnx": 17, "local": 1])
        #expect(file.metadata.map(\.key) == ["author"] && file.metadata.map(\.value) == ["tests"])
        let branch = file.graph.nodes[1]
        let then = try #require(try branch.graph("then_branch"))
        #expect(branch.subgraphs.map(\.attribute) == ["then_branch", "else_branch"])
        // The inner graph reads s of the main graph; the graph in between passes it on, and its own condition c.
        #expect(then.captures == ["c", "s"])
        let inner = try #require(try then.nodes[0].graph("else_branch"))
        #expect(inner.captures == ["s"] && inner.initializers[0].elements(as: Float.self) == [2, 4])
        #expect(file.graph.captures.isEmpty)

        let call = file.graph.nodes[2]
        #expect(call.domain == "local" && call.inputs == ["v", ""] && call.outputs == ["y", ""])
        let function = try #require(file.functions.first)
        #expect(function.name == "Scale" && function.domain == "local" && function.attributes == ["factor"])
        #expect(function.body.inputs.map(\.name) == ["a", "unused"] && function.body.nodes.map(\.op) == ["Constant", "Mul"])
        guard case .reference("factor")? = function.body.nodes[0].attribute("value_float") else {
            Issue.record("no reference: \(String(describing: function.body.nodes[0].attributes))")
            return
        }

        let all = file.graph.nodes[3]
        #expect(try all.float("alpha") == 0.5)
        #expect(try all.int("axis") == -1)
        #expect(try all.string("mode") == "linear")
        #expect(try all.tensor("value")?.integers == [7, -8])
        #expect(try all.floats("scales") == [1, 2])
        #expect(try all.ints("pads") == [1, -1])
        #expect(try all.strings("keys") == ["a", "b"])
        #expect(try all.int("absent") == nil)
        let error = #expect(throws: SwiftletError.self) { try all.int("alpha") }
        #expect(
            error?.description.contains("'alpha' is not an integer") == true && error?.description.contains("Anything (node 3)") == true)

        guard case .strings(let names) = file.graph.initializers[1].content else {
            Issue.record("no strings")
            return
        }
        #expect(names == [Array("one".utf8), Array("two".utf8)])
    }

    /// Nodes in any order come out sorted; those that were in order keep it.
    @Test func unsortedNodesAreSorted() throws {
        let nodes = [
            RawONNX.node("A", ["x"], ["a"]), RawONNX.node("D", ["b", "c"], ["d"]), RawONNX.node("C", ["a"], ["c"]),
            RawONNX.node("B", ["a"], ["b"]),
            // Reads d only through its graph.
            RawONNX.node(
                "If", ["x"], ["e"],
                [
                    RawONNX.graphAttribute(
                        "then_branch", RawONNX.graph(outputs: [RawONNX.untyped("f")], nodes: [RawONNX.node("F", ["d"], ["f"])]))
                ]),
        ]
        let io = (inputs: [RawONNX.value("x", [])], outputs: [RawONNX.value("e", [])])
        let orders: [([Int], [String])] = [
            ([0, 3, 2, 1, 4], ["A", "B", "C", "D", "If"]), ([0, 1, 2, 3, 4], ["A", "C", "B", "D", "If"]),
            ([4, 3, 2, 1, 0], ["A", "B", "C", "D", "If"]),
        ]
        for (order, expected) in orders {
            let graph = RawONNX.graph(inputs: io.inputs, outputs: io.outputs, nodes: order.map { nodes[$0] })
            #expect(try read(RawONNX.model(graph)).graph.nodes.map(\.op) == expected)
        }
    }

    @Test func typesOfValues() throws {
        func type(_ message: RawMessage) throws -> ONNXType? {
            let value = RawMessage {
                $0.text(1, "x")
                $0.message(2, message)
            }
            return try read(RawONNX.model(RawONNX.graph(inputs: [value], outputs: [RawONNX.value("x", nil)]))).graph.inputs[0].type
        }
        func wrap(_ field: Int, _ inner: RawMessage, key: Int? = nil, element: Int = 1) -> RawMessage {
            RawMessage {
                $0.message(
                    field,
                    RawMessage {
                        if let key { $0.int(1, key) }
                        $0.message(element, inner)
                    })
            }
        }
        let tensor = RawMessage { $0.message(1, RawMessage { $0.int(1, 16) }) }
        #expect(try type(tensor) == .tensor(.bf16, shape: nil))
        #expect(try type(wrap(4, tensor)) == .sequence(.tensor(.bf16, shape: nil)))
        #expect(try type(wrap(9, wrap(4, tensor))) == .optional(.sequence(.tensor(.bf16, shape: nil))))
        #expect(try type(wrap(5, tensor, key: 8, element: 2)) == .map(key: .string, value: .tensor(.bf16, shape: nil)))
        let sparse = RawMessage { $0.message(8, RawMessage { $0.int(1, 1) }) }
        #expect(try type(sparse)?.description == "sparse f32[...]")
        // Sizes the exporter did not know, in the ways exporters say so.
        let shaped = RawONNX.graph(inputs: [RawONNX.value("x", [nil, -1, "?", "", "n", 0, 4])], outputs: [RawONNX.untyped("x")])
        #expect(
            try read(RawONNX.model(shaped)).graph.inputs[0].type
                == .tensor(.f32, shape: [.unknown, .unknown, .unknown, .unknown, .symbol("n"), .fixed(0), .fixed(4)]))
    }

    @Test func elementTypesHaveTheNumbersAndSizesOfTheFormat() {
        let numbers: [(ONNXElementType, Int32, Int?)] = [
            (.f32, 1, 32), (.u8, 2, 8), (.i8, 3, 8), (.u16, 4, 16), (.i16, 5, 16), (.i32, 6, 32), (.i64, 7, 64), (.string, 8, nil),
            (.bool, 9, 8), (.f16, 10, 16), (.f64, 11, 64), (.u32, 12, 32), (.u64, 13, 64), (.c64, 14, 64), (.c128, 15, 128),
            (.bf16, 16, 16),
            (.f8e4m3fn, 17, 8), (.f8e4m3fnuz, 18, 8), (.f8e5m2, 19, 8), (.f8e5m2fnuz, 20, 8), (.u4, 21, 4), (.i4, 22, 4), (.f4e2m1, 23, 4),
            (.f8e8m0, 24, 8), (.u2, 25, 2), (.i2, 26, 2), (.f6e2m3, 27, 6), (.f6e3m2, 28, 6),
        ]
        #expect(numbers.count == ONNXElementType.allCases.count)
        for (type, number, bits) in numbers { #expect(type.rawValue == number && type.bitCount == bits) }
        for type in ONNXElementType.allCases {
            // Less than a byte in a file is a byte in memory.
            if let dtype = type.dtype { #expect(8 * dtype.byteCount == type.bitCount.map { max(8, $0) }) }
        }
        #expect(ONNXElementType.u4.byteCount(elements: 3) == 2 && ONNXElementType.u2.byteCount(elements: 5) == 2)
        #expect(ONNXElementType.f6e2m3.byteCount(elements: 5) == 4 && ONNXElementType.i4.byteCount(elements: 0) == 0)
        #expect(ONNXElementType.c128.byteCount(elements: .max / 64) == nil)
    }
}
