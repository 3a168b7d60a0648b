import CKernels
import SwiftletMeasure
import SwiftletRuntime
import Testing

@Suite struct MachineTests {
    /// Four cores of two threads each, affinity to three of the cores, version 2 control group of 1.5 cores and 2 GiB.
    private static let hyperthreaded: [String: String] = {
        var files = [
            "/proc/cpuinfo":
                "processor\t: 0\nmodel name\t: Test CPU 3000\nflags\t\t: fpu avx2 amx_tile\n\nprocessor\t: 1\nmodel name\t: Other\n",
            "/proc/self/status": "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nCpus_allowed_list:\t0-2,4-6\n",
            "/proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n",
            "/proc/self/cgroup": "0::/outer/inner\n",
            "/sys/devices/system/cpu/online": "0-7\n",
            "/sys/fs/cgroup/outer/cpu.max": "150000 100000\n",
            "/sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/outer/inner/memory.max": "2147483648\n",
            "/sys/fs/cgroup/outer/memory.max": "max\n",
        ]
        for cpu in 0..<8 { files["/sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list"] = "\(cpu % 4),\(cpu % 4 + 4)\n" }
        for (index, cache) in [(1, "Data", "48K"), (1, "Instruction", "32K"), (2, "Unified", "2048K"), (3, "Unified", "32M")].enumerated() {
            let folder = "/sys/devices/system/cpu/cpu0/cache/index\(index)"
            files["\(folder)/level"] = "\(cache.0)\n"
            files["\(folder)/type"] = "\(cache.1)\n"
            files["\(folder)/size"] = "\(cache.2)\n"
            files["\(folder)/shared_cpu_list"] = cache.0 == 3 ? "0-7\n" : "0,4\n"
        }
        return files
    }()

    private static func machine(_ files: [String: String], isa: UInt32 = 0) -> Machine {
        Machine(files: SystemFiles { files[$0] }, isa: isa)
    }

    @Test func coresCachesAndLimitsAreRead() {
        let machine = Self.machine(Self.hyperthreaded, isa: UInt32(CK_ISA_AVX2 | CK_ISA_AVX512_VNNI))
        #expect(machine.processor == "Test CPU 3000" && machine.listsTiles)
        #expect(machine.onlineProcessors == 8 && machine.usableProcessors == 6 && machine.physicalCores == 3)
        #expect(machine.coreLimit == 1.5 && machine.recommendedThreads == 1)
        #expect(machine.caches.map(\.bytes) == [48 << 10, 32 << 10, 2 << 20, 32 << 20] && machine.lastCacheBytes == 32 << 20)
        #expect(machine.caches.map(\.sharedBy) == [2, 2, 2, 8])
        #expect(machine.instructionSets == ["avx2", "avx512-vnni"])
        #expect(machine.memoryBytes == 16 << 30 && machine.memoryLimitBytes == 2 << 30)
        #expect(machine.availableMemoryBytes == 2 << 30 - 1 << 20)
    }

    @Test func versionOneControlGroupsAreRead() {
        var files = Self.hyperthreaded
        files["/proc/self/cgroup"] = "4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n"
        files["/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us"] = "250000"
        files["/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us"] = "100000"
        files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "-1"
        files["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000"
        files["/sys/fs/cgroup/memory/box/memory.limit_in_bytes"] = "9223372036854771712"
        files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "4294967296"
        let machine = Self.machine(files)
        #expect(machine.coreLimit == 2.5 && machine.recommendedThreads == 2)
        #expect(machine.memoryLimitBytes == 4 << 30)
    }

    @Test func aMachineWithoutFilesStillHasAnAnswer() {
        let machine = Self.machine([:])
        #expect(machine.physicalCores >= 1 && machine.recommendedThreads >= 1 && machine.memoryBytes > 0)
        #expect(machine.coreLimit == nil && machine.caches.isEmpty)
        #expect(ProcessMemory(files: SystemFiles { _ in nil }).residentBytes == 0)
    }

    @Test(arguments: ["4-1", "x", "-3", "0-99999999999", "99999999999999999999", ",,"]) func damagedListsHoldNothing(list: String) {
        var files = Self.hyperthreaded
        files["/proc/self/status"] = "Cpus_allowed_list:\t\(list)\n"
        #expect(Self.machine(files).usableProcessors >= 1)
    }

    #if os(Linux)
        @Test func thisProcessHasMemory() {
            let before = ProcessMemory.current()
            #expect(before.residentBytes > 1 << 20 && before.peakResidentBytes >= before.residentBytes / 2)
            var block = [UInt8](repeating: 1, count: 64 << 20)
            block[12345] = 2
            let during = ProcessMemory.current()
            #expect(during.peakResidentBytes >= 64 << 20)
            #expect(block[12345] == 2)
        }
    #endif
}
