import CKernels
import Foundation
import SwiftletLinearAlgebra
import SwiftletMeasure
import SwiftletModels
import SwiftletRuntime
import Testing

@Suite struct DoctorTests {
    private static func machine(isa: Int, cores: Int = 2, quota: String = "max", availableMiB: Int = 8192, tiles: Bool = false) -> Machine {
        let files = [
            "/proc/cpuinfo": "model name: Test\nflags: fpu\(tiles ? " amx_tile" : "")\n",
            "/proc/self/status": "Cpus_allowed_list: 0-\(cores - 1)\n",
            "/sys/devices/system/cpu/online": "0-\(cores - 1)",
            "/proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: \(availableMiB * 1024) kB\n",
            "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "\(quota) 100000\n",
        ]
        return Machine(files: SystemFiles { files[$0] }, isa: UInt32(isa))
    }

    private static func blas(
        _ core: String, _ choice: LinearAlgebra.CoreChoice = .library, better: String? = nil, atLoad: String? = nil
    ) throws -> LinearAlgebra.Configuration {
        var fields: [String: Any] = [
            "version": "0", "build": "test", "coreName": core, "coreNameAtLoad": atLoad ?? core, "coreChoice": choice.rawValue,
            "threads": 1,
        ]
        fields["betterCoreName"] = better
        return try JSONDecoder().decode(LinearAlgebra.Configuration.self, from: try JSONSerialization.data(withJSONObject: fields))
    }

    private static let good = Int(CK_ISA_AVX2)

    @Test func aSoundMachineHasNoFindings() throws {
        #expect(Finding.all(Self.machine(isa: Self.good), try Self.blas("Haswell"), modelCount: 1).isEmpty)
    }

    @Test func everyProblemIsNamedWithARemedy() throws {
        let sound = Self.machine(isa: Self.good)
        let haswell = try Self.blas("Haswell")
        func only(_ machine: Machine, _ blas: LinearAlgebra.Configuration, models: Int = 1) -> Finding? {
            let findings = Finding.all(machine, blas, modelCount: models)
            return findings.count == 1 ? findings[0] : nil
        }
        #if arch(x86_64)
            #expect(only(Self.machine(isa: 0), haswell)?.severity == .problem)
        #endif
        #expect(only(sound, try Self.blas("Prescott", .user, better: "Haswell"))?.remedy.contains("OPENBLAS_CORETYPE") == true)
        #expect(only(sound, try Self.blas("Prescott", .unfit, better: "Haswell"))?.severity == .warning)
        #expect(only(sound, try Self.blas("SkylakeX", .engine, atLoad: "Prescott"))?.severity == .note)
        #expect(only(Self.machine(isa: Self.good, tiles: true), haswell)?.what.contains("AMX") == true)
        #expect(only(Self.machine(isa: Self.good, cores: 4, quota: "150000"), haswell)?.remedy.contains("1 thread") == true)
        #expect(only(Self.machine(isa: Self.good, availableMiB: 100), haswell)?.severity == .problem)
        #expect(only(sound, haswell, models: 0)?.remedy.contains("swiftlet pull") == true)
        let many = Finding.all(
            Self.machine(isa: Self.good, availableMiB: 100, tiles: true), try Self.blas("SkylakeX", .engine), modelCount: 0)
        #expect(many.map(\.severity) == [.problem, .warning, .warning, .note])
    }

    @Test func theReportOfThisMachineIsCompleteAndReadable() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("swiftlet-\(UUID().uuidString)")
        let report = try DoctorReport.examine(cache: ModelCache(root: folder))
        #expect(report.models.isEmpty && report.findings.contains { $0.what.contains("cache is empty") })
        let json = try JSONSerialization.jsonObject(with: Data(try report.json().utf8)) as? [String: Any]
        #expect((json?["linear_algebra"] as? [String: Any])?["core_name"] as? String == LinearAlgebra.coreName)
        #expect((json?["peaks"] as? [Any])?.count == report.peaks.count)
        #expect(json?["cache_folder"] as? String == folder.path)
        for word in ["CPU", "Bandwidth", "OpenBLAS", LinearAlgebra.coreName, "scalar-f32", "Models in", "swiftlet pull"] {
            #expect(report.text.contains(word))
        }
    }
}
