// The Swift side checks sizes before C sees a pointer.
import SwiftletTensor
import Testing

@Suite struct BlockSizeTests {
    @Test(arguments: BlockFormat.allCases) func partialBlocksAreRefused(format: BlockFormat) throws {
        let blocks = [UInt8](repeating: 0, count: 2 * format.blockBytes)
        #expect(try format.dequantize(blocks).count == 2 * format.blockElements)
        #expect(try format.dequantize([UInt8]()).isEmpty)
        #expect(throws: SwiftletError.self) { try format.dequantize(Array(blocks.dropLast())) }
        for count in [0, format.blockElements, 2 * format.blockElements - 1, 2 * format.blockElements + 1, 3 * format.blockElements] {
            var target = [Float](repeating: 0, count: count)
            #expect(throws: SwiftletError.self) {
                try target.withUnsafeMutableBufferPointer { target in try blocks.withUnsafeBytes { try format.dequantize($0, into: target) }
                }
            }
        }
    }

    /// Their scales are 16-bit numbers; MXFP4 alone is all bytes.
    @Test(arguments: BlockFormat.allCases.filter { $0 != .mxfp4 }) func oddAddressesAreRefused(format: BlockFormat) throws {
        let bytes = [UInt8](repeating: 0, count: format.blockBytes + 1)
        var target = [Float](repeating: 0, count: format.blockElements)
        #expect(throws: SwiftletError.self) {
            try target.withUnsafeMutableBufferPointer { target in
                try bytes.withUnsafeBytes { try format.dequantize(UnsafeRawBufferPointer(rebasing: $0[1...]), into: target) }
            }
        }
    }

    @Test(arguments: BlockFormat.allCases) func onlyRoundingFormatsQuantise(format: BlockFormat) throws {
        let rounding: Set<BlockFormat> = [.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .tq1_0, .tq2_0, .mxfp4]
        #expect(format.hasRounding == rounding.contains(format))
        let values = [Float](repeating: 1, count: format.blockElements)
        if format.hasRounding {
            #expect(try format.quantize(values).count == format.blockBytes)
            #expect(throws: SwiftletError.self) { try format.quantize(Array(values.dropLast())) }
        } else {
            #expect(throws: SwiftletError.self) { try format.quantize(values) }
        }
    }

    @Test func denseRowsCheckTheirSizes() throws {
        let halves: [Float16] = [1, -2.5, 65504]
        try halves.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) throws in
            #expect(try WeightFormat.dense(.f16).dequantizeRow(bytes, elements: 3) == [1, -2.5, 65504])
            #expect(throws: SwiftletError.self) { try WeightFormat.dense(.f16).dequantizeRow(bytes, elements: 4) }
            #expect(throws: SwiftletError.self) { try WeightFormat.dense(.f16).dequantizeRow(bytes, elements: -1) }
        }
    }
}
