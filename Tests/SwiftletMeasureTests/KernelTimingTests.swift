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
            // Scalar code has no peak loop for integers.
            #expect((figure.percentOfPeak != nil) == (kernelCase.operations > 0 && kernelCase.isa != 0))
            #expect(figure.commit == "abc" && !figure.compiler.isEmpty)
            #expect(try JSONDecoder().decode(KernelFigure.self, from: JSONEncoder().encode(figure)) == figure)
        }
        #expect(throws: SwiftletError.self) { try timer.measure(cases[0], samples: 0) }
    }
}
