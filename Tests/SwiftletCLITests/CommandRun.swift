// Runs the built command as a process, the way a shell does.
import Foundation

/// How a run of `swiftlet` ended.
struct CommandRun {
    let status: Int32
    let output: String
    let errors: String

    /// The object on standard output.
    func object() throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any] ?? [:]
    }

    /// The command, beside the test binary in the build folder; nil when it was not built.
    static let binary: URL? = {
        #if os(Linux)
            let folders = [URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()]
        #else
            let folders = Bundle.allBundles.filter { $0.bundlePath.hasSuffix(".xctest") }.map { $0.bundleURL.deletingLastPathComponent() }
        #endif
        return folders.map { $0.appending(path: "swiftlet") }.first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }()

    /// Runs the command with `arguments`; `input` is piped into it (nil: nothing).
    init(_ arguments: [String], input: String? = nil, environment: [String: String] = [:]) throws {
        let started = try StartedCommand(arguments, environment: environment)
        if let input { try started.input.write(contentsOf: Data(input.utf8)) }
        try started.input.close()
        self = started.wait()
    }

    fileprivate init(status: Int32, output: String, errors: String) {
        self.status = status
        self.output = output
        self.errors = errors
    }
}

/// A run of `swiftlet` that goes on beside the test.
final class StartedCommand {
    let input: FileHandle
    private let process = Process()
    private let folder: URL
    private let output: URL
    private let errors: URL

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        // Files, not pipes: however much is written, nobody has to read at the same time.
        folder = FileManager.default.temporaryDirectory.appending(path: "swiftlet-cli-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        output = folder.appending(path: "output")
        errors = folder.appending(path: "errors")
        for file in [output, errors] { try Data().write(to: file) }
        let pipe = Pipe()
        input = pipe.fileHandleForWriting
        process.executableURL = CommandRun.binary
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = pipe
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// What the command has printed so far.
    var printed: String { (try? String(contentsOf: output, encoding: .utf8)) ?? "" }

    /// Waits until the command has printed at least one byte, at most ten seconds.
    func waitForOutput() -> Bool {
        for _ in 0..<1000 {
            if !printed.isEmpty { return true }
            Thread.sleep(forTimeInterval: 0.01)
        }
        return false
    }

    /// Ctrl-C.
    func interrupt() { kill(process.processIdentifier, SIGINT) }

    func wait() -> CommandRun {
        process.waitUntilExit()
        let signal: Int32 = process.terminationReason == .uncaughtSignal ? 1000 : 0
        return CommandRun(
            status: process.terminationStatus + signal, output: printed, errors: (try? String(contentsOf: errors, encoding: .utf8)) ?? "")
    }
}
