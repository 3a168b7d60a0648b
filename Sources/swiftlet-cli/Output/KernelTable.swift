// The table of `bench kernels` for a reader: one block a layer and variant, one line a kernel.
import Foundation
import SwiftletKernelCases
import SwiftletMeasure

enum KernelTable {
    /// The machine and its limits.
    static func head(_ limits: MachineLimits, threads: Int) -> String {
        let named = threads == 1 ? "1 thread" : "\(threads) threads"
        let peaks = limits.peaks.map { "\($0.name) \(rate(threads == 1 ? $0.oneThread : $0.allThreads))" }
        return "\(limits.processor), \(named)\nread  \(rate(limits.bandwidth(threads: threads))) GB/s\npeak  \(peaks.joined(separator: ", ")) Gop/s\n"
    }

    /// What the cases of one block share.
    static func group(_ kernelCase: KernelCase) -> String { "\(kernelCase.family.rawValue) \(kernelCase.model)/\(kernelCase.shape)" }

    static let columns = "  " + pad("kernel", nameWidth) + right("ns") + right("Gop/s") + right("GB/s") + right("% peak") + right("% read")

    static func line(_ figure: KernelFigure) -> String {
        "  " + pad(figure.kernel, nameWidth) + right(rate(figure.medianNanoseconds)) + right(figure.gigaoperationsPerSecond.map(rate) ?? "-")
            + right(rate(figure.gigabytesPerSecond)) + right(figure.percentOfPeak.map(rate) ?? "-")
            + right(figure.percentOfBandwidth.map(rate) ?? "-")
    }

    private static let nameWidth = 34

    private static func rate(_ value: Double) -> String { String(format: value < 10 ? "%.2f" : value < 1000 ? "%.1f" : "%.0f", value) }

    private static func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }

    private static func right(_ text: String) -> String { String(repeating: " ", count: max(1, 11 - text.count)) + text }
}
