import Foundation
import SwiftletFormats
import SwiftletTensor
import SwiftletVision
import Testing

/// The pictures of Scripts/make_image_vectors.py and what Pillow and OpenCV make of them.
enum Vectors {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors")

    static func path(_ name: String) -> String { folder.appending(path: name).path }

    static func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: folder.appending(path: name))) }

    static func tensor(_ name: String) throws -> Tensor { try NPYFile.read(path: path("\(name).npy")) }

    static func image(_ name: String) throws -> Image {
        let levels = try tensor(name)
        return try Image(levels, format: levels.shape[2] == 1 ? .gray : levels.shape[2] == 3 ? .rgb : .rgba)
    }

    static func photo() throws -> Image { try image("photo") }
}

/// The largest difference of levels, nil when the pictures differ in size or format.
func largestDifference(_ left: Image, _ right: Image) -> Int? {
    guard left.size == right.size, left.format == right.format else { return nil }
    return left.withLevels { first in right.withLevels { second in zip(first, second).map { abs(Int($0) - Int($1)) }.max() } }
}

/// Runs `body` with a fresh folder that is deleted afterwards.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "swiftlet-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}
