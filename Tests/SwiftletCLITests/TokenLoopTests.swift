// Nothing allocates a token: counted by a program whose malloc counts, in a process of its own, where nothing else runs.
import Foundation
import TestSupport
import Testing

/// The program, beside the command in the build folder; nil when it was not built.
private let program = CommandRun.binary.map { $0.deletingLastPathComponent().appending(path: "token-loop") }.flatMap {
    FileManager.default.isExecutableFile(atPath: $0.path) ? $0 : nil
}

@Suite(.enabled(if: program != nil, "needs the built program token-loop"))
struct TokenLoopTests {
    private struct Report: Decodable {
        struct Case: Decodable {
            struct Counts: Decodable { let allocations, objects, retains, releases: Double }
            let name: String
            let counts: Counts
        }

        let is_counted: Bool
        let counted: [Case]
    }

    private func report(_ arguments: [String]) throws -> Report {
        let process = Process()
        let output = FileManager.default.temporaryDirectory.appending(path: "token-loop-\(UUID().uuidString)")
        try Data().write(to: output)
        defer { try? FileManager.default.removeItem(at: output) }
        process.executableURL = program
        process.arguments = arguments + ["--counts", "--json"]
        process.standardOutput = try FileHandle(forWritingTo: output)
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return try JSONDecoder().decode(Report.self, from: Data(contentsOf: output))
    }

    private func check(_ report: Report, prefix: String, atLeast: Int) throws {
        guard report.is_counted else { return }
        // The counter works: two objects a time are two allocations, and are let go.
        let control = try #require(report.counted.first { $0.name == "control" }).counts
        #expect(control.allocations == 2 && control.objects == 2 && control.releases >= 1)
        let cases = report.counted.filter { $0.name.hasPrefix(prefix) }
        #expect(cases.count >= atLeast)
        for found in cases { #expect(found.counts.allocations == 0 && found.counts.objects == 0, "\(found.name)") }
    }

    @Test(arguments: [1, 2]) func poolAndSamplersAllocateNothing(threads: Int) throws {
        let report = try report(["--threads", "\(threads)"])
        try check(report, prefix: "pool", atLeast: 1)
        try check(report, prefix: "sampler: ", atLeast: 6)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"), arguments: [1, 2])
    func tokensAllocateNothing(threads: Int) throws {
        let report = try report([SharedData.storiesModel ?? "", "--threads", "\(threads)"])
        try check(report, prefix: "token: ", atLeast: 6)
    }
}
