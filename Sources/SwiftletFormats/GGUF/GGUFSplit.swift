// Split models: `name-00001-of-00003.gguf` and so on. Each part is a GGUF file with three more keys:
// split.no (u16, from 0), split.count (u16) and split.tensors.count (i32, over all parts).
// Source: llama.cpp's gguf-split and the `gguf` Python package.
import SwiftletTensor

enum GGUFSplit {
    struct Part {
        let path: String
        let contents: GGUFParser.Contents
    }

    static let numberKey = "split.no"
    static let countKey = "split.count"
    static let tensorCountKey = "split.tensors.count"
    static let keys: Set<String> = [numberKey, countKey, tensorCountKey]

    /// The name of part `number` (from 0) of `count`.
    static func path(prefix: String, number: Int, count: Int) -> String {
        "\(prefix)-\(padded(number + 1))-of-\(padded(count)).gguf"
    }

    /// All parts of the model that `opened` belongs to, in order; only itself when it is not split.
    static func parts(path: String, opened: GGUFParser.Contents) throws -> [Part] {
        let count = try opened.metadata.int(countKey, default: 1)
        guard count != 1 else { return [Part(path: path, contents: opened)] }
        let number = try opened.metadata.requiredInt(numberKey)
        let total = try opened.metadata.requiredInt(tensorCountKey)
        guard count > 1, (0..<count).contains(number) else {
            throw mismatch(path, "the file says it is part \(number) (from 0) of \(count)")
        }
        let suffix = Self.path(prefix: "", number: number, count: count)
        guard path.hasSuffix(suffix) else {
            throw mismatch(path, "the file is part \(number + 1) of \(count), so its name must end in '\(suffix)'")
        }
        let prefix = String(path.dropLast(suffix.count))
        var parts: [Part] = []
        for index in 0..<count {
            if index == number {
                parts.append(Part(path: path, contents: opened))
            } else {
                parts.append(try part(prefix: prefix, number: index, count: count, total: total))
            }
        }
        let found = parts.reduce(0) { $0 + $1.contents.tensors.count }
        guard found == total else { throw mismatch(path, "the parts hold \(found) tensors, but \(total) are promised") }
        return parts
    }

    private static func part(prefix: String, number: Int, count: Int, total: Int) throws -> Part {
        let path = Self.path(prefix: prefix, number: number, count: count)
        let image: FileImage
        do {
            image = try FileImage(path: path)
        } catch SwiftletError.io(_, let reason, _) {
            throw SwiftletError.io(
                path: path, reason: "part \(number + 1) of \(count) of a split model \(reason)",
                remedy: "Put all \(count) parts into one folder under their own names.")
        }
        let contents = try GGUFParser.parse(image)
        let metadata = contents.metadata
        guard try metadata.requiredInt(numberKey) == number, try metadata.requiredInt(countKey) == count,
            try metadata.requiredInt(tensorCountKey) == total
        else {
            throw mismatch(path, "its split keys do not agree with its name and the other parts")
        }
        return Part(path: path, contents: contents)
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    private static func mismatch(_ path: String, _ reason: String) -> SwiftletError {
        .malformed(
            file: path, offset: GGUFFile.headerBytes, reason: "split model: \(reason)",
            remedy: "Download all parts again, from one place, and keep their names.")
    }
}
