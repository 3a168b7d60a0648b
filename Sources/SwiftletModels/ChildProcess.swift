// A program run to its end, watched while it runs.
import Foundation
import SwiftletTensor

enum ChildProcess {
    /// Runs `program` and waits for its end without holding a thread. `watch` is called five times a second meanwhile. Its standard output is
    /// dropped; what it wrote to standard error comes back with its exit status. A cancelled task ends the program and throws `CancellationError`.
    static func run(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], watch: () -> Void = {}
    ) async throws -> (status: Int32, errors: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        // A file rather than a pipe: nobody has to empty it while the program runs.
        let errorFile = FileManager.default.temporaryDirectory.appendingPathComponent("swiftlet-\(UUID().uuidString).log")
        defer { try? FileManager.default.removeItem(at: errorFile) }
        guard FileManager.default.createFile(atPath: errorFile.path, contents: nil) else {
            throw SwiftletError.io(
                path: errorFile.path, reason: "cannot be created", remedy: "Check the temporary folder (TMPDIR) and its space.")
        }
        process.standardError = try FileHandle(forWritingTo: errorFile)
        do {
            try process.run()
        } catch {
            throw SwiftletError.io(
                path: program, reason: "cannot be started: \(error.localizedDescription)", remedy: "Check that it is installed.")
        }
        while process.isRunning {
            watch()
            do {
                try await Task.sleep(for: .milliseconds(200))
            } catch {
                process.terminate()
                throw error
            }
        }
        // At most the last 64 KiB: the end is where programs say what went wrong.
        let written = (try? Data(contentsOf: errorFile)) ?? Data()
        return (process.terminationStatus, String(decoding: written.suffix(1 << 16), as: UTF8.self))
    }
}
