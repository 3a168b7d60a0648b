// A file from an https address, resumed where an earlier attempt stopped.
//
// Bytes go to `<file>.part`; `<file>.part.json` remembers the address and the server's validator (ETag or Last-Modified). The next attempt asks for
// the rest with `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14.2): a server whose file has changed answers with the whole file, and
// the download starts over. libcurl asks for them: it is there wherever Swift is, and is loaded only here (see ccurl.h for what that saves).
import CCurl
import Foundation
import SwiftletTensor
import Synchronization

/// One download. `run` returns when `part` is whole.
struct URLDownload {
    let address: URL
    let part: URL
    let cache: ModelCache
    let progress: @Sendable (PullProgress) -> Void

    /// What the `.part.json` beside an unfinished file holds.
    private struct Resumption: Codable {
        let address: String
        let validator: String
    }

    private var record: URL { part.appendingPathExtension("json") }

    /// Throws `SwiftletError.invalidArgument` unless the address is `https`, or `http` to this machine itself.
    static func requireAllowed(_ address: URL) throws {
        let host = address.host ?? ""
        if address.scheme == "https", !host.isEmpty { return }
        if address.scheme == "http", ["127.0.0.1", "localhost", "::1"].contains(host) { return }
        throw SwiftletError.invalidArgument(
            name: "address", reason: "'\(address.absoluteString)' is not an https address",
            remedy: "Use https; http serves this machine only.")
    }

    func run() async throws {
        let file = try PartFile(part)
        defer { file.close() }
        // Compressed answers would make offsets meaningless.
        var headers = ["Accept-Encoding: identity"]
        var offset = try file.byteCount()
        if offset > 0, let resumption = savedResumption() {
            headers += ["Range: bytes=\(offset)-", "If-Range: \(resumption.validator)"]
        } else {
            offset = 0
            try file.truncate()
        }
        let receiver = Receiver(address: address, file: file, offset: offset, progress: progress) { head, total in
            try remember(head)
            if let total { try cache.requireSpace(total - offset) }
        }
        let asked = headers
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                // A thread of its own, because the transfer holds it to the end.
                Thread.detachNewThread { continuation.resume(with: Result { try receiver.receive(asked) }) }
            }
        } onCancel: {
            receiver.cancel()
        }
        try Task.checkCancellation()
        try? FileManager.default.removeItem(at: record)
    }

    private func savedResumption() -> Resumption? {
        guard let data = try? Data(contentsOf: record), let saved = try? JSONDecoder().decode(Resumption.self, from: data),
            saved.address == address.absoluteString, !saved.validator.contains(where: \.isNewline)
        else { return nil }
        return saved
    }

    /// Saves what a resumption needs. Without a validator that changes with every byte of the file, there will be none. (A weak ETag does not.)
    private func remember(_ head: AnswerHead) throws {
        let tag = head["ETag"].flatMap { $0.hasPrefix("W/") ? nil : $0 }
        guard let validator = tag ?? head["Last-Modified"] else {
            try? FileManager.default.removeItem(at: record)
            return
        }
        try JSONEncoder().encode(Resumption(address: address.absoluteString, validator: validator)).write(to: record, options: .atomic)
    }
}

/// The unfinished file, held by one process at a time.
///
/// `@unchecked Sendable`: opened before the transfer starts, then used on its thread only, and closed after it is done.
final class PartFile: @unchecked Sendable {
    private let path: String
    private let descriptor: Int32

    /// Opens or creates the file. Throws `SwiftletError.io` when that fails or another process is downloading to it.
    init(_ url: URL) throws {
        path = url.path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Self.error(path, "cannot be opened") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            _ = Self.closeDescriptor(descriptor)
            throw SwiftletError.io(path: path, reason: "another process is downloading to it", remedy: "Wait for it to end.")
        }
    }

    func close() { _ = Self.closeDescriptor(descriptor) }

    func byteCount() throws -> Int {
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else { throw Self.error(path, "cannot be examined") }
        return Int(end)
    }

    func truncate() throws {
        guard ftruncate(descriptor, 0) == 0, lseek(descriptor, 0, SEEK_SET) == 0 else { throw Self.error(path, "cannot be emptied") }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw Self.error(path, "cannot be written") }
            rest = rest.dropFirst(written)
        }
    }

    private static func error(_ path: String, _ action: String) -> SwiftletError {
        let full = errno == ENOSPC
        return .io(
            path: path, reason: "\(action): \(String(cString: strerror(errno)))",
            remedy: full ? "Free some space, or name a folder on another disk in SWIFTLET_CACHE." : "Check the permissions of the folder.")
    }

    private static func closeDescriptor(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.close(descriptor)
        #else
            Darwin.close(descriptor)
        #endif
    }
}

/// Status and headers of an answer.
private struct AnswerHead {
    private(set) var status = 0
    private var fields: [String: String] = [:]

    /// The value of a header, by its name in any case.
    subscript(name: String) -> String? { fields[name.lowercased()] }

