// What encoder tests share: the random encoder that is committed, the real one where it has been pulled, and what NumPy makes of both.
// ../Scripts/make_encoder_vectors.py makes the vectors.
import Foundation
import SwiftletFormats
import SwiftletLanguage

enum EncoderFixtures {
    private static let vectors = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors")

    static let tiny = vectors.appending(path: "tiny").path

    /// The folder of all-MiniLM-L6-v2; nil where it has not been pulled.
    static let miniLM = Fixtures.path(of: "all-MiniLM-L6-v2/model.safetensors").map { URL(filePath: $0).deletingLastPathComponent().path }

    struct Expected: Decodable {
        let texts: [String]
        /// Of the texts.
        let ids: [[Int32]]
        /// Texts of the embeddings; nil where those are of `texts`.
        let sentences: [String]?
        /// f32, row after row, in base64.
        let embeddings: String

        var rows: [[Float]] {
            let data = Data(base64Encoded: embeddings) ?? Data()
            let count = (sentences ?? texts).count
            let width = data.count / 4 / max(1, count)
            let values = data.withUnsafeBytes { bytes in (0..<count * width).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) } }
            return (0..<count).map { Array(values[$0 * width..<($0 + 1) * width]) }
        }
    }

    static func expected(_ name: String) throws -> Expected {
        try JSONDecoder().decode(Expected.self, from: Data(contentsOf: vectors.appending(path: name)))
    }

    static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        func product(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
        return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
    }

    static func largestError(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } }

    /// A copy of the random encoder whose files `change` may change, for the time of `body`.
    static func withCopy(_ change: (URL) throws -> Void, _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "swiftlet-encoder-\(UUID().uuidString)")
        try FileManager.default.copyItem(atPath: tiny, toPath: folder.path)
        defer { try? FileManager.default.removeItem(at: folder) }
        try change(folder)
        try body(folder.path)
    }

    /// Replaces a piece of text in a file, which must be there.
    static func replace(_ old: String, _ new: String, in file: URL) throws {
        let text = try String(contentsOf: file, encoding: .utf8)
        guard text.contains(old) else { throw CocoaError(.fileReadCorruptFile) }
        try text.replacingOccurrences(of: old, with: new).write(to: file, atomically: true, encoding: .utf8)
    }
}
