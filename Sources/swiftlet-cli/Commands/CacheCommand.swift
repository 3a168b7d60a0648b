import ArgumentParser
import Foundation
import SwiftletRuntime

struct CacheCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache", abstract: "Shows the packed weights kept on disk, or deletes them.",
        discussion: "They make models load faster and are made again when missing. Pulled models are not touched.")

    @Flag(help: "Delete all packed weights.")
    var clear = false

    @Flag(help: "Delete the packed weights of models that are gone.")
    var prune = false

    @Option(help: ArgumentHelp("The folder (default: packed in ~/.cache/swiftlet, or in $SWIFTLET_CACHE).", valueName: "folder"))
    var weightCache: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    private struct Report: Encodable {
        let folder: String
        let totalBytes: Int
        /// What is there, or what was deleted.
        let entries: [WeightCacheFolder.Entry]
        let deleted: Bool
    }

    func validate() throws {
        if clear, prune { throw ValidationError("Give --clear or --prune, not both.") }
    }

    func run() throws {
        let folder = WeightCacheFolder(path: weightCache)
        let entries = clear ? try folder.clear() : prune ? try folder.clear { !$0.modelExists } : folder.entries()
        let total = entries.reduce(0) { $0 + $1.byteCount }
        if json {
            try JSONOutput.print(Report(folder: folder.path, totalBytes: total, entries: entries, deleted: clear || prune))
            return
        }
        for entry in entries {
            let model = entry.model.map { $0 + (entry.modelExists ? "" : " (gone)") } ?? "unreadable"
            Console.write("\(InspectionText.megabytes(entry.byteCount))  \(model)\n")
        }
        Console.report("\(clear || prune ? "deleted from" : "in") \(folder.path): \(InspectionText.megabytes(total))")
    }
}
