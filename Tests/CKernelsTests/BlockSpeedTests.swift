// How fast blocks become floats: printed, and held to a floor that even a busy machine reaches in release.
import CKernels
import SwiftletTensor
import TestSupport
import Testing

@Suite(.serialized) struct BlockSpeedTests {
    #if !DEBUG
        @Test(arguments: BlockFormat.allCases) func dequantisesAtAUsefulRate(format: BlockFormat) throws {
            let elements = 1 << 20
            var random = SeededGenerator(seed: UInt64(format.rawValue))
            var bytes = [UInt8](repeating: 0, count: elements / format.blockElements * format.blockBytes)
            for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
            var output = [Float](repeating: 0, count: elements)
            let clock = ContinuousClock()
            var best = Duration.seconds(60)
            for _ in 0..<5 {
                let time = try clock.measure {
                    try bytes.withUnsafeBytes { source in
                        try output.withUnsafeMutableBufferPointer { try format.dequantize(source, into: $0) }
                    }
                }
                best = min(best, time)
            }
            let megabytes = Double(elements * 4) / (Double(best.components.attoseconds) * 1e-18) / 1e6
            print("dequantise \(format.name): \(Int(megabytes)) MB/s of floats")
            #expect(megabytes > 200)
        }
    #endif
}
