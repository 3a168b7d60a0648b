// Weights as plain floats of another width: the simplest compression (f32 to half the bytes), and the way back from blocks to floats.
//
// A linear layer or a table takes weights of any format; the kernel of a convolution has the element type of what flows into it, so it stays.
import CKernels
import SwiftletRuntime

/// Stores the weights of layers as f32, f16 or bf16, rounded to nearest, ties to even.
public struct CastWeights: RecipeTechnique {
    /// A float format of weights.
    public enum Format: String, Sendable, CaseIterable {
        case f32, f16, bf16

        fileprivate var type: DType {
            switch self {
            case .f32: .f32
            case .f16: .f16
            case .bf16: .bf16
            }
        }
    }

    public static let technique = "cast"
    package static let summary = "stores weights as plain floats: f32, f16 or bf16"
    package static let parameters = [RecipeParameter("format", .choice(Format.allCases.map(\.rawValue)), "the float format")]

    public var scope: Scope
    public var format: Format

    public init(format: Format, scope: Scope = .all) {
        self.format = format
        self.scope = scope
    }

    package init(_ values: RecipeValues) throws {
        let name = try values.text("format")
        guard let format = Format(rawValue: name) else {
            throw SwiftletError.invalidArgument(name: "format", reason: "'\(name)' is no float format", remedy: "Choose f32, f16 or bf16.")
        }
        self.init(format: format, scope: values.scope)
    }

    /// Throws `SwiftletError.invalidArgument` where a weight is too large for the format.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        var seen: Set<ValueID> = []
        let candidates = graph.layers(in: scope).filter { $0.weight.format != .dense(format.type) && seen.insert($0.weightID).inserted }
        let layers = candidates.filter { layer in
            if case .convolution = layer.kind { graph[layer.input].type.element == format.type } else { true }
        }
        var replacement = LayerReplacement(graph, technique: Self.technique, parameters: format.rawValue, total: layers.count, in: context)
        for layer in layers { try replacement.replace(layer) { try cast(layer.weight, name: layer.name) } }
        let kept = candidates.count - layers.count
        return try replacement.result(
            notes: kept > 0 ? ["\(kept) convolutions keep their format: kernels have the type of what flows into them"] : [])
    }

    private func cast(_ weight: Weight, name: String) throws -> Weight {
        let columns = weight.columnCount
        let store = try WeightStore(byteCount: weight.shape.elementCount * format.type.byteCount) { target in
            try weight.forEachRow { index, row in
                switch format {
                case .f32: UnsafeMutableRawBufferPointer(rebasing: target[(index * columns * 4)...]).copyMemory(from: UnsafeRawBufferPointer(row))
                case .f16: try narrow(row, to: target.bindMemory(to: UInt16.self), at: index * columns, infinity: 0x7C00, name: name, ck_float_to_half)
                case .bf16: try narrow(row, to: target.bindMemory(to: UInt16.self), at: index * columns, infinity: 0x7F80, name: name, ck_float_to_bfloat)
                }
            }
        }
        return try Weight(name: name, shape: weight.shape, format: .dense(format.type), store: store)
    }

    private func narrow(
        _ row: UnsafeMutableBufferPointer<Float>, to target: UnsafeMutableBufferPointer<UInt16>, at start: Int, infinity: UInt16, name: String,
        _ convert: (Float) -> UInt16
    ) throws {
        for (index, value) in row.enumerated() {
            let bits = convert(value)
            guard bits & 0x7FFF != infinity || !value.isFinite else {
                throw SwiftletError.invalidArgument(
                    name: name, reason: "\(value) is beyond the largest number of \(format.rawValue)", remedy: "Take bf16, or leave the weight out with exclude.")
            }
            target[start + index] = bits
        }
    }
}
