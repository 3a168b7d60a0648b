import CKernels
import Foundation
import SwiftletKernelCases
import SwiftletMeasure
import SwiftletTensor
import Testing

@Suite struct KernelTimingTests {
    @Test func figuresFollowFromTimeAndWork() throws {
        let timer = try KernelTimer(commit: "abc")
        let layer = Layer(model: "small", name: "a", count: 1, shape: .linear(format: .block(.q4_1), outputs: 64, inputs: 256))
        let cases = KernelCatalog(layers: [layer], options: KernelCatalog.Options(streamedBytes: 1 << 20)).cases
        for kernelCase in cases.filter({ $0.kernel.contains("q4m") || $0.family == .quantize }) {
            let figure = try timer.measure(kernelCase, samples: 3, sampleSeconds: 1e-4)
            #expect(figure.bestNanoseconds > 0 && figure.bestNanoseconds <= figure.medianNanoseconds)
            #expect(abs(figure.gigabytesPerSecond * figure.medianNanoseconds / kernelCase.bytes - 1) < 1e-6)
            #expect((figure.gigaoperationsPerSecond != nil) == (kernelCase.operations > 0))
            if let rate = figure.gigaoperationsPerSecond {
                #expect(abs(rate * figure.medianNanoseconds / kernelCase.operations - 1) < 1e-6)
            }
            #expect((figure.percentOfBandwidth != nil) == kernelCase.streamsMemory)
            // Scalar and portable code have no peak loop for integers.
            let hasPeak = kernelCase.operations > 0 && kernelCase.isa & ~UInt32(CK_ISA_PORTABLE) != 0
            #expect((figure.percentOfPeak != nil) == hasPeak)
            #expect(figure.commit == "abc" && !figure.compiler.isEmpty)
            #expect(try JSONDecoder().decode(KernelFigure.self, from: JSONEncoder().encode(figure)) == figure)
        }
        #expect(throws: SwiftletError.self) { try timer.measure(cases[0], samples: 0) }
    }

    @Test func severalThreadsCountTogether() throws {
        let timer = try KernelTimer(threads: 2)
        #expect(timer.limits.threads == 2)
        let layer = Layer(model: "small", name: "a", count: 1, shape: .linear(format: .block(.q4_1), outputs: 64, inputs: 256))
        let kernelCase = try #require(
            KernelCatalog(layers: [layer], options: KernelCatalog.Options(streamedBytes: 1 << 20)).cases.first { $0.streamsMemory && $0.isOwnFormat })
        let figure = try timer.measure(kernelCase, samples: 50, sampleSeconds: 1e-4, budgetSeconds: 0)
        #expect(figure.threads == 2 && figure.streamsMemory && figure.intensity == kernelCase.operations / kernelCase.bytes)
        #expect(abs(figure.gigabytesPerSecond * figure.medianNanoseconds / (2 * kernelCase.bytes) - 1) < 1e-6)
        let percent = try #require(figure.percentOfBandwidth)
        #expect(abs(percent / (100 * figure.gigabytesPerSecond / timer.limits.bandwidth.allThreads) - 1) < 1e-6)
    }

    @Test func limitsAreThoseOfTheInstructionSet() {
        let limits = MachineLimits(
            processor: "p",
            bandwidth: MemoryBandwidth(bufferBytes: 1, oneThread: 1, allThreads: 2, oneThreadMedian: 1, allThreadsMedian: 2, threads: 2),
            peaks: [
                PeakRate(name: "avx2-int8", unit: "int8", oneThread: 200, allThreads: 400),
                PeakRate(name: "avx512-vnni-int8", unit: "int8", oneThread: 500, allThreads: 900),
            ])
        #if arch(x86_64)
            #expect(limits.peak(of: "int8", isa: UInt32(CK_ISA_AVX2), threads: 1) == 200)
            #expect(limits.peak(of: "int8", isa: .max, threads: 1) == 500 && limits.peak(of: "int8", isa: .max, threads: 2) == 900)
        #endif
        #expect(limits.peak(of: "int8", isa: 0, threads: 1) == nil && limits.peak(of: "f64", isa: .max, threads: 1) == nil)
        #expect(limits.bandwidth(threads: 1) == 1 && limits.bandwidth(threads: 2) == 2)
    }
}
