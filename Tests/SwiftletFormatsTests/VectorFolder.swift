import Foundation

/// `Tests/Vectors/files`: small model files made by `make_file_vectors.py`.
let vectorFolder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors/files")

func vectorBytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: vectorFolder.appending(path: name))) }

/// Runs `body` with a fresh folder that is deleted afterwards.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "swiftlet-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}