    /// Takes a line in: "HTTP/1.1 200 OK" begins a new head, others are "Name: value".
    mutating func read(_ line: String) {
        if line.hasPrefix("HTTP/") {
            self = AnswerHead()
            status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        } else if let colon = line.firstIndex(of: ":") {
            fields[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
    }
}

/// Asks for the file, follows where the server sends to, and writes the answer down.
///
/// `@unchecked Sendable`: all state but the flag of cancellation is touched on the thread that receives.
private final class Receiver: @unchecked Sendable {
    private let address: URL
    private let file: PartFile
    private var offset: Int
    private let progress: @Sendable (PullProgress) -> Void
    private let accepted: (AnswerHead, _ totalBytes: Int?) throws -> Void
    private let cancelled = Atomic(false)
    private var head = AnswerHead()
    private var total: Int?
    private var failure: (any Error)?

    /// As many redirections as browsers follow.
    private static let mostRedirections = 20

    init(
        address: URL, file: PartFile, offset: Int, progress: @escaping @Sendable (PullProgress) -> Void,
        accepted: @escaping (AnswerHead, _ totalBytes: Int?) throws -> Void
    ) {
        self.address = address
        self.file = file
        self.offset = offset
        self.progress = progress
        self.accepted = accepted
    }

    func cancel() { cancelled.store(true, ordering: .relaxed) }

    /// Returns when the file is whole.
    func receive(_ headers: [String]) throws {
        var place = address
        for _ in 0...Self.mostRedirections {
            try URLDownload.requireAllowed(place)
            guard let next = try receive(from: place, headers) else {
                if let total, offset != total { throw refusal("the connection ended after \(offset) of \(total) bytes") }
                return
            }
            place = next
        }
        throw refusal("it sends from one address to the next", remedy: "Check the address.")
    }

    /// One request. Returns the address that the server names instead, if it does.
    private func receive(from place: URL, _ headers: [String]) throws -> URL? {
        // An address that is longer than this is not followed.
        let (messageBytes, redirectBytes) = (256, 8192)
        let message = UnsafeMutablePointer<CChar>.allocate(capacity: messageBytes), redirect = UnsafeMutablePointer<CChar>.allocate(capacity: redirectBytes)
        let address = strdup(place.absoluteString), lines = headers.map { UnsafePointer(strdup($0)) }
        defer {
            message.deallocate()
            redirect.deallocate()
            free(address)
            for line in lines { free(UnsafeMutablePointer(mutating: line)) }
        }
        var texts = ccurl_texts(message: message, message_bytes: messageBytes, redirect: redirect, redirect_bytes: redirectBytes)
        let outcome = lines.withUnsafeBufferPointer { lines in
            var request = ccurl_request(
                address: address, headers: lines.baseAddress, header_count: lines.count, context: Unmanaged.passUnretained(self).toOpaque(),
                head: { context, line, length in
                    Receiver.of(context).take { try $0.readHead(UnsafeRawBufferPointer(start: line, count: length)) }
                },
                body: { context, bytes, count in
                    Receiver.of(context).take { try $0.append(UnsafeRawBufferPointer(start: bytes, count: count)) }
                },
                is_cancelled: { Receiver.of($0).cancelled.load(ordering: .relaxed) })
            return ccurl_get(&request, &texts)
        }
        if let failure { throw failure }
        if cancelled.load(ordering: .relaxed) { throw CancellationError() }
        switch outcome {
        case CCURL_DONE: break
        case CCURL_NO_LIBRARY:
            throw refusal("\(String(cString: message)), which downloads, is not installed", remedy: "Install it: apt-get install libcurl4")
        default: throw refusal(String(cString: message))
        }
        let next = String(cString: redirect)
        guard !next.isEmpty else { return nil }
        guard let next = URL(string: next) else { throw refusal("it sends to '\(next)', which is no address", remedy: "Check the address.") }
        return next
    }

    private static func of(_ context: UnsafeMutableRawPointer?) -> Receiver {
        Unmanaged<Receiver>.fromOpaque(context!).takeUnretainedValue()
    }

    /// Whether the transfer goes on after `body`.
    private func take(_ body: (Receiver) throws -> Void) -> Bool {
        do {
            try body(self)
            return true
        } catch {
            failure = error
            return false
        }
    }

    private func readHead(_ bytes: UnsafeRawBufferPointer) throws {
        let line = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines)
        if !line.isEmpty { return head.read(line) }
        // The head is whole. Below 200 another follows; behind 300 another request does.
        if head.status >= 200, !isRedirection { try accept() }
    }

    private var isRedirection: Bool { 300..<400 ~= head.status && head["Location"] != nil }

    /// Decides from status and headers where the bytes to come belong.
    private func accept() throws {
        switch head.status {
        case 200:
            // The whole file, whatever was asked for.
            try file.truncate()
            offset = 0
            total = head["Content-Length"].flatMap { Int($0) }
        case 206:
            // "bytes FIRST-LAST/TOTAL"
            let range = (head["Content-Range"] ?? "").split(whereSeparator: { " -/".contains($0) })
            guard range.count == 4, Int(range[1]) == offset else { throw refusal("it resumed at the wrong place") }
            total = Int(range[3])
        case 416:
            try file.truncate()
            throw refusal("the unfinished file is longer than the whole", remedy: "Pull again: it starts over.")
        default:
            throw refusal("the server answered \(head.status)", remedy: "Check the address.")
        }
        if let total, total < offset { throw refusal("it promises \(total) bytes after \(offset)") }
        try accepted(head, total)
        progress(PullProgress(phase: .downloading, bytes: offset, totalBytes: total))
    }

    private func append(_ bytes: UnsafeRawBufferPointer) throws {
        // What an answer says that sends elsewhere is no part of the file.
        if isRedirection { return }
        try file.append(bytes)
        offset += bytes.count
        progress(PullProgress(phase: .downloading, bytes: offset, totalBytes: total))
    }

    private func refusal(_ reason: String, remedy: String = "Check the network and pull again: it goes on where it stopped.")
        -> SwiftletError
    {
        .download(source: address.absoluteString, reason: reason, remedy: remedy)
    }
}
