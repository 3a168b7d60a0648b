// External data: tensors whose bytes lie in files beside the model. A model names them, and a hostile one would name any file of the machine.
//
// A location is a relative path of plain names ('weights.bin', 'data/layer0'): no root, no '..', no empty part. The file it leads to, all symbolic
// links followed, must lie in the model's own folder (or in that of the file a link to the model leads to). Each file is mapped once, however many tensors it holds.
// Source: docs/ExternalData.md of github.com/onnx/onnx.
import SwiftletTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct ONNXExternalFiles {
    /// Different files of one model: each is a mapping, of which a process has some ten thousand.
    private static let maximumFiles = 4096

    private let model: FileImage
    /// Opened so far, by location.
    private(set) var files: [String: MappedFile] = [:]

    init(model: FileImage) { self.model = model }

    /// The bytes that the pairs `entries` of a tensor describe. `byteCount` is what its type and shape take.
    mutating func store(
        _ entries: [Onnx_StringStringEntryProto], byteCount: Int, owner: String
    ) throws -> (store: WeightStore, place: ONNXTensor.Place) {
        var values: [String: String] = [:]
        for entry in entries {
            guard values.updateValue(entry.value, forKey: entry.key) == nil else {
                throw invalid(owner, "the external data has the key '\(entry.key)' twice")
            }
        }
        guard let location = values["location"], !location.isEmpty else { throw invalid(owner, "the external data has no location") }
        let offset = try number(values["offset"], "offset", owner) ?? 0
        let length = try number(values["length"], "length", owner)
        if let length, length != byteCount {
            throw invalid(owner, "the external data has \(length) bytes where type and shape take \(byteCount)")
        }
        let file = try file(location, owner)
        guard offset <= file.byteCount, byteCount <= file.byteCount - offset else {
            throw SwiftletError.malformed(
                file: file.path, offset: min(offset, file.byteCount),
                reason: "'\(owner)' needs \(byteCount) bytes from byte \(offset); the file has \(file.byteCount)",
                remedy: "Check that this file belongs to the model, and download it again.")
        }
        return (WeightStore(file: file, range: offset..<offset + byteCount), ONNXTensor.Place(path: file.path, offset: offset))
    }

    private func number(_ text: String?, _ key: String, _ owner: String) throws -> Int? {
        guard let text else { return nil }
        guard let value = Int(text), value >= 0 else { throw invalid(owner, "the external data has the \(key) '\(text)'") }
        return value
    }

    private mutating func file(_ location: String, _ owner: String) throws -> MappedFile {
        if let file = files[location] { return file }
        guard model.mapping != nil else {
            throw SwiftletError.unsupported(
                file: model.name, place: "'\(owner)'", reason: "the tensor lies in '\(location)', and a model in memory has no folder",
                remedy: "Open the model from its file.")
        }
        guard files.count < Self.maximumFiles else { throw invalid(owner, "the model has more than \(Self.maximumFiles) external files") }
        let file = try MappedFile(path: try path(location, owner))
        files[location] = file
        return file
    }

    /// The path of a location, without symbolic links. Throws unless it lies in the model's folder.
    private func path(_ location: String, _ owner: String) throws -> String {
        var parts = location.split(separator: "/", omittingEmptySubsequences: false)
        while parts.count > 1, parts.first == "." { parts.removeFirst() }
        guard parts.allSatisfy({ !["", ".", ".."].contains($0) && !$0.contains("\\") && !$0.utf8.contains(0) }) else {
            throw leaves(owner, "the location '\(location)' is not a plain path inside the model's folder")
        }
        let folder = Self.folder(of: model.name)
        let target = try real(folder + "/" + parts.joined(separator: "/"), owner)
        // Caches keep models as links into a folder of blobs, data files and all: beside the real model is as good as beside the link to it.
        let allowed = [try real(folder, owner), Self.folder(of: try real(model.name, owner))]
        guard allowed.contains(where: { target.utf8.starts(with: ($0.hasSuffix("/") ? $0 : $0 + "/").utf8) }) else {
            throw leaves(owner, "the location '\(location)' leads to '\(target)', outside the model's folder '\(folder)'")
        }
        return target
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private func real(_ path: String, _ owner: String) throws -> String {
        guard let resolved = realpath(path, nil) else {
            throw SwiftletError.io(
                path: path, reason: "cannot be opened: \(String(cString: strerror(errno))); the tensor '\(owner)' lies there",
                remedy: "Put the model's data files beside it.")
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private func invalid(_ owner: String, _ reason: String) -> SwiftletError {
        .invalidGraph(node: owner, reason: "\(reason), in \(model.name)", remedy: ONNXTensorReader.remedy)
    }

    private func leaves(_ owner: String, _ reason: String) -> SwiftletError {
        .invalidGraph(
            node: owner, reason: "\(reason), in \(model.name)",
            remedy: "Do not trust this model; one of your own is saved again with onnx.save, its data beside it.")
    }
}
