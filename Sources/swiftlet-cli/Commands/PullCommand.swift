import ArgumentParser
import SwiftletModels

struct PullCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetches a model into the cache and prints where it is.",
        discussion: "Known models: " + KnownModel.all.map { "\($0.name) (\($0.summary); \($0.licence))" }.joined(separator: ", ")
            + ". An interrupted download from an address goes on where it stopped. The cache is ~/.cache/swiftlet, or $SWIFTLET_CACHE.")

    @Argument(help: ArgumentHelp("The name of a known model, or an https address of a model file.", valueName: "name-or-url"))
    var source: String

    @Option(help: ArgumentHelp("The SHA-256 the file must have, for an address.", valueName: "hex"))
    var sha256: String?

    func run() async throws {
        let line = ProgressLine(source.split(separator: "/").last.map(String.init) ?? source)
        let entry: ModelCache.Entry
        do {
            entry = try await ModelCache().pull(source, sha256: sha256) { progress in
                let total = progress.totalBytes.map { " of \(InspectionText.megabytes($0))" } ?? ""
                line.update(
                    done: progress.bytes, of: progress.totalBytes,
                    detail: "\(progress.phase.rawValue), \(InspectionText.megabytes(progress.bytes))\(total)")
            }
        } catch {
            line.finish()
            throw error
        }
        line.finish()
        Console.report("\(entry.name): \(InspectionText.megabytes(entry.byteCount)), SHA-256 \(entry.sha256 ?? "unknown")")
        Console.write(entry.path + "\n")
    }
}
