// A test case as Tests/Conformance/cases.py writes it: a model, inputs, and the outputs they must give.
import Foundation
import SwiftletFormats
import SwiftletNetwork

/// One operator test.
struct ConformanceCase {
    /// A value in case.json.
    indirect enum Stored: Decodable {
        case tensor(type: DType, file: String)
        case strings(shape: [Int], values: [String])
        case sequence([Stored])
        case absent

        private enum Key: CodingKey { case kind, type, file, shape, values, elements }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            switch try container.decode(String.self, forKey: .kind) {
            case "tensor":
                self = .tensor(type: try container.decode(DType.self, forKey: .type), file: try container.decode(String.self, forKey: .file))
            case "strings":
                self = .strings(shape: try container.decode([Int].self, forKey: .shape), values: try container.decode([String].self, forKey: .values))
            case "sequence": self = .sequence(try container.decode([Stored].self, forKey: .elements))
            default: self = .absent
            }
        }

        func value(in folder: URL) throws -> ModelValue {
            switch self {
            case .tensor(let type, let file):
                let bits = try NPYFile.read(path: folder.appendingPathComponent(file).path)
                return .tensor(try bits.withBytes { try Tensor(type, shape: bits.shape, copying: $0) })
            case .strings(let shape, let values): return .strings(StringTensor(shape: Shape(shape), values: values))
            case .sequence(let elements): return .sequence(try elements.map { try $0.value(in: folder) })
            case .absent: return .absent
            }
        }
    }

    private struct Description: Decodable {
        struct DataSet: Decodable { let inputs, outputs: [String: Stored] }

        let rtol, atol: Double
        let operators: [String]
        let sets: [DataSet]
    }

    private let folder: URL
    private let description: Description

    init(folder: URL) throws {
        self.folder = folder
        description = try JSONDecoder().decode(Description.self, from: Data(contentsOf: folder.appendingPathComponent("case.json")))
    }

    /// Imports the case's model for its inputs, fuses it as backends get it, and writes it as ONNX.
    func write(to path: String) throws {
        let inputs = try description.sets.first?.inputs.mapValues { try $0.value(in: folder) } ?? [:]
        let file = try ONNXFile(path: folder.appendingPathComponent("model.onnx").path)
        try ONNXWriter(NetworkGraph(file, inputs: inputs).fused()).write(to: path)
    }

    /// Operators that draw random numbers: only types and shapes can agree.
    private static let random: Set = ["Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"]

    /// How the first output that differs does; nil when all agree.
    func differences(options: NetworkOptions) throws -> String? {
        let model = try Model(path: folder.appendingPathComponent("model.onnx").path, options: options)
        let isRandom = !Self.random.isDisjoint(with: description.operators)
        for set in description.sets {
            let results = try model.run(try set.inputs.mapValues { try $0.value(in: folder) })
            for (name, stored) in set.outputs.sorted(by: { $0.key < $1.key }) {
                guard let result = results[name] else { return "there is no output '\(name)'" }
                let comparison = Comparison(rtol: description.rtol, atol: description.atol, comparesElements: !isRandom)
                if let difference = try comparison.difference(result, try stored.value(in: folder)) { return "\(name): \(difference)" }
            }
        }
        return nil
    }
}

/// Compares values as the onnx package's own runner does: `|a − b| ≤ atol + rtol·|b|` for floats, everything else exactly. Results in types of
/// 16 bits may be two units in the last place away, and elements near zero of f32 a rounding of the largest element: the published tolerance of some is
/// finer than their type, or than the noise in their expected values.
private struct Comparison {
    let rtol, atol: Double
    let comparesElements: Bool

    func difference(_ result: ModelValue, _ expected: ModelValue) throws -> String? {
        switch (result, expected) {
        case (.tensor(let a), .tensor(let b)): return try difference(a, b)
        case (.strings(let a), .strings(let b)): return a == b ? nil : "\(a) instead of \(b)"
        case (.absent, .absent): return nil
        case (.sequence(let a), .sequence(let b)):
            guard a.count == b.count else { return "\(a.count) elements instead of \(b.count)" }
            for (index, pair) in zip(a, b).enumerated() {
                if let difference = try difference(pair.0, pair.1) { return "element \(index): \(difference)" }
            }
            return nil
        default: return "another kind of value"
        }
    }

    private func difference(_ result: Tensor, _ expected: Tensor) throws -> String? {
        guard result.type == expected.type, result.shape == expected.shape else { return "\(result) instead of \(expected)" }
        guard comparesElements, result != expected else { return nil }
        guard result.type.isFloat, result.type.byteCount > 1 else { return "other elements\(try example(result, expected) { $0 == $1 })" }
        let rtol = max(rtol, result.type == .bf16 ? 0x1p-6 : result.type == .f16 ? 0x1p-9 : 0)
        let largest = try doubles(expected).reduce(0) { $1.isFinite ? max($0, abs($1)) : $0 }
        let atol = max(atol, result.type == .f32 ? 0x1p-23 * largest : 0)
        let agree: (Double, Double) -> Bool = { a, b in
            if a.isNaN || b.isNaN { return a.isNaN && b.isNaN }
            return a == b || abs(a - b) <= atol + rtol * abs(b)
        }
        let text = try example(result, expected, agree)
        return text.isEmpty ? nil : "other elements" + text
    }

    /// The first place where they differ; empty when there is none.
    private func example(_ result: Tensor, _ expected: Tensor, _ agree: (Double, Double) -> Bool) throws -> String {
        let (a, b) = (try doubles(result), try doubles(expected))
        guard let index = zip(a, b).enumerated().first(where: { !agree($0.element.0, $0.element.1) })?.offset else { return "" }
        return " at \(index) of \(result): \(a[index]) instead of \(b[index])"
    }

    private func doubles(_ tensor: Tensor) throws -> [Double] {
        tensor.type == .f64 ? try tensor.elements(as: Double.self) : try tensor.floats().map(Double.init)
    }
}
