// The folder of packed weights, for those who look at it from outside: how large it is, and emptying it.
import Foundation

/// A folder of packed weights, one file a model. Everything in it can be deleted at any time: running models keep what they have mapped.
public struct WeightCacheFolder: Sendable {
    public let path: String

    /// One model's packed weights.
    public struct Entry: Sendable, Codable, Equatable {
        public let path: String
        public let byteCount: Int
        /// Where the model lay when it was packed; nil when the file cannot be read.
        public let model: String?
        /// Whether the model is still there.
        public let modelExists: Bool
    }

    /// The folder at `path`, or `packed` in the cache (`SWIFTLET_CACHE`, or `~/.cache/swiftlet`).
    public init(path: String? = nil) { self.path = path ?? (CacheFolder.path as NSString).appendingPathComponent("packed") }

    /// What is in the folder, by name; unfinished files of processes that died included. None when the folder is absent.
    public func entries() -> [Entry] {
        files().map { file in
            let bytes = (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? NSNumber)?.intValue ?? 0
            let model = try? PanelFile.modelPath(of: file)
            return Entry(path: file, byteCount: bytes, model: model, modelExists: model.map { FileManager.default.fileExists(atPath: $0) } ?? false)
        }
    }

    /// Deletes all packed weights in the folder (and nothing else), or only those for which `isGone` holds; returns what was deleted.
    ///
    /// Throws `SwiftletError.io` when a file cannot be deleted.
    @discardableResult
    public func clear(where isGone: (Entry) -> Bool = { _ in true }) throws -> [Entry] {
        let doomed = entries().filter(isGone)
        for entry in doomed {
            guard unlink(entry.path) == 0 || errno == ENOENT else {
                throw SwiftletError.io(
                    path: entry.path, reason: "cannot be deleted: \(String(cString: strerror(errno)))", remedy: "Check the permissions of the folder.")
            }
        }
        return doomed
    }

    private func files() -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        let suffix = "." + PanelCache.fileExtension
        return names.filter { $0.hasSuffix(suffix) || $0.contains(suffix + ".partial-") }.sorted().map {
            (path as NSString).appendingPathComponent($0)
        }
    }
}
