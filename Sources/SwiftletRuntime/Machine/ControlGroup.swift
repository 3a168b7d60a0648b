// The limits a container or service sets on its processes (Linux control groups, versions 1 and 2).
//
// A process is in one group a hierarchy; a group's limit holds for all below it. So the limit is the least from the process's group up to the root.
// Inside a container the path in /proc/self/cgroup may lie outside what is mounted: missing files set no limit.

/// Limits on the process's control group.
package struct ControlGroup: Sendable, Codable, Equatable {
    /// CPU time per wall-clock time, in cores; nil without a limit.
    package let cores: Double?
    /// Memory in bytes; nil without a limit.
    package let memoryBytes: Int?

    package init(cores: Double?, memoryBytes: Int?) {
        self.cores = cores
        self.memoryBytes = memoryBytes
    }

    package init(_ files: SystemFiles) {
        var cores: [Double] = []
        var memory: [Int] = []
        for line in (files.text("/proc/self/cgroup") ?? "").split(separator: "\n") {
            // hierarchy-ID:controllers:path; version 2 has ID 0 and no controllers.
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3 else { continue }
            let controllers = parts[1].split(separator: ",")
            for folder in Self.ancestors(of: parts[2]) {
                if parts[0] == "0" {
                    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                        cores += Self.quota(files.text("\(mount)\(folder)/cpu.max")?.split(separator: " ").map(String.init) ?? [])
                        memory += [files.integer("\(mount)\(folder)/memory.max")].compactMap { $0 }
                    }
                }
                if controllers.contains("cpu") {
                    for mount in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/\(parts[1])"] {
                        let pair = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].compactMap { files.text("\(mount)\(folder)/\($0)") }
                        cores += Self.quota(pair)
                    }
                }
                if controllers.contains("memory") {
                    memory += [files.integer("/sys/fs/cgroup/memory\(folder)/memory.limit_in_bytes")].compactMap { $0 }
                }
            }
        }
        self.cores = cores.min()
        // Version 1 says "no limit" with a number near 2^63.
        memoryBytes = memory.filter { $0 > 0 && $0 < 1 << 60 }.min()
    }

    /// Quota and period in microseconds, as a number of cores; "max" and -1 are no limit.
    private static func quota(_ pair: [String]) -> [Double] {
        guard pair.count == 2, let quota = Double(pair[0]), let period = Double(pair[1]), quota > 0, period > 0 else { return [] }
        return [quota / period]
    }

    /// "/a/b" gives "/a/b", "/a" and "".
    private static func ancestors(of path: String) -> [String] {
        let names = path.split(separator: "/")
        return (0...names.count).reversed().map { count in names.prefix(count).map { "/\($0)" }.joined() }
    }
}
