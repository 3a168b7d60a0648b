import COpenBLASCore
import Foundation
import SwiftletLinearAlgebra
import Testing

@Suite struct CoreSelectionTests {
    private static let avx2 = UInt32(OPENBLAS_CORE_AVX2)
    private static let avx512 = UInt32(OPENBLAS_CORE_AVX2 | OPENBLAS_CORE_AVX512)
    private static let amd = UInt32(OPENBLAS_CORE_AMD)

    /// What the library chose, what the CPU has, what must be used.
    private static let choices: [(UInt32, String, String?)] = [
        (avx512, "Prescott", "SkylakeX"), (avx512, "Nehalem", "SkylakeX"), (avx512, "Haswell", "SkylakeX"), (avx512, "SkylakeX", nil),
        (avx512, "Cooperlake", nil), (avx512, "SapphireRapids", nil), (avx512 | amd, "Zen", "SkylakeX"), (avx512 | amd, "Cooperlake", nil),
        (avx2, "Prescott", "Haswell"), (avx2, "Sandybridge", "Haswell"), (avx2, "Haswell", nil), (avx2 | amd, "Barcelona", "Zen"),
        (avx2 | amd, "Zen", nil), (avx2 | amd, "Excavator", nil), (0, "Prescott", nil), (0, "armv8", nil),
    ]

    @Test(arguments: choices) func aCoreThatDoesNotFitIsReplaced(features: UInt32, chosen: String, expected: String?) {
        #expect(openblas_core_replacement(features, chosen).map { String(cString: $0) } == expected)
    }

    @Test func thisProcessRunsOnACoreThatFits() {
        let configuration = LinearAlgebra.configuration
        #expect(configuration.coreName == LinearAlgebra.coreName)
        #expect(configuration.version.split(separator: ".").count >= 2)
        #expect(configuration.threads >= 1)
        if configuration.coreChoice != .user { #expect(configuration.betterCoreName == nil) }
        if configuration.coreChoice == .library { #expect(configuration.coreName == configuration.coreNameAtLoad) }
    }

    #if arch(x86_64)
        // In a process of its own, since no other thread may be inside BLAS while the core changes.
        @Test func switchingChangesTheCoreAndNotTheResult() async {
            await #expect(processExitsWith: .success) {
                let values: [Float] = [1, 2, 3, 4, 5, 6]
                let a = try Matrix<Float>(rows: 2, columns: 3, elements: values)
                let before = LinearAlgebra.coreName
                for core in ["Prescott", before] {
                    precondition(openblas_core_select(core) == 1, "OpenBLAS did not switch to \(core)")
                    precondition(LinearAlgebra.coreName == core)
                    let product = try LinearAlgebra.matrixMultiply(a, a, transposeB: true)
                    precondition(product.elements == [14, 32, 32, 77])
                }
                precondition(openblas_core_select("NoSuchCore") == 0)
                let inherited = ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"]
                precondition(inherited == nil || LinearAlgebra.configuration.coreChoice == .user, "the variable outlived the switch")
            }
        }
    #endif

    @Test func threadCountIsChecked() {
        #expect(throws: (any Error).self) { try LinearAlgebra.setThreads(0) }
        #expect(throws: (any Error).self) { try LinearAlgebra.setThreads(5000) }
    }
}
