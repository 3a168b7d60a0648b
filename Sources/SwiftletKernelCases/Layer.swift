// Shapes of real layers, read from small text files (Benchmarks/Shapes): what kernels are timed on.
import Foundation
import SwiftletTensor

/// One kind of layer of a model, and how many of it the model has.
public struct Layer: Sendable, Equatable {
    public enum Shape: Sendable, Equatable {
        /// Y[rows, outputs] = A[rows, inputs] · W[outputs, inputs]ᵀ, with the format the model's file holds W in.
        case linear(format: WeightFormat, outputs: Int, inputs: Int)
        case attention(heads: Int, keyValueHeads: Int, headDimension: Int)
        /// A row operation (normalisation, activation, residual, softmax) over this many elements.
        case vector(elements: Int)
        case convolution(ConvolutionShape)
    }

    /// Name of the model: the file's name without its extension.
    public let model: String
    /// Name of the layer, unique within its kind and model.
    public let name: String
    /// Layers of this shape in the model.
    public let count: Int
    public let shape: Shape

    public init(model: String, name: String, count: Int, shape: Shape) {
        self.model = model
        self.name = name
        self.count = count
        self.shape = shape
    }

    /// Reads one shape file.
    ///
    ///     linear     FORMAT  OUTPUTS  INPUTS  COUNT  NAME
    ///     attention  HEADS  KEY-VALUE-HEADS  HEAD-DIMENSION  COUNT  NAME
    ///     vector     ELEMENTS  COUNT  NAME
    ///     convolution  HEIGHT WIDTH INPUTS OUTPUTS GROUPS  KERNEL-HEIGHT KERNEL-WIDTH  STRIDE-HEIGHT STRIDE-WIDTH
    ///                  PAD-TOP PAD-LEFT PAD-BOTTOM PAD-RIGHT  COUNT  NAME
    ///
    /// separated by spaces; `#` starts a comment. Throws `SwiftletError.syntax` with the line for anything else: an unknown format, a number
    /// outside 1...2²⁰, inputs that are no multiple of 32 or of the format's block, head dimensions the attention kernels do not take
    /// (a multiple of 32 up to 256), groups other than 1 and all channels, a window larger than the padded image, a name used twice for one kind.
    public static func parse(_ text: String, model: String, source: String) throws -> [Layer] {
        var layers: [Layer] = []
        var names: Set<String> = []
        for (index, content) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let fields = content.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let kind = fields.first else { continue }
            func wrong(_ reason: String) -> SwiftletError {
                .syntax(source: source, line: index + 1, column: 1, reason: reason, remedy: "Benchmarks/README.md describes the columns.")
            }
            func number(_ field: Int) throws -> Int {
                guard let value = Int(fields[field]), 1...1 << 20 ~= value else {
                    throw wrong("'\(fields[field])' is not a number from 1 to \(1 << 20)")
                }
                return value
            }
            let shape: Shape
            switch (kind, fields.count) {
            case ("linear", 6):
                guard let format = weightFormat(fields[1]) else { throw wrong("no weight format is called '\(fields[1])'") }
                shape = .linear(format: format, outputs: try number(2), inputs: try number(3))
                let inputs = try number(3)
                guard inputs % 32 == 0, format.rowBytes(elements: inputs) != nil else {
                    throw wrong("rows of \(inputs) do not divide into blocks of \(format) and of 32")
                }
            case ("attention", 6):
                let heads = try number(1), shared = try number(2), dimension = try number(3)
                guard heads % shared == 0 else { throw wrong("\(shared) key/value heads do not divide \(heads) heads") }
                guard dimension % 32 == 0, dimension <= 256 else {
                    throw wrong("head dimension \(dimension) is no multiple of 32 up to 256")
                }
                shape = .attention(heads: heads, keyValueHeads: shared, headDimension: dimension)
            case ("convolution", 16):
                let sizes = try (1...9).map(number) + (10...13).map { fields[$0] == "0" ? 0 : try number($0) }
                guard let convolution = ConvolutionShape(sizes) else {
                    throw wrong("no convolution has these sizes: groups are 1 or all channels, and the window is no larger than the padded image")
                }
                shape = .convolution(convolution)
            case ("vector", 4): shape = .vector(elements: try number(1))
            default: throw wrong("'\(kind)' with \(fields.count - 1) columns is no layer")
            }
            let name = fields[fields.count - 1]
            guard names.insert("\(kind) \(name)").inserted else { throw wrong("the \(kind) layer '\(name)' is there twice") }
            layers.append(Layer(model: model, name: name, count: try number(fields.count - 2), shape: shape))
        }
        return layers
    }

    /// Reads a shape file, or those of a folder. Throws as `read(folder:)` does.
    public static func read(path: String) throws -> [Layer] {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue { return try read(folder: path) }
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw SwiftletError.io(path: path, reason: error.localizedDescription, remedy: "Name a readable UTF-8 shape file, or a folder of them.")
        }
        return try parse(text, model: URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent, source: path)
    }

    /// Reads every `.txt` file of a folder, in order of their names. Throws `SwiftletError.io` where one cannot be read, and what `parse` throws.
    public static func read(folder: String) throws -> [Layer] {
        do {
            let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".txt") }.sorted()
            return try files.flatMap { file in
                let path = "\(folder)/\(file)"
                return try parse(String(contentsOfFile: path, encoding: .utf8), model: String(file.dropLast(4)), source: path)
            }
        } catch let error as SwiftletError {
            throw error
        } catch {
            throw SwiftletError.io(path: folder, reason: error.localizedDescription, remedy: "Name a folder of readable UTF-8 shape files.")
        }
    }

    /// The format called `name` as model files call it: "Q4_K", "F16".
    private static func weightFormat(_ name: String) -> WeightFormat? {
        let all = BlockFormat.allCases.map(WeightFormat.block) + [DType.f32, .f16, .bf16].map(WeightFormat.dense)
        return all.first { $0.description == name }
    }
}
