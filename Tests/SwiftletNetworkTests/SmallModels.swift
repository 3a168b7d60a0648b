// Models of a few nodes, made in the test and run with the plain definitions of the operations.
import SwiftletFormats
import SwiftletNetwork
import TestSupport

/// ONNX's numbers of element types.
enum Code {
    static let f32 = 1, i64 = 7, text = 8, bool = 9
}

/// A model of one graph, ready to run.
func makeModel(_ graph: RawMessage, opset: Int = 18, functions: [RawMessage] = []) throws -> Model {
    let bytes = RawONNX.model(graph, operatorSets: [("", opset), ("ai.onnx.ml", 4), ("local", 1)], functions: functions)
    return try Model(file: ONNXFile(bytes: bytes, name: "test.onnx"), options: NetworkOptions(threads: 1, usesReference: true))
}

func int(_ name: String, _ value: Int) -> RawMessage { RawONNX.attribute(name, kind: 2) { $0.int(3, value) } }
func float(_ name: String, _ value: Float) -> RawMessage { RawONNX.attribute(name, kind: 1) { $0.float(2, value) } }
func text(_ name: String, _ value: String) -> RawMessage { RawONNX.attribute(name, kind: 3) { $0.text(4, value) } }
func ints(_ name: String, _ values: [Int]) -> RawMessage { RawONNX.attribute(name, kind: 7) { for value in values { $0.int(8, value) } } }
func texts(_ name: String, _ values: [String]) -> RawMessage { RawONNX.attribute(name, kind: 8) { for value in values { $0.text(9, value) } } }
func floats(_ name: String, _ values: [Float]) -> RawMessage { RawONNX.attribute(name, kind: 6) { for value in values { $0.float(7, value) } } }

/// Initialisers.
func integers(_ name: String, _ dimensions: [Int], _ values: [Int64]) -> RawMessage {
    RawONNX.tensor(name, dimensions, type: Code.i64) { $0.raw(9, rawBytes(values)) }
}

func bools(_ name: String, _ dimensions: [Int], _ values: [Bool]) -> RawMessage {
    RawONNX.tensor(name, dimensions, type: Code.bool) { $0.raw(9, values.map { $0 ? 1 : 0 }) }
}

func words(_ name: String, _ dimensions: [Int], _ values: [String]) -> RawMessage {
    RawONNX.tensor(name, dimensions, type: Code.text) { for value in values { $0.text(6, value) } }
}

extension ModelValue {
    /// Shape and elements of a tensor of floats.
    var numbers: (shape: [Int], values: [Float]) {
        get throws { (try tensor.shape.dimensions, try tensor.floats()) }
    }

    /// The elements of a tensor of i64.
    var integers: [Int64] {
        get throws { try tensor.elements(as: Int64.self) }
    }

    var texts: [String]? { if case .strings(let strings) = self { strings.values } else { nil } }
}
