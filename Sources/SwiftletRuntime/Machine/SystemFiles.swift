// The text files in which Linux describes a machine (/proc, /sys). Read through a value, so that tests can describe other machines.
import Foundation

/// Reads the system's description files by path.
package struct SystemFiles: Sendable {
    private let readText: @Sendable (String) -> String?

    package init(_ read: @escaping @Sendable (String) -> String?) { readText = read }

    /// The files of the machine this process runs on.
    package static let live = SystemFiles { path in
        // Files under /proc state no size, so they are read to their end.
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? file.close() }
        guard let data = try? file.readToEnd() else { return nil }
        return String(decoding: data, as: UTF8.self)
    }

    /// The trimmed text of a file, or nil when there is none.
    package func text(_ path: String) -> String? { readText(path)?.trimmingCharacters(in: .whitespacesAndNewlines) }

    package func integer(_ path: String) -> Int? { text(path).flatMap { Int($0) } }

    /// The value after `key` and a colon, in a file of "key: value" lines.
    package func field(_ key: String, in path: String) -> String? {
        for line in (text(path) ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].trimmingCharacters(in: .whitespaces) == key {
                return parts[1].trimmingCharacters(in: .whitespaces)
            }
        }
        return nil
    }

    /// A field such as "1234 kB", in bytes.
    package func bytes(_ key: String, in path: String) -> Int? {
        guard let words = field(key, in: path)?.split(separator: " "), let value = words.first.flatMap({ Int($0) }) else { return nil }
        let (bytes, overflow) = value.multipliedReportingOverflow(by: words.count > 1 && words[1].lowercased() == "kb" ? 1024 : 1)
        return overflow ? nil : bytes
    }

    /// The numbers of a list such as "0-3,8,10-11" (the format of Linux's CPU lists). Numbers above 65,535 are left out.
    package static func numbers(_ list: String) -> [Int] {
        list.split(separator: ",").flatMap { part -> [Int] in
            let ends = part.split(separator: "-").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
            guard let first = ends.first, let last = ends.last, first >= 0, first <= last, last < 65_536 else { return [] }
            return Array(first...last)
        }
    }
}
