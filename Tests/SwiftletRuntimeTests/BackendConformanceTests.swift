// One suite for every backend and every operation: the reference against the naive evaluator, the CPU backend on every instruction set the
// machine has, with one to three threads and both precisions of rounded activations, against the same exact results.
import CKernels
import SwiftletRuntime
import TestSupport
import Testing

/// A set of instruction sets to force. Rows of the kernel tables inside it are used, best first.
enum ISAPath: UInt32, CaseIterable {
    case scalar = 0
    case avx2 = 0x1
    case avx512 = 0x3
    case avx512VNNI = 0x7
    case avx512BF16 = 0x1f
    case amx = 0xdf
    case neon = 0x10000
    case dotProduct = 0x30000
    case i8mm = 0x70000

    var isHere: Bool { rawValue & ~ck_isa_detect() == 0 }
}

/// Pools shared by all tests; idle ones sleep.
enum Pools {
    static let all: [ThreadPool] = (1...3).compactMap { try? ThreadPool(threadCount: $0) }
}

@Suite("Backends compute every operation")
struct BackendConformanceTests {
    @Test("The pools exist") func pools() { #expect(Pools.all.map(\.threadCount) == [1, 2, 3]) }

    /// The reference differs from the exact result by the rounding of the result alone: half an ulp, and what Double loses.
    @Test("reference", arguments: OpSample.all)
    func reference(_ sample: OpSample) throws {
        let (built, exact) = (try PreparedSample.of(sample).built, try PreparedSample.of(sample).exact)
        for pool in [nil, Pools.all[1]] {
            let results = try execute(built, on: [ReferenceBackend(pool: pool)])
            for (run, expected) in exact.enumerated() {
                for (index, tensor) in expected.enumerated() {
                    let scale = tensor.values.filter(\.isFinite).reduce(0) { max($0, abs($1)) }
                    let bounds = tensor.values.map { ulp / 2 * 1.000001 * abs($0) + 1e-11 * scale + 1e-44 }
                    expectClose(results.outputs[run][index], tensor.values, within: bounds, "run \(run), output \(index)")
                }
            }
        }
    }

    @Test("cpu, scalar", arguments: OpSample.all)
    func scalar(_ sample: OpSample) throws { try check(sample, on: .scalar) }

    @Test("cpu, AVX2", .enabled(if: ISAPath.avx2.isHere, "This machine has no AVX2."), arguments: OpSample.all)
    func avx2(_ sample: OpSample) throws { try check(sample, on: .avx2) }

    @Test("cpu, AVX-512", .enabled(if: ISAPath.avx512.isHere, "This machine has no AVX-512."), arguments: OpSample.all)
    func avx512(_ sample: OpSample) throws { try check(sample, on: .avx512) }

    @Test("cpu, AVX-512 VNNI", .enabled(if: ISAPath.avx512VNNI.isHere, "This machine has no AVX-512 VNNI."), arguments: OpSample.all)
    func avx512VNNI(_ sample: OpSample) throws { try check(sample, on: .avx512VNNI) }

    @Test("cpu, AVX-512 BF16 and VBMI2", .enabled(if: ISAPath.avx512BF16.isHere, "This machine has no AVX-512 BF16."), arguments: OpSample.all)
    func avx512BF16(_ sample: OpSample) throws { try check(sample, on: .avx512BF16) }

    @Test("cpu, AMX", .enabled(if: ISAPath.amx.isHere, "This machine has no AMX."), arguments: OpSample.all)
    func amx(_ sample: OpSample) throws { try check(sample, on: .amx) }

    @Test("cpu, NEON", .enabled(if: ISAPath.neon.isHere, "This machine has no NEON."), arguments: OpSample.all)
    func neon(_ sample: OpSample) throws { try check(sample, on: .neon) }

    @Test("cpu, NEON dot product", .enabled(if: ISAPath.dotProduct.isHere, "This machine has no SDOT."), arguments: OpSample.all)
    func dotProduct(_ sample: OpSample) throws { try check(sample, on: .dotProduct) }

    @Test("cpu, NEON I8MM", .enabled(if: ISAPath.i8mm.isHere, "This machine has no I8MM."), arguments: OpSample.all)
    func i8mm(_ sample: OpSample) throws { try check(sample, on: .i8mm) }

    private func check(_ sample: OpSample, on path: ISAPath) throws {
        guard sample.isOnCPU else {
            let built = try sample.build()
            let backend = CPUBackend(pool: Pools.all[0], isa: path.rawValue)
            #expect(throws: SwiftletError.self) { try execute(built, on: [backend]) }
            return
        }
        let prepared = try PreparedSample.of(sample)
        for precision in [CPUBackend.ActivationPrecision.int15, .int8] {
            let bounds = prepared.bounds(precision)
            for pool in Pools.all {
                let results = try execute(prepared.built, on: [CPUBackend(pool: pool, isa: path.rawValue, activation: precision)])
                for (run, expected) in prepared.exact.enumerated() {
                    for (index, tensor) in expected.enumerated() {
                        expectClose(
                            results.outputs[run][index], tensor.values, within: bounds[run][index],
                            "\(precision), \(pool.threadCount) threads, run \(run), output \(index)")
                    }
                }
                #expect(results.states == prepared.states, "\(precision), \(pool.threadCount) threads: the caches hold other bytes")
            }
        }
    }
}
