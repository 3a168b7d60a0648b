// What this process runs on: CPU, caches, instruction sets, memory, and the share of them it may use.
import CKernels
import Foundation

/// The machine, as far as this process may use it.
public struct Machine: Sendable, Codable, Equatable {
    /// One cache as the first usable processor sees it.
    public struct Cache: Sendable, Codable, Equatable {
        /// 1 is the nearest.
        public let level: Int
        /// "Data", "Instruction" or "Unified".
        public let kind: String
        public let bytes: Int
        /// Logical processors that share it.
        public let sharedBy: Int
    }

    /// Name of the CPU as the system gives it, for example "AMD EPYC 9B14".
    public let processor: String
    /// Machine architecture: "x86_64" or "aarch64".
    public let architecture: String
    /// Logical processors of the machine.
    public let onlineProcessors: Int
    /// Logical processors this process may run on (its affinity).
    public let usableProcessors: Int
    /// Physical cores among the usable processors.
    public let physicalCores: Int
    /// CPU time limit of the control group, in cores; nil without one.
    public let coreLimit: Double?
    public let caches: [Cache]
    /// Extensions kernels may use, for example "avx2", "avx512-vnni".
    public let instructionSets: [String]
    /// Kernel paths that can be chosen, lowest first, by the names `InstructionSet` has for them.
    public let kernelPaths: [String]
    /// Whether the CPU lists AMX tiles, permitted or not.
    public let listsTiles: Bool
    /// Memory of the machine, in bytes.
    public let memoryBytes: Int
    /// Memory that can be had without swapping, in bytes, within the control group's limit.
    public let availableMemoryBytes: Int
    /// Memory limit of the control group, in bytes; nil without one.
    public let memoryLimitBytes: Int?

    /// Threads that serve a model best: one a physical core, within the control group's limit.
    public var recommendedThreads: Int { max(1, min(physicalCores, coreLimit.map { Int($0.rounded(.down)) } ?? physicalCores)) }

    /// Size of the last cache before memory, in bytes; 0 where unknown.
    public var lastCacheBytes: Int { caches.map(\.bytes).max() ?? 0 }

    /// The machine this process runs on.
    public static func current() -> Machine { Machine(files: .live, isa: ck_isa_detect()) }

    package init(files: SystemFiles, isa: UInt32) {
        let fallback = ProcessInfo.processInfo
        let group = ControlGroup(files)
        let usable = SystemFiles.numbers(files.field("Cpus_allowed_list", in: "/proc/self/status") ?? "")
        let online = SystemFiles.numbers(files.text("/sys/devices/system/cpu/online") ?? "").count
        let cpu = "/sys/devices/system/cpu/cpu"
        // Processors of one core name the same siblings.
        let cores = Set(usable.compactMap { files.text("\(cpu)\($0)/topology/thread_siblings_list") })
        processor =
            files.field("model name", in: "/proc/cpuinfo") ?? files.field("Hardware", in: "/proc/cpuinfo")
            ?? files.field("CPU part", in: "/proc/cpuinfo").map { "Arm CPU part \($0)" } ?? "unknown"
        #if arch(x86_64)
            architecture = "x86_64"
        #else
            architecture = "aarch64"
        #endif
        usableProcessors = usable.isEmpty ? fallback.activeProcessorCount : usable.count
        onlineProcessors = online == 0 ? fallback.processorCount : online
        physicalCores = cores.isEmpty ? usableProcessors : cores.count
        coreLimit = group.cores
        let flags = files.field("flags", in: "/proc/cpuinfo")?.split(separator: " ") ?? []
        listsTiles = flags.contains("amx_tile")
        caches = (0..<10).compactMap { index in
            let folder = "\(cpu)\(usable.first ?? 0)/cache/index\(index)"
            guard let level = files.integer("\(folder)/level"), let kind = files.text("\(folder)/type"),
                let bytes = files.text("\(folder)/size").flatMap(Self.cacheBytes)
            else { return nil }
            let shared = SystemFiles.numbers(files.text("\(folder)/shared_cpu_list") ?? "").count
            return Cache(level: level, kind: kind, bytes: bytes, sharedBy: max(shared, 1))
        }
        instructionSets = Self.names(of: isa)
        kernelPaths = InstructionSet.levels(within: isa).map(\.rawValue)
        let total = files.bytes("MemTotal", in: "/proc/meminfo") ?? Int(clamping: fallback.physicalMemory)
        let available = files.bytes("MemAvailable", in: "/proc/meminfo") ?? total
        memoryBytes = total
        // A limit at or above the machine's memory limits nothing.
        memoryLimitBytes = group.memoryBytes.flatMap { $0 < total ? $0 : nil }
        let room = memoryLimitBytes.map { max(0, $0 - (files.bytes("VmRSS", in: "/proc/self/status") ?? 0)) }
        availableMemoryBytes = min(available, room ?? available)
    }

    /// "32K" or "1M", in bytes.
    private static func cacheBytes(_ text: String) -> Int? {
        let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
        guard let last = text.last else { return nil }
        guard let unit = units[last] else { return Int(text) }
        guard let value = Int(text.dropLast()), value >= 0, value < 1 << 30 else { return nil }
        return value * unit
    }

    /// The names of a set of `CK_ISA_` bits, least first.
    package static func names(of isa: UInt32) -> [String] {
        let all: [(bit: Int, name: String)] = [
            (CK_ISA_AVX2, "avx2"), (CK_ISA_AVX_VNNI, "avx-vnni"), (CK_ISA_AVX512, "avx512"), (CK_ISA_AVX512_VNNI, "avx512-vnni"),
            (CK_ISA_AVX512_BF16, "avx512-bf16"), (CK_ISA_AVX512_VBMI2, "avx512-vbmi2"), (CK_ISA_AMX_INT8, "amx-int8"),
            (CK_ISA_AMX_BF16, "amx-bf16"),
            (CK_ISA_NEON, "neon"), (CK_ISA_DOTPROD, "dotprod"), (CK_ISA_I8MM, "i8mm"),
        ]
        return all.filter { isa & UInt32($0.bit) != 0 }.map(\.name)
    }
}

/// Memory this process holds.
public struct ProcessMemory: Sendable, Codable, Equatable {
    /// Resident now, in bytes.
    public let residentBytes: Int
    /// The most that was ever resident, in bytes.
    public let peakResidentBytes: Int

    /// The memory of this process now; 0 on systems without /proc.
    public static func current() -> ProcessMemory { ProcessMemory(files: .live) }

    package init(files: SystemFiles) {
        residentBytes = files.bytes("VmRSS", in: "/proc/self/status") ?? 0
        peakResidentBytes = files.bytes("VmHWM", in: "/proc/self/status") ?? 0
    }
}
