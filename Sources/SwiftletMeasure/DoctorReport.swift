// The report `swiftlet doctor` prints: the machine, its measured limits, the libraries behind the engine, the models at hand, what is wrong.
import Foundation
import SwiftletLinearAlgebra
import SwiftletModels
import SwiftletRuntime

/// A machine's fitness for running models. As JSON, keys are in snake case.
public struct DoctorReport: Sendable, Codable {
    public let machine: Machine
    /// Threads used unless told otherwise.
    public let threads: Int
    /// What `doctor --tune` measured on this machine; nil where it has not.
    public let tuning: MachineTuning?
    public let process: ProcessMemory
    public let bandwidth: MemoryBandwidth
    public let peaks: [PeakRate]
    public let linearAlgebra: LinearAlgebra.Configuration
    /// Folder of the model cache.
    public let cacheFolder: String
    public let models: [ModelCache.Entry]
    /// Folder of packed weights, and what is in it.
    public let packedWeightsFolder: String
    public let packedWeights: [WeightCacheFolder.Entry]
    public let findings: [Finding]

    /// Examines this machine; takes about a second.
    ///
    /// Throws `SwiftletError.io` when the cache cannot be read, `SwiftletError.outOfMemory` when there is too little memory to measure.
    public static func examine(cache: ModelCache = ModelCache()) throws -> DoctorReport {
        let machine = Machine.current()
        let configuration = LinearAlgebra.configuration
        let models = try cache.entries()
        // A damaged record is a finding, not the end of the examination.
        let record = Result { try MachineTuning.saved(for: machine, folder: cache.root.path) }
        let tuning = try? record.get()
        let threads = tuning?.threads ?? machine.recommendedThreads
        let packed = WeightCacheFolder(path: cache.root.appendingPathComponent("packed").path)
        // The process's own memory first: the measurement takes a large buffer.
        let process = ProcessMemory.current()
        return DoctorReport(
            machine: machine, threads: threads, tuning: tuning, process: process,
            bandwidth: try PeakMeasurement.memoryBandwidth(on: machine, threads: threads),
            peaks: try PeakMeasurement.peakRates(threads: threads), linearAlgebra: configuration, cacheFolder: cache.root.path,
            models: models, packedWeightsFolder: packed.path, packedWeights: packed.entries(),
            findings: Finding.all(machine, configuration, modelCount: models.count) + Finding.tuning(record))
    }

    /// The report as one JSON object.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// The report for people.
    public var text: String {
        func gibibytes(_ bytes: Int) -> String { String(format: "%.1f GiB", Double(bytes) / Double(1 << 30)) }
        func mebibytes(_ bytes: Int) -> String { String(format: "%.1f MiB", Double(bytes) / Double(1 << 20)) }
        func line(_ name: String, _ value: String) -> String { name.padding(toLength: 14, withPad: " ", startingAt: 0) + value }
        func cacheSize(_ bytes: Int) -> String { bytes < 1 << 20 ? "\(bytes >> 10) KiB" : "\(bytes >> 20) MiB" }
        let caches = machine.caches.filter { $0.kind != "Instruction" }.map { "L\($0.level) \(cacheSize($0.bytes))" }.joined(
            separator: ", ")
        var lines = [
            line("CPU", "\(machine.processor) (\(machine.architecture))"),
            line(
                "Cores",
                "\(machine.physicalCores) physical, \(machine.usableProcessors) of \(machine.onlineProcessors) processors usable"
                    + (machine.coreLimit.map { String(format: ", limited to %.1f", $0) } ?? "")),
            line("Threads", "\(threads) " + (tuning.map { "(\($0.words))" } ?? "(one a core; --tune measures)")),
            line("Caches", caches.isEmpty ? "unknown" : caches),
            line("Kernels", machine.kernelPaths.joined(separator: ", ") + " (--isa)"),
            line("Memory", "\(gibibytes(machine.memoryBytes)), \(gibibytes(machine.availableMemoryBytes)) available"),
            line("This process", "\(mebibytes(process.residentBytes)) resident, \(mebibytes(process.peakResidentBytes)) at most"),
            line(
                "Bandwidth",
                String(
                    format: "%.1f GB/s with 1 thread, %.1f GB/s with %d (reading %@)", bandwidth.oneThread, bandwidth.allThreads,
                    bandwidth.threads,
                    mebibytes(bandwidth.bufferBytes))),
            line(
                "OpenBLAS",
                "\(linearAlgebra.version), core \(linearAlgebra.coreName) (\(Self.words(linearAlgebra.coreChoice))), \(linearAlgebra.threads) threads"
            ),
            "",
            "Peak arithmetic, 10⁹ operations a second (1 thread, \(threads) threads):",
        ]
        for peak in peaks {
            lines.append(
                "  " + peak.name.padding(toLength: 18, withPad: " ", startingAt: 0)
                    + String(format: "%9.1f %9.1f", peak.oneThread, peak.allThreads))
        }
        lines += ["", "Models in \(cacheFolder):"]
        if models.isEmpty { lines.append("  none") }
        for model in models {
            lines.append("  \(model.name)  \(mebibytes(model.byteCount))  \(URL(fileURLWithPath: model.path).lastPathComponent)")
        }
        let packedBytes = packedWeights.reduce(0) { $0 + $1.byteCount }
        lines.append("Packed weights in \(packedWeightsFolder): \(mebibytes(packedBytes)) of \(packedWeights.count) models")
        lines.append("")
        if !findings.contains(where: { $0.severity != .note }) { lines.append("Nothing is wrong.") }
        for finding in findings { lines.append("\(finding.severity.rawValue.capitalized): \(finding.what).\n  \(finding.remedy)") }
        return lines.joined(separator: "\n")
    }

    private static func words(_ choice: LinearAlgebra.CoreChoice) -> String {
        switch choice {
        case .library: "its own choice"
        case .engine: "chosen by Swiftlet"
        case .user: "set by OPENBLAS_CORETYPE"
        case .unfit: "does not fit this CPU"
        }
    }
}
