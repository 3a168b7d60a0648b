// How much each column of each matrix matters: the mean square of the activation it multiplies.
//
// The file is a GGUF in the layout llama.cpp's `imatrix` writes and its `quantize` reads: for each matrix `<name>.in_sum2` [columns] with the sum of
// squares and `<name>.counts` [1] with the number of activations, `general.type` = `imatrix`.
import SwiftletFormats
import SwiftletRuntime

/// Importance by the name of the matrix.
public struct ImportanceMatrix: Sendable {
    /// Mean of x² of each column.
    private var columns: [String: [Float]]
    private var counts: [String: Int]

    /// The importance of the columns of a matrix; nil for matrices that were not seen.
    public subscript(name: String) -> [Float]? { columns[name] }

    /// The names of the matrices, sorted.
    public var names: [String] { columns.keys.sorted() }

    /// Runs the data through the graph and sums up what flows into its linear layers.
    package init(_ graph: Graph, scope: Scope = .all, data: any CalibrationData, in context: CompressionContext) throws {
        let layers = graph.layers(in: scope).filter { $0.kind == .linear }
        let moments = try InputMoments.collect(graph, layers: layers, order: .diagonal, data: data, in: context, technique: "calibrate")
        (columns, counts) = ([:], [:])
        for layer in layers {
            guard let key = InputKey(layer, in: graph), let moment = moments[key], moment.rows > 0 else { continue }
            columns[layer.name] = moment.squares.map { $0 / Float(moment.rows) }
            counts[layer.name] = moment.rows
        }
    }

    private static let sums = ".in_sum2"
    private static let countSuffix = ".counts"

    /// Reads a file. Throws `SwiftletError.malformed` where sums and counts do not belong together.
    public init(path: String) throws {
        let file = try GGUFFile(path: path)
        (columns, counts) = ([:], [:])
        for tensor in file.tensors where tensor.name.hasSuffix(Self.sums) {
            let name = String(tensor.name.dropLast(Self.sums.count))
            let count = try file.requiredTensor(named: name + Self.countSuffix)
            guard tensor.format == .dense(.f32), count.format == .dense(.f32), count.shape.elementCount == 1, let rows = try count.dequantized().first, rows >= 1,
                rows <= Float(Int32.max)
            else {
                throw SwiftletError.malformed(
                    file: path, offset: tensor.fileOffset, reason: "'\(tensor.name)' has no one count beside it (matrices of experts are not read)",
                    remedy: "Make the file again with swiftlet calibrate.")
            }
            let values = try tensor.dequantized()
            guard values.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
                throw SwiftletError.malformed(
                    file: path, offset: tensor.fileOffset, reason: "'\(tensor.name)' has sums of squares that are negative or not finite",
                    remedy: "Make the file again with swiftlet calibrate.")
            }
            columns[name] = values.map { $0 / rows }
            counts[name] = Int(rows)
        }
        guard !columns.isEmpty else {
            throw SwiftletError.malformed(
                file: path, offset: 0, reason: "holds no importance: no tensor ends in \(Self.sums)", remedy: "Make it with swiftlet calibrate.")
        }
    }

    /// Writes a file that appears when it is complete. `dataset` is named in it, `chunk` is the length of the windows.
    public func write(to path: String, dataset: String, chunks: Int, chunk: Int) throws {
        var writer = GGUFWriter()
        writer.set("general.type", .string("imatrix"))
        writer.set("imatrix.datasets", .array(.string(GGUFStrings([dataset]))))
        writer.set("imatrix.chunk_count", .uint32(UInt32(clamping: chunks)))
        writer.set("imatrix.chunk_size", .uint32(UInt32(clamping: chunk)))
        for name in names {
            let rows = Float(counts[name] ?? 1), sums = (columns[name] ?? []).map { $0 * rows }
            try writer.add(name: name + Self.sums, shape: [1, sums.count], format: .dense(.f32), store: WeightStore(sums))
            try writer.add(name: name + Self.countSuffix, shape: [1, 1], format: .dense(.f32), store: WeightStore([rows]))
        }
        try writer.write(to: path)
    }

    /// Differs for different contents.
    var digest: String {
        var fingerprint = Fingerprint()
        for name in names { for value in columns[name] ?? [] { fingerprint.add(UInt64(value.bitPattern)) } }
        return fingerprint.text
    }
}
