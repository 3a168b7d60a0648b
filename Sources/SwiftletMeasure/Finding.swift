// What is wrong with a machine for running models, each with what to do about it. A pure function of facts, so that every rule is tested.
import SwiftletLinearAlgebra
import SwiftletRuntime

/// One thing `doctor` found.
public struct Finding: Sendable, Codable, Equatable {
    public enum Severity: String, Sendable, Codable {
        /// Models will not run, or many times slower than they could.
        case problem
        /// Something costs speed or memory.
        case warning
        /// Worth knowing; nothing to mend.
        case note
    }

    public let severity: Severity
    /// What is the case.
    public let what: String
    /// What to do. For a note, why there is nothing to do.
    public let remedy: String
}

extension Finding {
    /// Memory below which even the default model with its context is tight, in bytes.
    static let leastMemoryBytes = 512 << 20

    /// All findings, the gravest first. `modelCount` is the number of models in the cache.
    package static func all(_ machine: Machine, _ blas: LinearAlgebra.Configuration, modelCount: Int) -> [Finding] {
        let threads = machine.recommendedThreads
        var findings: [Finding] = []
        if machine.architecture == "x86_64", !machine.instructionSets.contains("avx2") {
            findings.append(
                Finding(
                    severity: .problem, what: "The CPU has no AVX2, FMA and F16C, or the system hides them; scalar kernels run instead",
                    remedy: "Use a CPU from 2015 or later; in a virtual machine, pass the host's CPU through."))
        }
        if let better = blas.betterCoreName {
            let user = blas.coreChoice == .user
            findings.append(
                Finding(
                    severity: .warning,
                    what: "OpenBLAS runs on the core \(blas.coreName), where \(better) fits this CPU"
                        + (user ? "; OPENBLAS_CORETYPE asks for it" : "; this build of it cannot be switched"),
                    remedy: user
                        ? "Unset OPENBLAS_CORETYPE, or set it to \(better)."
                        : "Install a build with all cores (apt-get install libopenblas0-pthread)."
                ))
        } else if blas.coreChoice == .engine {
            findings.append(
                Finding(
                    severity: .note, what: "OpenBLAS took this CPU for a \(blas.coreNameAtLoad); Swiftlet switched it to \(blas.coreName)",
                    remedy: "Nothing to do; a newer OpenBLAS may choose right by itself."))
        }
        if machine.listsTiles, !machine.instructionSets.contains(where: { $0.hasPrefix("amx") }) {
            findings.append(
                Finding(
                    severity: .warning, what: "The CPU has AMX tiles, but the system does not grant them",
                    remedy: "Run Linux 5.16 or newer, outside sandboxes that filter arch_prctl."))
        }
        if let limit = machine.coreLimit, limit < Double(machine.physicalCores) {
            findings.append(
                Finding(
                    severity: .warning,
                    what: "The control group allows \(rounded(limit)) of \(machine.physicalCores) cores; more threads would be throttled",
                    remedy:
                        "Raise the limit (docker run --cpus), or keep to \(threads) \(threads == 1 ? "thread" : "threads"), the default here."
                ))
        }
        if machine.usableProcessors < machine.onlineProcessors {
            findings.append(
                Finding(
                    severity: .note,
                    what: "This process may run on \(machine.usableProcessors) of \(machine.onlineProcessors) processors (affinity)",
                    remedy: "Nothing to do if that is meant; else start it without taskset or cpuset."))
        }
        if machine.availableMemoryBytes < leastMemoryBytes {
            findings.append(
                Finding(
                    severity: .problem, what: "Only \(machine.availableMemoryBytes >> 20) MiB of memory are available",
                    remedy: "End other programs, raise the container's memory limit, or use a smaller model or context."))
        }
        if let limit = machine.memoryLimitBytes {
            findings.append(
                Finding(
                    severity: .note, what: "The control group limits memory to \(limit >> 20) MiB of \(machine.memoryBytes >> 20)",
                    remedy: "Nothing to do unless a model needs more; then raise the limit (docker run --memory)."))
        }
        if modelCount == 0 {
            findings.append(
                Finding(severity: .warning, what: "The model cache is empty", remedy: "Pull the default model: swiftlet pull smollm2-135m"))
        }
        let order: [Severity] = [.problem, .warning, .note]
        return order.flatMap { severity in findings.filter { $0.severity == severity } }
    }

    /// One decimal, without Foundation's locales.
    private static func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}

extension Finding {
    /// What is wrong with the record of `doctor --tune`.
    package static func tuning(_ record: Result<MachineTuning?, any Error>) -> [Finding] {
        guard case .failure(let error) = record else { return [] }
        return [
            Finding(
                severity: .warning, what: "What was measured on this machine cannot be used: \(error)",
                remedy: "Run swiftlet doctor --tune, which writes it anew.")
        ]
    }
}
