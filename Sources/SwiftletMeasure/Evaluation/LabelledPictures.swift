// Picture files, and what is in them: a CSV of file names and classes, or a folder a class.
import Foundation
import SwiftletTensor
import SwiftletVision

/// Pictures with the class of each where it is known.
public struct LabelledPictures: Sendable {
    public struct Picture: Sendable, Equatable {
        public var path: String
        /// The index of its class; nil where nothing says it.
        public var label: Int?
    }

    public var pictures: [Picture]

    private static let suffixes: Set<String> = ["jpg", "jpeg", "png"]

    /// The pictures at `paths`, files and folders of them, in order.
    ///
    /// `truth` is a file of lines `name.jpg,207` (the first may name the columns). Without it, folders inside the folder stand for classes:
    /// by their names where these are numbers, or by their place in the alphabet.
    ///
    /// Throws `SwiftletError.io` for folders without pictures, and `.syntax` for a line of `truth` that has no class.
    public init(_ paths: [String], truth: String? = nil) throws {
        let classes = try truth.map { try Self.classes($0) }
        pictures = try paths.flatMap { path -> [Picture] in
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else { return [Picture(path: path, label: nil)] }
            let found = try classes == nil ? Self.picturesByFolder(path) : nil
            return try found ?? Self.files(path).map { Picture(path: $0, label: nil) }
        }
        guard let classes else { return }
        for index in pictures.indices { pictures[index].label = classes[URL(fileURLWithPath: pictures[index].path).lastPathComponent] }
        guard pictures.contains(where: { $0.label != nil }) else {
            throw SwiftletError.invalidArgument(
                name: truth ?? "", reason: "names none of the \(pictures.count) pictures", remedy: "Check the file names in it.")
        }
    }

    /// The first `count`, evenly spread over all.
    public func spread(_ count: Int) -> [Picture] {
        let taken = min(count, pictures.count)
        return (0..<taken).map { pictures[$0 * pictures.count / taken] }
    }

    private static func names(_ folder: String) throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        } catch {
            throw SwiftletError.io(path: folder, reason: "cannot be listed: \(error.localizedDescription)", remedy: "Check its permissions.")
        }
    }

    private static func files(_ folder: String) throws -> [String] {
        let files = try names(folder).filter { suffixes.contains(($0 as NSString).pathExtension.lowercased()) }.map { folder + "/" + $0 }
        guard !files.isEmpty else {
            throw SwiftletError.io(path: folder, reason: "the folder has no JPEG or PNG files", remedy: "Give another folder, or the files themselves.")
        }
        return files
    }

    /// Nil where the folder has no folders.
    private static func picturesByFolder(_ folder: String) throws -> [Picture]? {
        let folders = try names(folder).filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: folder + "/" + name, isDirectory: &isFolder) && isFolder.boolValue && !name.hasPrefix(".")
        }
        guard !folders.isEmpty else { return nil }
        let numbers = folders.compactMap { Int($0) }
        return try folders.enumerated().flatMap { index, name in
            try files(folder + "/" + name).map { Picture(path: $0, label: numbers.count == folders.count ? numbers[index] : index) }
        }
    }

    private static func classes(_ path: String) throws -> [String: Int] {
        var classes: [String: Int] = [:]
        for (number, line) in try ImageModelCard.labels(path: path).enumerated() where !line.isEmpty {
            guard let comma = line.lastIndex(of: ","), let index = Int(line[line.index(after: comma)...].trimmingCharacters(in: .whitespaces)) else {
                // The first line may name the columns.
                if number == 0 { continue }
                throw SwiftletError.syntax(source: path, line: number + 1, column: 1, reason: "the line has no class index", remedy: "Write: file.jpg,207")
            }
            classes[String(line[..<comma])] = index
        }
        return classes
    }
}
