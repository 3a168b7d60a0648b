// A network from one picture tensor to one result, as the three of text recognition are.
import SwiftletNetwork

struct TextNetwork: Sendable {
    let model: Model
    private let input, output: String

    /// Levels to values as PP-OCR trains them: -1...1.
    static let normalization = PixelNormalization(unitMean: [0.5], deviation: [0.5])

    /// Throws `SwiftletError.unsupported` unless the model has one input, f32 `[batch, 3, height, width]`, and one output.
    init(_ model: Model, task: String) throws {
        guard model.inputs.count == 1, let input = model.inputs.first, let output = model.outputNames.first, model.outputNames.count == 1,
            case .tensor(.f32, let shape) = input.type, shape?.count ?? 4 == 4
        else {
            throw SwiftletError.unsupported(
                file: model.path, place: "the inputs and outputs",
                reason: "\(task) needs a network from one f32 [batch, 3, height, width] to one output", remedy: "Pass a model of PP-OCR.")
        }
        self.model = model
        self.input = input.name
        self.output = output
    }

    /// Runs the network and checks the shape of what comes out; nil takes any size.
    func run(_ picture: Tensor, expecting shape: [Int?]) throws -> Tensor {
        let results: [String: Tensor] = try model.run([input: picture])
        guard let result = results[output], result.type == .f32, result.shape.rank == shape.count,
            zip(result.shape.dimensions, shape).allSatisfy({ $1 == nil || $0 == $1 })
        else {
            let sizes = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
            throw SwiftletError.unsupported(
                file: model.path, place: output, reason: "the result is not f32 [\(sizes)]", remedy: "Pass a model of PP-OCR for this task."
            )
        }
        return result
    }

    /// A line of text as a batch of one, f32 `[1, 3, height, width]`, blue first: scaled to the height, cut to the width if it is longer, or
    /// filled up with zeros on the right.
    static func tensor(for line: Image, height: Int, width: Int) throws -> Tensor {
        let length = min(width, Int((Double(height) * (Double(line.width) / Double(line.height))).rounded(.up)))
        let scaled = try line.resized(to: ImageSize(width: max(1, length), height: height), antialias: false)
        let values = try scaled.tensor(order: .bgr, normalization: normalization)
        if scaled.width == width { return values }
        return try Tensor(.f32, shape: [1, 3, height, width]) { target in
            let target = target.bindMemory(to: Float.self)
            try values.withElements(as: Float.self) { source in
                for row in 0..<3 * height {
                    _ = UnsafeMutableBufferPointer(rebasing: target[row * width..<row * width + scaled.width])
                        .update(fromContentsOf: source[row * scaled.width..<(row + 1) * scaled.width])
                }
            }
        }
    }
}
