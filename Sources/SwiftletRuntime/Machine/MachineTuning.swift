// What a short measurement found best for this machine, kept in the cache folder: how many threads, and how long idle ones wait awake.
//
// One JSON file with an entry a machine, since home folders travel between machines: keyed by CPU, usable cores and the control group's limit. Only
// `swiftlet doctor --tune` writes it; models are loaded with what it says unless told otherwise.
import Foundation

/// The settings that served a machine best.
public struct MachineTuning: Sendable, Codable, Equatable {
    public let threads: Int
    /// How often an idle thread looks for work before it sleeps.
    public let pollsBeforeSleep: Int
    /// What was measured: a model's name, or `synthetic`.
    public let measured: String

    public init(threads: Int, pollsBeforeSleep: Int, measured: String) {
        self.threads = threads
        self.pollsBeforeSleep = pollsBeforeSleep
        self.measured = measured
    }

    /// For people.
    public var words: String { "measured with \(measured); idle threads look for work \(pollsBeforeSleep) times before they sleep" }

    private struct Record: Codable {
        var version = Self.current
        var machines: [String: MachineTuning] = [:]
        static let current = 1
    }

    /// Only this of a record of any version.
    private struct Version: Codable { let version: Int }

    /// What a machine is known by.
    package static func key(_ machine: Machine) -> String {
        "\(machine.processor), \(machine.usableProcessors) processors, \(machine.physicalCores) cores, "
            + (machine.coreLimit.map { String(format: "limit %.2f", $0) } ?? "no limit")
    }

    private static func path(_ folder: String?) -> String { (folder ?? CacheFolder.path) + "/tuning.json" }

    /// What was kept for `machine` (nil: this one) in the cache folder; nil when nothing was, or a version wrote it that measured something else.
    ///
    /// Throws `SwiftletError.malformed` for a record that is damaged or names impossible settings.
    public static func saved(for machine: Machine? = nil, folder: String? = nil) throws -> MachineTuning? {
        let path = path(folder)
        guard let record = try record(path) else { return nil }
        let machine = machine ?? .current()
        guard let found = record.machines[key(machine)] else { return nil }
        guard (1...max(1, machine.usableProcessors)).contains(found.threads), (0...1_000_000).contains(found.pollsBeforeSleep) else {
            throw damaged(path, "impossible settings")
        }
        return found
    }

    /// Keeps these settings for `machine` (nil: this one), beside those of other machines. Throws `SwiftletError.io`.
    public func save(for machine: Machine? = nil, folder: String? = nil) throws {
        let path = Self.path(folder)
        // A damaged record is replaced: whoever measures again wants a good one.
        var record = (try? Self.record(path)) ?? Record()
        record.machines[Self.key(machine ?? .current())] = self
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        do {
            try FileManager.default.createDirectory(atPath: folder ?? CacheFolder.path, withIntermediateDirectories: true)
        } catch {
            throw SwiftletError.io(path: path, reason: "its folder cannot be made: \(error.localizedDescription)", remedy: "Check that the folder is writable.")
        }
        let file = try OutputFile(path: path)
        try file.write(Array(try encoder.encode(record)))
        try file.commit()
    }

    private static func record(_ path: String) throws -> Record? {
        guard let bytes = FileManager.default.contents(atPath: path) else { return nil }
        guard let version = try? JSONDecoder().decode(Version.self, from: bytes).version else { throw damaged(path, "not a tuning record") }
        guard version == Record.current else { return nil }
        guard let record = try? JSONDecoder().decode(Record.self, from: bytes) else { throw damaged(path, "not a tuning record") }
        return record
    }

    private static func damaged(_ path: String, _ reason: String) -> SwiftletError {
        .malformed(file: path, offset: 0, reason: reason, remedy: "Run swiftlet doctor --tune, which writes it anew.")
    }
}
