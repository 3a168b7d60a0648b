// Where the result of a compression goes: beside its final name while it is measured, and to that name when it is worth having.
import Foundation
import SwiftletTensor

/// A file or folder to be, and its name until then.
struct CompressionOutput {
    /// The final name, without slashes at its end.
    let path: String
    /// The name under which models are written to be measured.
    let candidate: String

    /// What ONNXWriter puts behind a name for the file of the weights, where these are too many for one file.
    static let weightsSuffix = ".data"

    /// Throws `SwiftletError.io` when nothing can be written there.
    init(_ path: String) throws {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = path
        candidate = "\(path).candidate-\(ProcessInfo.processInfo.processIdentifier)"
        guard FileManager.default.isWritableFile(atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path) else {
            throw SwiftletError.io(path: path, reason: "cannot be written", remedy: "Check that the folder exists and is writable.")
        }
    }

    /// Whether the candidate's weights are in a file that the candidate names.
    var hasSeparateWeights: Bool { FileManager.default.fileExists(atPath: candidate + Self.weightsSuffix) }

    func removeCandidate() {
        for name in [candidate, candidate + Self.weightsSuffix] { try? FileManager.default.removeItem(atPath: name) }
    }

    /// Gives the candidate its name. A folder of that name is put aside first and is back where that fails.
    ///
    /// Throws `SwiftletError.io`.
    func commit() throws {
        var isFolder: ObjCBool = false
        let old = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue ? candidate + ".old" : nil
        if let old { try Self.rename(path, to: old) }
        do {
            try Self.rename(candidate, to: path)
        } catch {
            if let old { try Self.rename(old, to: path) }
            throw error
        }
        if let old { try? FileManager.default.removeItem(atPath: old) }
    }

    private static func rename(_ from: String, to path: String) throws {
        guard Foundation.rename(from, path) == 0 else {
            throw SwiftletError.io(path: path, reason: "cannot be completed: \(String(cString: strerror(errno)))", remedy: "Check that the folder is writable.")
        }
    }
}
