// Reading what a command works on: a file named by an option, or standard input when something is piped into it.
import ArgumentParser
import Foundation
import SwiftletTensor

enum InputFile {
    /// The bytes of a file. Throws `SwiftletError.io`.
    static func bytes(_ path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        return try readAll(descriptor, name: path)
    }

    /// The text of a file, bytes that are no UTF-8 replaced. Throws `SwiftletError.io`.
    static func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

    /// All of standard input. Throws `SwiftletError.io`.
    static func standardInput() throws -> [UInt8] {
        try readAll(STDIN_FILENO, name: "standard input")
    }

    private static func readAll(_ descriptor: Int32, name: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(name) }
            guard count > 0 else { return bytes }
            bytes += part[..<count]
        }
    }

    /// The error that errno tells.
    private static func failure(_ name: String) -> SwiftletError {
        .io(path: name, reason: "cannot be read: \(String(cString: strerror(errno)))", remedy: "Check the path and its permissions.")
    }

    /// The text of an option, else of a file, else of standard input, without one newline at the end of the latter two.
    static func text(option: String?, file: String?) throws -> String {
        if let option { return option }
        var bytes = try file.map(bytes) ?? standardInput()
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Throws a usage error unless exactly one of the two is given, or neither while something is piped in.
    static func validate(option: String?, _ name: String, file: String?) throws {
        if option != nil, file != nil { throw ValidationError("Give \(name) or --file, not both.") }
        if option == nil, file == nil, Console.readsFromTerminal {
            throw ValidationError("Give \(name) or --file, or pipe a text into the command.")
        }
    }
}
