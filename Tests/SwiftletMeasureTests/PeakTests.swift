import CKernels
import SwiftletMeasure
import SwiftletRuntime
import SwiftletTensor
import Testing

@Suite struct PeakTests {
    /// What a loop's sum grows by in each round, where it is an integer: products per chain × chains × lanes that are summed.
    private static let growth: [String: Double] = [
        "avx2-int8": 12 * -24 * 2, "avx-vnni-int8": 12 * -24 * 2, "avx512-vnni-int8": 12 * -24 * 16, "avx512-bf16": 12 * 2 * 16,
        "amx-int8": 64 * 2, "amx-bf16": 32 * 2, "dotprod-int8": 12 * -24 * 4, "i8mm-int8": 12 * -48 * 4,
    ]

    @Test func everyLoopDoesItsRounds() throws {
        let isa = ck_isa_detect()
        for row in PeakMeasurement.rows where row.isa & isa == row.isa {
            let name = String(cString: row.name)
            let run = try #require(row.run)
            #expect(row.operations_per_iteration > 0)
            if let growth = Self.growth[name] {
                for iterations: UInt64 in [0, 1, 1000] { #expect(run(iterations) == growth * Double(iterations), "\(name)") }
            } else {
                // The others approach their fixed point, 0.001 / (1 - 0.999) = 1, in every chain.
                #expect(run(100_000).isFinite && run(100_000) != run(1), "\(name)")
            }
        }
        #expect(PeakMeasurement.rows.first?.isa == 0)
    }

    @Test func theReaderReadsEveryWord() {
        let words = 512
        let buffer = UnsafeMutablePointer<UInt64>.allocate(capacity: words + 8)
        defer { buffer.deallocate() }
        let aligned = UnsafeMutableRawPointer(buffer).alignedUp(toMultipleOf: 64).bindMemory(to: UInt64.self, capacity: words)
        for row in MemoryReader.rows where row.isa & ~ck_isa_detect() == 0 {
            for place in 0..<words {
                aligned.update(repeating: 0, count: words)
                aligned[place] = 0x1234_5678_9abc_def0
                #expect(row.read(aligned, words * 8) == 0x1234_5678_9abc_def0, "\(String(cString: row.name))")
            }
        }
        #expect(MemoryReader.rows.last?.isa == 0)
    }

    @Test func theBufferIsSharedOutInWholePages() throws {
        let reader = try MemoryReader(bytes: 10 * 4096 + 5, threads: 3)
        #expect(reader.byteCount == 9 * 4096)
        for threads in 1...3 { #expect(reader.pass(threads: threads) > 0) }
        #expect(throws: SwiftletError.self) { try MemoryReader(bytes: 4095, threads: 1) }
    }

    @Test func bandwidthAndPeaksArePlausible() throws {
        let machine = Machine.current()
        let bandwidth = try PeakMeasurement.memoryBandwidth(on: machine, threads: 2, passes: 3)
        #expect(bandwidth.oneThread >= bandwidth.oneThreadMedian && bandwidth.allThreads >= bandwidth.allThreadsMedian)
        #expect(bandwidth.oneThread > 0.1 && bandwidth.oneThread < 5000 && bandwidth.allThreads > 0.1 && bandwidth.bufferBytes > 1 << 20)
        let peaks = try PeakMeasurement.peakRates(threads: 2, passes: 1)
        #expect(peaks.first?.name == "scalar-f32")
        for peak in peaks { #expect(peak.oneThread > 0.01 && peak.allThreads > 0.01 && peak.oneThread < 1e6) }
        #expect(throws: SwiftletError.self) { try PeakMeasurement.memoryBandwidth(on: machine, threads: 0) }
        #expect(throws: SwiftletError.self) { try PeakMeasurement.peakRates(threads: 0) }
    }
}
