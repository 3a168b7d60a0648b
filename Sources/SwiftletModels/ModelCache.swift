// The folder pulled models live in, and the rule that turns a model argument (a path or a name) into a path.
//
//     <root>/SmolLM2-135M-Instruct.Q4_1.gguf        a model
//     <root>/SmolLM2-135M-Instruct.Q4_1.gguf.json   where it came from and its checksum
//     <root>/all-MiniLM-L6-v2/model.safetensors     a model of several files, and beside it config.json, tokenizer.json ...
//     <root>/some-model.gguf.part, .part.json       a download that was interrupted, and what it needs to go on
import Foundation
import SwiftletTensor

/// The folder that holds pulled models.
public struct ModelCache: Sendable {
    /// The folder. It need not exist yet.
    public let root: URL

    /// A model that lies in the cache.
    public struct Entry: Sendable, Codable, Equatable {
        /// The name to pass as a model argument.
        public let name: String
        public let path: String
        /// Size of the file, in bytes.
        public let byteCount: Int
        /// Address or package the file came from; absent when the file was put there by hand.
        public let source: String?
        /// SHA-256 taken when the file was pulled, in lower-case hexadecimal.
        public let sha256: String?
    }

    /// What is remembered beside a pulled file.
    struct Origin: Codable {
        let source: String
        let sha256: String
        let byteCount: Int
    }

    static let modelExtensions: Set<String> = ["gguf", "safetensors", "onnx"]

    /// The cache at `root`, or where the environment variable `SWIFTLET_CACHE` says, or `~/.cache/swiftlet`.
    public init(root: URL? = nil) {
        self.root = root ?? URL(fileURLWithPath: CacheFolder.path, isDirectory: true)
    }

