// Hand-made ONNX models for tests, right or wrong in exactly one place. Field numbers as in onnx-ml.proto.

/// A message on the wire.
package struct RawMessage {
    package private(set) var bytes: [UInt8] = []

    package init(_ fill: (inout RawMessage) -> Void = { _ in }) { fill(&self) }

    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    package mutating func int(_ field: Int, _ value: Int) {
        varint(UInt64(field << 3))
        varint(UInt64(bitPattern: Int64(value)))
    }

    package mutating func float(_ field: Int, _ value: Float) {
        varint(UInt64(field << 3 | 5))
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    package mutating func raw(_ field: Int, _ value: [UInt8]) {
        varint(UInt64(field << 3 | 2))
        varint(UInt64(value.count))
        bytes += value
    }

    package mutating func text(_ field: Int, _ value: String) { raw(field, Array(value.utf8)) }
    package mutating func message(_ field: Int, _ value: RawMessage) { raw(field, value.bytes) }

    package mutating func packed(_ field: Int, _ values: [Int]) {
        raw(field, RawMessage { body in for value in values { body.varint(UInt64(bitPattern: Int64(value))) } }.bytes)
    }

    /// Fixed-width elements end to end.
    package mutating func packed<Value: BitwiseCopyable>(_ field: Int, fixed values: [Value]) { raw(field, rawBytes(values)) }

    package mutating func append(_ other: [UInt8]) { bytes += other }
}

package func rawBytes<Value: BitwiseCopyable>(_ values: [Value]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

/// A dimension of a declared shape: a number, a name or nil.
package enum RawDimension: Sendable, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
    case size(Int)
    case symbol(String)
    case unknown

    package init(integerLiteral value: Int) { self = .size(value) }
    package init(stringLiteral value: String) { self = .symbol(value) }
    package init(nilLiteral: ()) { self = .unknown }
}

/// The messages of an ONNX model.
package enum RawONNX {
    package static let floatType = 1

    /// A tensor whose elements `data` writes.
    package static func tensor(_ name: String, _ dimensions: [Int], type: Int = floatType, _ data: (inout RawMessage) -> Void = { _ in })
        -> RawMessage
    {
        RawMessage { tensor in
            tensor.packed(1, dimensions)
            tensor.int(2, type)
            tensor.text(8, name)
            data(&tensor)
        }
    }

    package static func tensor(_ name: String, _ dimensions: [Int], raw values: [Float]) -> RawMessage {
        tensor(name, dimensions) { $0.raw(9, rawBytes(values)) }
    }

    package static func external(_ name: String, _ dimensions: [Int], _ pairs: [(String, String)]) -> RawMessage {
        tensor(name, dimensions) { tensor in
            for (key, value) in pairs { tensor.message(13, entry(key, value)) }
            tensor.int(14, 1)
        }
    }

    package static func entry(_ key: String, _ value: String) -> RawMessage {
        RawMessage {
            $0.text(1, key)
            $0.text(2, value)
        }
    }

    /// A value; nil dimensions are a tensor of unknown rank.
    package static func value(_ name: String, type: Int = floatType, _ dimensions: [RawDimension]?) -> RawMessage {
        RawMessage { value in
            value.text(1, name)
            let tensorType = RawMessage { tensorType in
                tensorType.int(1, type)
                guard let dimensions else { return }
                tensorType.message(
                    2,
                    RawMessage { shape in
                        for dimension in dimensions {
                            shape.message(
                                1,
                                RawMessage {
                                    switch dimension {
                                    case .size(let size): $0.int(1, size)
                                    case .symbol(let name): $0.text(2, name)
                                    case .unknown: break
                                    }
                                })
                        }
                    })
            }
            value.message(2, RawMessage { $0.message(1, tensorType) })
        }
    }

    package static func untyped(_ name: String) -> RawMessage { RawMessage { $0.text(1, name) } }

    /// An attribute of type `kind` whose value `data` writes.
    package static func attribute(_ name: String, kind: Int, ref: String = "", _ data: (inout RawMessage) -> Void = { _ in }) -> RawMessage
    {
        RawMessage { attribute in
            attribute.text(1, name)
            data(&attribute)
            if kind != 0 { attribute.int(20, kind) }
            if !ref.isEmpty { attribute.text(21, ref) }
        }
    }

    package static func graphAttribute(_ name: String, _ graph: RawMessage) -> RawMessage {
        attribute(name, kind: 5) { $0.message(6, graph) }
    }

    package static func node(
        _ op: String, _ inputs: [String], _ outputs: [String], name: String = "", domain: String = "", _ attributes: [RawMessage] = []
    ) -> RawMessage {
        RawMessage { node in
            for input in inputs { node.text(1, input) }
            for output in outputs { node.text(2, output) }
            if !name.isEmpty { node.text(3, name) }
            node.text(4, op)
            for attribute in attributes { node.message(5, attribute) }
            if !domain.isEmpty { node.text(7, domain) }
        }
    }

    package static func graph(
        inputs: [RawMessage] = [], outputs: [RawMessage] = [], nodes: [RawMessage] = [], initializers: [RawMessage] = [],
        values: [RawMessage] = []
    ) -> RawMessage {
        RawMessage { graph in
            for node in nodes { graph.message(1, node) }
            graph.text(2, "g")
            for tensor in initializers { graph.message(5, tensor) }
            for value in inputs { graph.message(11, value) }
            for value in outputs { graph.message(12, value) }
            for value in values { graph.message(13, value) }
        }
    }

    package static func function(
        _ name: String, inputs: [String] = ["a"], outputs: [String] = ["b"], nodes: [RawMessage], attributes: [String] = [],
        defaults: [RawMessage] = []
    ) -> RawMessage {
        RawMessage { function in
            function.text(1, name)
            for input in inputs { function.text(4, input) }
            for output in outputs { function.text(5, output) }
            for attribute in attributes { function.text(6, attribute) }
            for node in nodes { function.message(7, node) }
            function.message(9, operatorSet("", 17))
            function.message(9, operatorSet("local", 1))
            function.text(10, "local")
            for value in defaults { function.message(11, value) }
        }
    }

    package static func operatorSet(_ domain: String, _ version: Int) -> RawMessage {
        RawMessage {
            if !domain.isEmpty { $0.text(1, domain) }
            $0.int(2, version)
        }
    }

    package static func model(
        _ graph: RawMessage?, ir: Int? = 8, operatorSets: [(String, Int)] = [("", 17)], functions: [RawMessage] = [],
        metadata: [(String, String)] = []
    ) -> [UInt8] {
        RawMessage { model in
            if let ir { model.int(1, ir) }
            model.text(2, "tests")
            if let graph { model.message(7, graph) }
            for (domain, version) in operatorSets { model.message(8, operatorSet(domain, version)) }
            for (key, value) in metadata { model.message(14, entry(key, value)) }
            for function in functions { model.message(25, function) }
        }.bytes
    }

    /// y = Relu(x + w), with w an initialiser in `raw_data`.
    package static func small() -> [UInt8] {
        model(
            graph(
                inputs: [value("x", ["N", 3])], outputs: [value("y", ["N", 3])],
                nodes: [node("Add", ["x", "w"], ["s"], name: "sum"), node("Relu", ["s"], ["y"])],
                initializers: [tensor("w", [3], raw: [1, -2, 3])]))
    }

    /// A model with a bit of everything: nested graphs that see outer names, a function, attributes of all kinds, typed arrays.
    package static func rich() -> [UInt8] {
        let inner = graph(
            outputs: [untyped("t2")], nodes: [node("Mul", ["s", "k"], ["t1"]), node("Neg", ["t1"], ["t2"])],
            initializers: [tensor("k", [2], type: 1) { $0.packed(4, fixed: [Float(2), 4]) }])
        let outer = graph(
            outputs: [untyped("u")],
            nodes: [node("If", ["c"], ["u"], name: "within", [graphAttribute("then_branch", inner), graphAttribute("else_branch", inner)])])
        let attributes = [
            attribute("alpha", kind: 1) { $0.float(2, 0.5) },
            attribute("axis", kind: 2) { $0.int(3, -1) },
            attribute("mode", kind: 3) { $0.text(4, "linear") },
            attribute("value", kind: 4) { $0.message(5, tensor("", [2], type: 7) { $0.packed(7, [7, -8]) }) },
            attribute("scales", kind: 6) { $0.packed(7, fixed: [Float(1), 2]) },
            attribute("pads", kind: 7) {
                $0.int(8, 1)
                $0.int(8, -1)
            },
            attribute("keys", kind: 8) {
                $0.text(9, "a")
                $0.text(9, "b")
            },
        ]
        return model(
            graph(
                inputs: [value("x", [2]), value("c", type: 9, [])], outputs: [value("z", nil)],
                nodes: [
                    node("Add", ["x", "w"], ["s"], name: "sum"),
                    node("If", ["c"], ["v"], name: "branch", [graphAttribute("then_branch", outer), graphAttribute("else_branch", inner)]),
                    node("Scale", ["v", ""], ["y", ""], name: "call", domain: "local", [attribute("factor", kind: 1) { $0.float(2, 3) }]),
                    node("Anything", ["y"], ["z"], domain: "local", attributes),
                ],
                initializers: [
                    tensor("w", [2], raw: [0.25, -4]),
                    tensor("names", [2], type: 8) {
                        $0.text(6, "one"); $0.text(6, "two")
                    },
                ],
                values: [value("s", [2])]),
            operatorSets: [("", 17), ("local", 1)],
            functions: [
                function(
                    "Scale", inputs: ["a", "unused"],
                    nodes: [
                        node("Constant", [], ["f"], [attribute("value_float", kind: 1, ref: "factor")]), node("Mul", ["a", "f"], ["b"]),
                    ], attributes: ["factor"])
            ], metadata: [("author", "tests")])
    }
}
