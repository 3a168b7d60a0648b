// A small HTTP server on 127.0.0.1 for download tests: one file, byte ranges, and faults on request.
import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Serves one file at any path, one connection after the other, until `stop`.
final class FileServer: Sendable {
    struct Behaviour {
        var content: [UInt8]
        var tag: String? = "\"first\""
        /// Ends the connection after this many bytes of the body.
        var cutAfter: Int?
        /// Answers with this status and an empty body.
        var status: Int?
        /// Sends the whole file even when a range was asked for.
        var ignoresRanges = false
        /// Answers with a redirection to this address.
        var location: String?
    }

    private struct State {
        var behaviour: Behaviour
        var requests: [String] = []
        var stopped = false
    }

    let port: UInt16
    private let listener: Int32
    private let state: Mutex<State>

    init(_ behaviour: Behaviour) throws {
        #if canImport(Glibc)
            let stream = Int32(SOCK_STREAM.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let descriptor = socket(AF_INET, stream, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) == 0 && listen(descriptor, 8) == 0 && getsockname(descriptor, generic, &length) == 0
            }
        }
        guard descriptor >= 0, bound else { throw POSIXError(.EADDRNOTAVAIL) }
        listener = descriptor
        port = UInt16(bigEndian: address.sin_port)
        state = Mutex(State(behaviour: behaviour))
        Thread.detachNewThread { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else {
                    close(listener)
                    return
                }
                answer(connection)
                shutdown(connection, Int32(SHUT_WR))
                close(connection)
            }
        }
    }

    func address(_ file: String) -> String { "http://127.0.0.1:\(port)/models/\(file)" }

    /// The head of every request so far.
    var requests: [String] { state.withLock { $0.requests } }

    func change(_ body: @Sendable (inout Behaviour) -> Void) { state.withLock { body(&$0.behaviour) } }

    /// Ends listening. The thread closes the socket, since nobody else knows when it no longer uses it.
    func stop() {
        state.withLock { state in
            if !state.stopped { shutdown(listener, Int32(SHUT_RDWR)) }
            state.stopped = true
        }
    }

    private func answer(_ connection: Int32) {
        var head = [UInt8]()
        var byte: UInt8 = 0
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]), recv(connection, &byte, 1, 0) == 1 { head.append(byte) }
        let request = String(decoding: head, as: UTF8.self)
        let behaviour = state.withLock { state in
            state.requests.append(request)
            return state.behaviour
        }
        func header(_ name: String) -> String? {
            request.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
                .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
        }
        if let location = behaviour.location {
            return transmit(connection, "HTTP/1.1 302 Found\r\nLocation: \(location)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", [])
        }
        if let status = behaviour.status {
            return transmit(connection, "HTTP/1.1 \(status) Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", [])
        }
        var start = 0
        if !behaviour.ignoresRanges, let range = header("Range"), let first = Int(range.dropFirst("bytes=".count).dropLast()),
            header("If-Range") == nil || header("If-Range") == behaviour.tag
        {
            start = first
        }
        let total = behaviour.content.count
        var fields = "Content-Length: \(total - start)\r\nConnection: close\r\n"
        if let tag = behaviour.tag { fields += "ETag: \(tag)\r\n" }
        if start > 0 { fields += "Content-Range: bytes \(start)-\(total - 1)/\(total)\r\n" }
        let body = behaviour.content[start..<min(total, behaviour.cutAfter ?? total)]
        transmit(connection, "HTTP/1.1 \(start > 0 ? "206 Partial Content" : "200 OK")\r\n\(fields)\r\n", Array(body))
    }

    private func transmit(_ connection: Int32, _ head: String, _ body: [UInt8]) {
        let bytes = Array(head.utf8) + body
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { send(connection, $0.baseAddress.map { $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            sent += count
        }
    }
}