    /// The models in the cache, by name. An absent folder holds none; throws `SwiftletError.io` when the folder cannot be read.
    public func entries() throws -> [Entry] {
        guard FileManager.default.fileExists(atPath: root.path) else { return [] }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: root.path)
        } catch {
            throw SwiftletError.io(
                path: root.path, reason: "cannot be listed: \(error.localizedDescription)",
                remedy: "Check its permissions, or set SWIFTLET_CACHE.")
        }
        let inFolders = KnownModel.all.filter { !$0.companions.isEmpty && isComplete($0) }.map(\.fileName)
        return (names + inFolders).sorted().compactMap { fileName in
            let file = root.appendingPathComponent(fileName)
            guard Self.modelExtensions.contains(file.pathExtension.lowercased()), let bytes = byteCount(of: file) else { return nil }
            let origin = origin(of: file)
            let known = KnownModel.all.first { $0.fileName == fileName }
            return Entry(
                name: known?.name ?? Self.name(ofFile: fileName), path: file.path, byteCount: bytes, source: origin?.source,
                sha256: origin?.sha256)
        }
    }

    /// The path of a model: `argument` itself when it names a file, else the pulled model of that name.
    ///
    /// Throws `SwiftletError.io` when the argument is a path (it has a slash or a model's extension) and no file is there, and
    /// `SwiftletError.invalidArgument` when it is a name that is unknown or not pulled yet.
    public func resolve(_ argument: String) throws -> String {
        if byteCount(of: URL(fileURLWithPath: argument)) != nil { return argument }
        if let known = KnownModel.named(argument) {
            let file = root.appendingPathComponent(known.fileName)
            if isComplete(known) { return file.path }
            throw SwiftletError.invalidArgument(
                name: "model", reason: "'\(argument)' is not in the cache \(root.path)", remedy: "Run: swiftlet pull \(argument)")
        }
        let pulled = try entries()
        if let entry = pulled.first(where: { $0.name == argument || URL(fileURLWithPath: $0.path).lastPathComponent == argument }) {
            return entry.path
        }
        let isPath = argument.contains("/") || Self.modelExtensions.contains(URL(fileURLWithPath: argument).pathExtension.lowercased())
        if isPath, !argument.contains("://") {
            throw SwiftletError.io(
                path: argument, reason: "is not a file", remedy: "Check the path, or pull a model by name: \(Self.knownNames).")
        }
        let others = pulled.map(\.name).filter { KnownModel.named($0) == nil }
        throw SwiftletError.invalidArgument(
            name: "model", reason: "'\(argument)' is neither a file nor a known model",
            remedy: "Known models: \(Self.knownNames)\(others.isEmpty ? "" : "; pulled: \(others.joined(separator: ", "))"). "
                + "Run: swiftlet pull NAME, or swiftlet pull https://...")
    }

    /// As `resolve(_:)` for models of several files: a folder stands for itself.
    public func resolveFolder(_ argument: String) throws -> String {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: argument, isDirectory: &isFolder), isFolder.boolValue { return argument }
        return try resolve(argument)
    }

    /// Whether all files of a known model are there and have their sizes.
    func isComplete(_ model: KnownModel) -> Bool {
        byteCount(of: root.appendingPathComponent(model.fileName)) == model.byteCount
            && model.companions.allSatisfy { byteCount(of: root.appendingPathComponent($0.fileName)) == $0.byteCount }
    }

    private static var knownNames: String { KnownModel.all.map(\.name).joined(separator: ", ") }

    /// The name under which a file is found again: its own without the extension.
    static func name(ofFile fileName: String) -> String { (fileName as NSString).deletingPathExtension }

    /// Size of a regular file in bytes, or nil when there is none.
    func byteCount(of file: URL) -> Int? {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: file.resolvingSymlinksInPath().path),
            attributes[.type] as? FileAttributeType == .typeRegular
        else { return nil }
        return (attributes[.size] as? NSNumber)?.intValue
    }

    func origin(of file: URL) -> Origin? {
        guard let data = try? Data(contentsOf: file.appendingPathExtension("json")) else { return nil }
        return try? JSONDecoder().decode(Origin.self, from: data)
    }

    /// Makes a folder of the cache, by default the cache itself. Throws `SwiftletError.io` when that fails.
    func createFolder(_ folder: URL? = nil) throws {
        let folder = folder ?? root
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw SwiftletError.io(
                path: folder.path, reason: "cannot be created: \(error.localizedDescription)",
                remedy: "Check the permissions, or name another folder in SWIFTLET_CACHE.")
        }
    }

    /// Throws `SwiftletError.io` when the file system of the cache has less than `bytes` free.
    func requireSpace(_ bytes: Int) throws {
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: root.path)
        guard let free = (attributes?[.systemFreeSize] as? NSNumber)?.intValue, free < bytes else { return }
        throw SwiftletError.io(
            path: root.path, reason: "has \(free) bytes free where \(bytes) are needed",
            remedy: "Free some space, or name a folder on another disk in SWIFTLET_CACHE.")
    }

    /// SHA-256 of a file, in lower-case hexadecimal. Throws `SwiftletError.io` when it cannot be read.
    package static func sha256(of file: URL) throws -> String {
        let mapped = try MappedFile(path: file.path)
        var sum = SHA256()
        sum.update(mapped.bytes)
        return sum.finish()
    }

    /// Checks a fetched file and gives it its name in the cache; a reader sees the whole file or none.
    ///
    /// Throws `SwiftletError.checksumMismatch`, after deleting the file, when `expected` is given and differs.
    func install(_ fetched: URL, as fileName: String, source: String, expected: String?) throws -> Entry {
        let bytes = byteCount(of: fetched) ?? 0
        let actual = try place(fetched, as: fileName, expected: expected)
        let final = root.appendingPathComponent(fileName)
        let record = try JSONEncoder().encode(Origin(source: source, sha256: actual, byteCount: bytes))
        do {
            try record.write(to: final.appendingPathExtension("json"), options: .atomic)
        } catch {
            throw SwiftletError.io(
                path: final.path + ".json", reason: "cannot be written: \(error.localizedDescription)",
                remedy: "Check the space and permissions.")
        }
        let known = KnownModel.all.first { $0.fileName == fileName }
        return Entry(name: known?.name ?? Self.name(ofFile: fileName), path: final.path, byteCount: bytes, source: source, sha256: actual)
    }

    /// As `install`, without a record of where the file came from. Returns its SHA-256.
    @discardableResult
    func place(_ fetched: URL, as fileName: String, expected: String?) throws -> String {
        let actual = try Self.sha256(of: fetched)
        if let expected, expected.lowercased() != actual {
            try? FileManager.default.removeItem(at: fetched)
            throw SwiftletError.checksumMismatch(
                file: fetched.path, expected: expected.lowercased(), actual: actual,
                remedy: "Pull it again; if it fails again, do not use this source.")
        }
        let final = root.appendingPathComponent(fileName)
        if fileName.contains("/") { try createFolder(final.deletingLastPathComponent()) }
        guard rename(fetched.path, final.path) == 0 else {
            throw SwiftletError.io(
                path: final.path, reason: "cannot be written: \(String(cString: strerror(errno)))",
                remedy: "Check the permissions of the folder.")
        }
        return actual
    }
}
