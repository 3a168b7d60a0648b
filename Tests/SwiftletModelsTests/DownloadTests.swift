import Foundation
import SwiftletModels
import SwiftletTensor
import Synchronization
import Testing

/// A cache in a folder of its own and a server with one file, both gone at the end of the test.
private func withServer(
    bytes: Int = 300_000, _ body: (ModelCache, FileServer, [UInt8]) async throws -> Void
) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("swiftlet-test-\(UUID().uuidString)", isDirectory: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let content = (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    let server = try FileServer(FileServer.Behaviour(content: content))
    defer { server.stop() }
    try await body(ModelCache(root: folder), server, content)
}

private func sum(_ bytes: [UInt8]) -> String {
    var sum = SHA256()
    bytes.withUnsafeBytes { sum.update($0) }
    return sum.finish()
}

private func partBytes(_ cache: ModelCache, _ file: String) -> Int? {
    (try? Data(contentsOf: cache.root.appendingPathComponent(file + ".part")))?.count
}

@Suite struct DownloadTests {
    @Test func aFileArrivesWholeAndVerified() async throws {
        try await withServer { cache, server, content in
            let seen = Mutex<[PullProgress]>([])
            let entry = try await cache.pull(server.address("tiny.gguf"), sha256: sum(content)) { step in seen.withLock { $0.append(step) }
            }
            #expect(entry.name == "tiny" && entry.byteCount == content.count && entry.sha256 == sum(content))
            #expect(try Array(Data(contentsOf: URL(fileURLWithPath: entry.path))) == content)
            #expect(try cache.resolve("tiny") == entry.path)
            #expect(try cache.entries() == [entry])
            #expect(try FileManager.default.contentsOfDirectory(atPath: cache.root.path).sorted() == ["tiny.gguf", "tiny.gguf.json"])
            let steps = seen.withLock { $0 }
            #expect(steps.last?.phase == .verifying && steps.last?.bytes == content.count)
            #expect(steps.contains { $0.phase == .downloading && $0.bytes == content.count && $0.totalBytes == content.count })
            // A second pull asks the server nothing.
            #expect(try await cache.pull(server.address("tiny.gguf")) == entry)
            #expect(server.requests.count == 1)
        }
    }

    @Test func anInterruptedDownloadGoesOn() async throws {
        try await withServer { cache, server, content in
            server.change { $0.cutAfter = 100_000 }
            await #expect(throws: SwiftletError.self) { try await cache.pull(server.address("tiny.gguf")) }
            let kept = try #require(partBytes(cache, "tiny.gguf"))
            #expect(kept > 0 && kept <= 100_000)
            let left = try cache.entries()
            #expect(left.isEmpty)
            server.change { $0.cutAfter = nil }
            let entry = try await cache.pull(server.address("tiny.gguf"), sha256: sum(content))
            #expect(entry.byteCount == content.count)
            #expect(server.requests.count == 2 && server.requests[1].contains("bytes=\(kept)-"))
            #expect(partBytes(cache, "tiny.gguf") == nil)
        }
    }

    @Test(arguments: [true, false]) func aFileThatChangedStartsOver(ignoresRanges: Bool) async throws {
        try await withServer { cache, server, content in
            server.change { $0.cutAfter = 100_000 }
            await #expect(throws: SwiftletError.self) { try await cache.pull(server.address("tiny.gguf")) }
            let other = content.map { $0 ^ 0xff }
            server.change { behaviour in
                behaviour = FileServer.Behaviour(
                    content: other, tag: ignoresRanges ? "\"first\"" : "\"second\"", ignoresRanges: ignoresRanges)
            }
            let entry = try await cache.pull(server.address("tiny.gguf"))
            #expect(entry.sha256 == sum(other))
        }
    }

    @Test func withoutAValidatorNothingIsResumed() async throws {
        try await withServer { cache, server, content in
            server.change { behaviour in
                behaviour.tag = nil
                behaviour.cutAfter = 100_000
            }
            await #expect(throws: SwiftletError.self) { try await cache.pull(server.address("tiny.gguf")) }
            server.change { $0.cutAfter = nil }
            let entry = try await cache.pull(server.address("tiny.gguf"))
            #expect(entry.sha256 == sum(content))
            #expect(!server.requests[1].contains("bytes="))
        }
    }

    @Test func aWrongChecksumDeletesTheFile() async throws {
        try await withServer { cache, server, content in
            let promised = String(repeating: "0", count: 64)
            let error = await #expect(throws: SwiftletError.self) { try await cache.pull(server.address("tiny.gguf"), sha256: promised) }
            guard case .checksumMismatch(_, promised, sum(content), _)? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            let left = try cache.entries()
            #expect(left.isEmpty)
            #expect(partBytes(cache, "tiny.gguf") == nil)
        }
    }

    @Test(arguments: [404, 500]) func anErrorAnswerIsNamed(status: Int) async throws {
        try await withServer { cache, server, _ in
            server.change { $0.status = status }
            let error = await #expect(throws: SwiftletError.self) { try await cache.pull(server.address("tiny.gguf")) }
            #expect(error?.description.contains("\(status)") == true)
            let left = try cache.entries()
            #expect(left.isEmpty)
        }
    }

    @Test func aRedirectionAwayFromHTTPSIsRefused() async throws {
        try await withServer { cache, server, content in
            server.change { $0.location = "http://example.com/tiny.gguf" }
            let error = await #expect(throws: SwiftletError.self) { try await cache.pull(server.address("tiny.gguf")) }
            guard case .invalidArgument? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    @Test func aRedirectionIsFollowed() async throws {
        try await withServer { cache, server, _ in
            try await withServer { _, other, content in
                let address = other.address("elsewhere.gguf")
                server.change { $0.location = address }
                let entry = try await cache.pull(server.address("tiny.gguf"), sha256: sum(content))
                #expect(entry.name == "tiny" && entry.byteCount == content.count)
                #expect(server.requests.count == 1 && other.requests.count == 1)
            }
        }
    }

    @Test func redirectionsInACircleEnd() async throws {
        try await withServer { cache, server, _ in
            let address = server.address("tiny.gguf")
            server.change { $0.location = address }
            let error = await #expect(throws: SwiftletError.self) { try await cache.pull(address) }
            guard case .download? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(server.requests.count == 21)
        }
    }

    @Test func aCancelledDownloadKeepsWhatCame() async throws {
        try await withServer(bytes: 5_000_000) { cache, server, content in
            // Cancelled by the first report of progress with bytes in it, while the file is still coming.
            let running = Mutex<Task<ModelCache.Entry, any Error>?>(nil)
            let task = Task {
                try await cache.pull(server.address("tiny.gguf")) { step in
                    if step.phase == .downloading, step.bytes > 0 { running.withLock { $0?.cancel() } }
                }
            }
            running.withLock { $0 = task }
            let result = await task.result
            guard case .failure(let error) = result else { return }  // all came before the task was known
            #expect(error is CancellationError, "\(error)")
            let kept = try #require(partBytes(cache, "tiny.gguf"))
            #expect(kept > 0)
            let entry = try await cache.pull(server.address("tiny.gguf"), sha256: sum(content))
            #expect(entry.byteCount == content.count)
        }
    }

    @Test func anotherFileOfTheSameNameIsKept() async throws {
        try await withServer { cache, server, content in
            _ = try await cache.pull(server.address("tiny.gguf"))
            await #expect(throws: SwiftletError.self) {
                try await cache.pull("http://127.0.0.1:\(server.port)/elsewhere/tiny.gguf")
            }
            #expect(try cache.entries().map(\.sha256) == [sum(content)])
        }
    }

    @Test(arguments: [
        "http://example.com/a.gguf", "ftp://example.com/a.gguf", "https:///a.gguf", "file:///etc/a.gguf", "https://example.com/",
        "https://example.com/page.html", "https://example.com/.gguf", "no-such-model",
    ]) func whatCannotBePulledIsAnError(argument: String) async throws {
        let cache = ModelCache(root: FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString))
        let error = await #expect(throws: SwiftletError.self) { try await cache.pull(argument) }
        guard case .invalidArgument? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(!FileManager.default.fileExists(atPath: cache.root.path))
    }

    @Test func nobodyListeningIsADownloadError() async throws {
        try await withServer { cache, server, _ in
            server.stop()
            let error = await #expect(throws: SwiftletError.self) { try await cache.pull(server.address("tiny.gguf")) }
            guard case .download? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }
}
