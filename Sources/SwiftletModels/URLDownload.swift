// A file from an https address, resumed where an earlier attempt stopped.
//
// Bytes go to `<file>.part`; `<file>.part.json` remembers the address and the server's validator (ETag or Last-Modified). The next attempt asks for
// the rest with `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14.2): a server whose file has changed answers with the whole file, and
// the download starts over. URLSession ships with Swift on every platform, so nothing has to be installed.
import Foundation
import SwiftletTensor

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

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
        var request = URLRequest(url: address, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: 60)
        // Compressed answers would make offsets meaningless.
        request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
        var offset = try file.byteCount()
        if offset > 0, let resumption = savedResumption() {
            request.setValue("bytes=\(offset)-", forHTTPHeaderField: "Range")
            request.setValue(resumption.validator, forHTTPHeaderField: "If-Range")
        } else {
            offset = 0
            try file.truncate()
        }
        let receiver = Receiver(address: address, file: file, offset: offset, progress: progress) { response, total in
            try remember(response)
            if let total { try cache.requireSpace(total - offset) }
        }
        let session = URLSession(configuration: .ephemeral, delegate: receiver, delegateQueue: receiver.queue)
        defer { session.finishTasksAndInvalidate() }
        let task = session.dataTask(with: request)
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                receiver.start(task, continuation)
            }
        } onCancel: {
            task.cancel()
        }
        try Task.checkCancellation()
        try? FileManager.default.removeItem(at: record)
    }

    private func savedResumption() -> Resumption? {
        guard let data = try? Data(contentsOf: record), let saved = try? JSONDecoder().decode(Resumption.self, from: data),
            saved.address == address.absoluteString
        else { return nil }
        return saved
    }

    /// Saves what a resumption needs. Without a validator that changes with every byte of the file, there will be none. (A weak ETag does not.)
    private func remember(_ response: HTTPURLResponse) throws {
        let tag = response.value(forHTTPHeaderField: "ETag").flatMap { $0.hasPrefix("W/") ? nil : $0 }
        guard let validator = tag ?? response.value(forHTTPHeaderField: "Last-Modified") else {
            try? FileManager.default.removeItem(at: record)
            return
        }
        try JSONEncoder().encode(Resumption(address: address.absoluteString, validator: validator)).write(to: record, options: .atomic)
    }
}

/// The unfinished file, held by one process at a time.
///
/// `@unchecked Sendable`: opened before the session starts, then used on the session's serial queue only, and closed after the session is done.
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

    func append(_ data: Data) throws {
        try data.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { throw Self.error(path, "cannot be written") }
                rest = rest.dropFirst(written)
            }
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

/// Takes the answer of one request and writes it to the file.
///
/// `@unchecked Sendable`: all state is touched on `queue` only, which runs one operation at a time; `start` runs before the task does.
private final class Receiver: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    let queue: OperationQueue
    private let address: URL
    private let file: PartFile
    private var offset: Int
    private let progress: @Sendable (PullProgress) -> Void
    private let accepted: (HTTPURLResponse, _ totalBytes: Int?) throws -> Void
    private var total: Int?
    private var failure: (any Error)?
    private var continuation: CheckedContinuation<Void, any Error>?

    init(
        address: URL, file: PartFile, offset: Int, progress: @escaping @Sendable (PullProgress) -> Void,
        accepted: @escaping (HTTPURLResponse, _ totalBytes: Int?) throws -> Void
    ) {
        self.address = address
        self.file = file
        self.offset = offset
        self.progress = progress
        self.accepted = accepted
        queue = OperationQueue()
        queue.maxConcurrentOperationCount = 1
    }

    func start(_ task: URLSessionTask, _ continuation: CheckedContinuation<Void, any Error>) {
        self.continuation = continuation
        task.resume()
    }

    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse, newRequest request: URLRequest,
        completionHandler: @escaping (URLRequest?) -> Void
    ) {
        do {
            if let target = request.url { try URLDownload.requireAllowed(target) }
            completionHandler(request)
        } catch {
            failure = error
            completionHandler(nil)
        }
    }

    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
    ) {
        do {
            if failure == nil { try accept(response) }
        } catch {
            failure = error
        }
        completionHandler(failure == nil ? .allow : .cancel)
    }

    /// Decides from status and headers where the bytes to come belong.
    private func accept(_ response: URLResponse) throws {
        guard let response = response as? HTTPURLResponse else { throw refusal("the answer is not HTTP") }
        switch response.statusCode {
        case 200:
            // The whole file, whatever was asked for.
            try file.truncate()
            offset = 0
            total = response.value(forHTTPHeaderField: "Content-Length").flatMap { Int($0) }
        case 206:
            // "bytes FIRST-LAST/TOTAL"
            let range = (response.value(forHTTPHeaderField: "Content-Range") ?? "").split(whereSeparator: { " -/".contains($0) })
            guard range.count == 4, Int(range[1]) == offset else { throw refusal("it resumed at the wrong place") }
            total = Int(range[3])
        case 416:
            try file.truncate()
            throw refusal("the unfinished file is longer than the whole", remedy: "Pull again: it starts over.")
        default:
            throw refusal("the server answered \(response.statusCode)", remedy: "Check the address.")
        }
        if let total, total < offset { throw refusal("it promises \(total) bytes after \(offset)") }
        try accepted(response, total)
        progress(PullProgress(phase: .downloading, bytes: offset, totalBytes: total))
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        guard failure == nil else { return }
        do {
            try file.append(data)
            offset += data.count
            progress(PullProgress(phase: .downloading, bytes: offset, totalBytes: total))
        } catch {
            failure = error
            dataTask.cancel()
        }
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        let waiting = continuation
        continuation = nil
        if let failure {
            waiting?.resume(throwing: failure)
        } else if let error {
            let cancelled = (error as? URLError)?.code == .cancelled
            waiting?.resume(throwing: cancelled ? CancellationError() : refusal(error.localizedDescription))
        } else if let total, offset != total {
            waiting?.resume(throwing: refusal("the connection ended after \(offset) of \(total) bytes"))
        } else {
            waiting?.resume()
        }
    }

    private func refusal(_ reason: String, remedy: String = "Check the network and pull again: it goes on where it stopped.")
        -> SwiftletError
    {
        .download(source: address.absoluteString, reason: reason, remedy: remedy)
    }
}
