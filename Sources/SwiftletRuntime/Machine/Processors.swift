// How many threads are worth starting: physical cores this process may use.
import Foundation

/// The processors of the machine.
package enum Processors {
    /// Physical cores this process may run on: hyper-threads of one core share its vector units, so they count once.
    package static let physicalCount: Int = {
        #if os(Linux)
            var cores = Set<String>()
            for processor in allowed {
                let topology = "/sys/devices/system/cpu/cpu\(processor)/topology/"
                guard let core = line(topology + "core_id"), let package = line(topology + "physical_package_id") else {
                    return max(1, allowed.count)
                }
                cores.insert("\(package):\(core)")
            }
            return max(1, cores.count)
        #else
            var count: Int32 = 0
            var size = MemoryLayout<Int32>.size
            return sysctlbyname("hw.perflevel0.physicalcpu", &count, &size, nil, 0) == 0 && count > 0
                ? Int(count) : ProcessInfo.processInfo.activeProcessorCount
        #endif
    }()

    #if os(Linux)
        /// The logical processors of the affinity mask, from the list `0-3,8` in the process's status.
        private static var allowed: [Int] {
            let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
            guard let list = status.split(separator: "\n").first(where: { $0.hasPrefix("Cpus_allowed_list:") })?.split(separator: ":").last else {
                return Array(0..<ProcessInfo.processInfo.activeProcessorCount)
            }
            return list.split(separator: ",").flatMap { part -> [Int] in
                let ends = part.split(separator: "-").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
                guard let first = ends.first, let last = ends.last, first <= last, last < 1 << 16 else { return [] }
                return Array(first...last)
            }
        }

        private static func line(_ path: String) -> String? {
            (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
        }
    #endif
}
