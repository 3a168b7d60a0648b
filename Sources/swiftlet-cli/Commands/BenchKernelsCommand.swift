import ArgumentParser
import Foundation
import SwiftletKernelCases
import SwiftletMeasure
import SwiftletModels
import SwiftletRuntime
import SwiftletTensor

struct BenchKernelsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels", abstract: "Times every kernel on the layers of a model, against the measured limits of this machine.",
        discussion: """
            Each kernel is held against its scalar twin before it is timed. rows=1 reads its weights from memory, as generating a token does; \
            rows=1-cached and rows=64 find them in caches. The layers are those of a pulled model (smollm2-135m unless told otherwise) or of a \
            shape file.
            """)

    @Option(
        help: ArgumentHelp("Time only cases whose name (family/kernel/model/layer/variant) has a match of this.", valueName: "regex"))
    var filter: String?

    @Option(help: "Threads that run a kernel at once, each on operands of its own.")
    var threads = 1

    @Option(help: ArgumentHelp("A shape file, or a folder of them (see Benchmarks/README.md).", valueName: "path"))
    var shapes: String?

    @Option(name: [.short, .long], help: ArgumentHelp("The model whose layers to take: a GGUF file, or a pulled model.", valueName: "file-or-name"))
    var model: String?

    @Option(help: "Highest instruction set to time (default: the best this machine has, or $SWIFTLET_ISA).")
    var isa: InstructionSet?

    @Flag(help: "Time every weight format on every layer, not only the one the model holds the layer in.")
    var allFormats = false

    @Option(help: ArgumentHelp("Also write a page with the roofline of this machine and the kernels in it (SVG).", valueName: "file"))
    var roofline: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    private struct Report: Encodable {
        let limits: MachineLimits
        let threads: Int
        let isa: String
        /// Rows this machine cannot run.
        let missingRows: [String]
        /// Kernels and layers left out because the packed weight is too large.
        let oversized: [String]
        let figures: [KernelFigure]
    }

    func validate() throws {
        guard (1...512).contains(threads) else { throw ValidationError("--threads must be between 1 and 512.") }
        guard shapes == nil || model == nil else { throw ValidationError("Give --shapes or --model, not both.") }
        if let filter {
            do { _ = try Regex(filter) } catch { throw ValidationError("--filter '\(filter)' is no regular expression: \(error).") }
        }
    }

    func run() async throws {
        let level = try InstructionSet.resolve(isa?.rawValue)
        // The copies of all threads together are more than caches hold.
        let options = KernelCatalog.Options(streamedBytes: (128 << 20) / threads)
        let catalog = KernelCatalog(layers: try layers(), isa: level.usableMask, options: options)
        let cases = try selected(catalog.cases)
        guard !cases.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: "filter", reason: "no kernel has such a name", remedy: "Names are family/kernel/model/layer/variant; leave --filter out to see them.")
        }
        let timer = try KernelTimer(threads: threads)
        if !json { Console.write(KernelTable.head(timer.limits, threads: threads)) }
        var figures: [KernelFigure] = []
        var group = ""
        for kernelCase in cases {
            try Task.checkCancellation()
            let figure = try timer.measure(kernelCase, budgetSeconds: 0.3)
            figures.append(figure)
            guard !json else { continue }
            if group != KernelTable.group(kernelCase) {
                group = KernelTable.group(kernelCase)
                Console.write("\n\(group)\n\(KernelTable.columns)\n")
            }
            Console.write(KernelTable.line(figure) + "\n")
        }
        if json {
            try JSONOutput.print(
                Report(
                    limits: timer.limits, threads: threads, isa: level.rawValue, missingRows: catalog.missingRows, oversized: catalog.oversized,
                    figures: figures))
        } else {
            for row in catalog.missingRows { Console.report("skipped \(row): not within \(level.rawValue)") }
            for entry in catalog.oversized { Console.report("skipped \(entry): the packed weight is too large") }
        }
        if let roofline {
            let title =
                "Roofline of \(timer.limits.processor), kernels on \(threads) \(threads == 1 ? "thread" : "threads")"
            try RooflineSVG.write(RooflineSVG.text(RooflinePlot(figures: figures, limits: timer.limits), title: title), to: roofline)
            Console.report("[roofline written to \(roofline)]")
        }
    }

    private func layers() throws -> [Layer] {
        if let shapes { return try Layer.read(path: shapes) }
        return try Layer.layers(ofModel: try ModelCache().resolve(model ?? "smollm2-135m"))
    }

    /// The cases asked for, those of one layer and variant together, best row first.
    private func selected(_ cases: [KernelCase]) throws -> [KernelCase] {
        let pattern = try filter.map { try Regex($0) }
        let wanted = cases.filter { entry in
            (allFormats || entry.isOwnFormat) && pattern.map { entry.name.firstMatch(of: $0) != nil } ?? true
        }
        var order: [String: Int] = [:]
        for entry in wanted where order[KernelTable.group(entry)] == nil { order[KernelTable.group(entry)] = order.count }
        return wanted.enumerated().sorted { left, right in
            (order[KernelTable.group(left.element)] ?? 0, left.offset) < (order[KernelTable.group(right.element)] ?? 0, right.offset)
        }.map(\.element)
    }
}
