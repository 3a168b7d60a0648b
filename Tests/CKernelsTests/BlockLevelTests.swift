import CKernels
import SwiftletTensor
import TestSupport
import Testing

@Suite struct BlockLevelTests {
    static let formats = BlockFormat.allCases.filter { $0 != .tq1_0 }

    /// A block of random bytes whose half-precision scales are finite.
    private static func block(_ format: BlockFormat, seed: UInt64) throws -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        while true {
            let bytes = (0..<format.blockBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
            if try format.dequantize(bytes).allSatisfy({ $0.isFinite }) { return bytes }
        }
    }

    private static func levels(_ format: BlockFormat, _ block: [UInt8]) -> [UInt8] {
        var levels = [UInt8](repeating: 0, count: format.blockElements)
        block.withUnsafeBytes { ck_block_levels(format.rawValue, $0.baseAddress, &levels) }
        return levels
    }

    private static func grid(_ format: BlockFormat, _ block: [UInt8]) -> (grid: ck_block_grid, known: Bool) {
        var grid = ck_block_grid()
        let known = block.withUnsafeBytes { ck_block_grid_of(format.rawValue, $0.baseAddress, &grid) }
        return (grid, known == 1)
    }

    private static func entry(_ values: UnsafeRawBufferPointer, _ index: Int) -> Float { values.load(fromByteOffset: 4 * index, as: Float.self) }

    @Test(arguments: formats) func gridAndLevelsGiveWhatTheFormatMeans(_ format: BlockFormat) throws {
        for seed in 0..<8 as Range<UInt64> {
            let block = try Self.block(format, seed: seed)
            let (grid, known) = Self.grid(format, block)
            #expect(known)
            #expect(Int(grid.elements) == format.blockElements)
            let levels = Self.levels(format, block)
            // Ternary files may hold a fourth pattern that no quantiser writes.
            guard levels.allSatisfy({ Int($0) < Int(grid.levels) }) else {
                #expect(format == .tq2_0)
                continue
            }
            let wanted = try format.dequantize(block)
            for index in wanted.indices {
                let sub = index / Int(grid.sub_elements)
                let scale = withUnsafeBytes(of: grid.scale) { Self.entry($0, sub) }, offset = withUnsafeBytes(of: grid.offset) { Self.entry($0, sub) }
                let product = scale * Float(grid.codes[Int(levels[index])])
                #expect(product + offset == wanted[index], "\(format) element \(index)")
            }
        }
    }

    @Test(arguments: formats) func levelsWrittenAreLevelsRead(_ format: BlockFormat) throws {
        var block = try Self.block(format, seed: 3)
        let count = Int(Self.grid(format, block).grid.levels)
        let scales = Self.grid(format, block).grid
        var generator = SeededGenerator(seed: 4)
        let levels = (0..<format.blockElements).map { _ in UInt8.random(in: 0...UInt8(count - 1), using: &generator) }
        block.withUnsafeMutableBytes { ck_block_set_levels(format.rawValue, $0.baseAddress, levels) }
        #expect(Self.levels(format, block) == levels)
        let after = Self.grid(format, block).grid
        #expect(withUnsafeBytes(of: scales.scale) { Array($0) } == withUnsafeBytes(of: after.scale) { Array($0) })
        #expect(withUnsafeBytes(of: scales.offset) { Array($0) } == withUnsafeBytes(of: after.offset) { Array($0) })
    }

    @Test func formatsWithoutFieldsHaveNoGrid() {
        var grid = ck_block_grid()
        let zeros = [UInt8](repeating: 0, count: 64)
        for type in [UInt32(CK_TYPE_TQ1_0), UInt32(CK_TYPE_F16), UInt32(CK_TYPE_BF16), 999] {
            #expect(zeros.withUnsafeBytes { ck_block_grid_of(type, $0.baseAddress, &grid) } == 0)
        }
    }
}
