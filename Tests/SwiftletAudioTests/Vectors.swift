import Foundation
import SwiftletFormats
import SwiftletTensor

/// The sound of Scripts/make_audio_vectors.py and what librosa, SciPy and NumPy make of it.
enum Vectors {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors")

    static func tensor(_ name: String) throws -> Tensor { try NPYFile.read(path: folder.appending(path: "\(name).npy").path) }

    static func signal() throws -> [Float] { try tensor("signal").elements() }

    /// The sizes in the names of the files that start so.
    static func sizes(_ prefix: String) throws -> [Int] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).compactMap { name in
            name.hasPrefix(prefix) ? Int(name.dropFirst(prefix.count).prefix { $0 != "." }) : nil
        }.sorted()
    }
}

/// The largest difference, as a part of the largest expected value; infinite when the counts differ.
func relativeError(_ values: [Float], _ expected: [Float]) -> Float {
    guard values.count == expected.count else { return .infinity }
    let scale = expected.map(abs).max() ?? 0
    return (zip(values, expected).map { abs($0 - $1) }.max() ?? 0) / max(scale, .leastNormalMagnitude)
}
