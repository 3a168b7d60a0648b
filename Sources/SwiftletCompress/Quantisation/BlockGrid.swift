// Blocks as grids of numbers: scales first, then a level for each element. What quantisers that choose levels one by one work with.
import CKernels
import SwiftletRuntime

/// How the scales of blocks are found.
package struct BlockGrid: Sendable {
    package let format: BlockFormat
    /// Fewer levels than the format has: 8 for three bits in a container of four. Nil for all.
    let levelLimit: Int?

    /// Throws `SwiftletError.invalidArgument` for formats whose elements have no level of their own, and for limits the format cannot keep.
    package init(_ format: BlockFormat, bits: Int? = nil) throws {
        var grid = ck_block_grid()
        let zeros = [UInt64](repeating: 0, count: (format.blockBytes + 7) / 8)
        guard zeros.withUnsafeBytes({ ck_block_grid_of(format.rawValue, $0.baseAddress, &grid) }) == 1 else {
            throw SwiftletError.invalidArgument(name: "format", reason: "levels of \(format.name) cannot be chosen one by one", remedy: "Choose another format.")
        }
        self.format = format
        guard let bits else {
            levelLimit = nil
            return
        }
        guard format == .q4_1 || format == .q5_1, bits >= 2, 1 << bits <= Int(grid.levels) else {
            throw SwiftletError.invalidArgument(
                name: "bits", reason: "\(bits) bits do not go into \(format.name)", remedy: "Limit q4_1 to 2, 3 or 4 bits, or q5_1 to 2 ... 5.")
        }
        levelLimit = 1 << bits == Int(grid.levels) ? nil : 1 << bits
    }

    /// The blocks of `row` at their nearest levels, scales searched for the least weighted error when `searches`.
    package func quantize(_ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?, searches: Bool, into target: UnsafeMutableRawBufferPointer) throws {
        guard let levelLimit else {
            // Formats without a rounding of their own are searched in any case.
            guard searches || !format.hasRounding else { return try format.quantize(row, method: .nearest, into: target) }
            return try format.quantize(row, importance: importance, method: .search, into: target)
        }
        for block in 0..<row.count / format.blockElements {
            let range = block * format.blockElements..<(block + 1) * format.blockElements
            quantizeLimited(
                UnsafeBufferPointer(rebasing: row[range]), importance.map { UnsafeBufferPointer(rebasing: $0[range]) }, levelLimit, searches: searches,
                into: UnsafeMutableRawBufferPointer(rebasing: target[block * format.blockBytes..<(block + 1) * format.blockBytes]))
        }
    }

    /// Ranges tried around a block's own, each end drawn in by so many parts of 32.
    private static let shrinks = 0...12

    /// One block of q4_1 or q5_1 with few levels: the range of the block, or the drawn-in range of the least weighted error.
    private func quantizeLimited(
        _ x: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>?, _ levels: Int, searches: Bool, into block: UnsafeMutableRawBufferPointer
    ) {
        let (low, high) = (x.min() ?? 0, x.max() ?? 0)
        var best = (error: Float.infinity, scale: UInt16(0), minimum: UInt16(0))
        for bottom in searches ? Self.shrinks : 0...0 {
            for top in searches ? Self.shrinks : 0...0 {
                let minimum = low + (high - low) * Float(bottom) / 32, maximum = high - (high - low) * Float(top) / 32
                let scale = ck_float_to_half((maximum - minimum) / Float(levels - 1)), offset = ck_float_to_half(minimum)
                let error = Self.error(of: x, importance, ck_half_to_float(scale), ck_half_to_float(offset), levels)
                if error < best.error { best = (error, scale, offset) }
            }
        }
        let (d, m) = (ck_half_to_float(best.scale), ck_half_to_float(best.minimum))
        block.storeBytes(of: best.scale, toByteOffset: 0, as: UInt16.self)
        block.storeBytes(of: best.minimum, toByteOffset: 2, as: UInt16.self)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: x.count) { chosen in
            for index in x.indices { chosen[index] = UInt8(Self.nearest(x[index], m, Self.reciprocal(d), levels)) }
            ck_block_set_levels(format.rawValue, block.baseAddress, chosen.baseAddress)
        }
    }

    /// The weighted squared error of rounding to d·level + m, eight elements at a time.
    private static func error(of x: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>?, _ d: Float, _ m: Float, _ levels: Int) -> Float {
        guard let values = UnsafeRawPointer(x.baseAddress) else { return 0 }
        let weights = UnsafeRawPointer(importance?.baseAddress)
        let reciprocal = reciprocal(d), highest = SIMD8<Float>(repeating: Float(levels - 1))
        var sums = SIMD8<Float>.zero
        for offset in stride(from: 0, to: 4 * x.count, by: 32) {
            let x = values.loadUnaligned(fromByteOffset: offset, as: SIMD8<Float>.self)
            let level = pointwiseMin(pointwiseMax((x - m) * reciprocal, SIMD8(repeating: 0)), highest)
            let distance = x - (((level + roundingShift) - roundingShift) * d + m)
            sums += distance * distance * (weights?.loadUnaligned(fromByteOffset: offset, as: SIMD8<Float>.self) ?? SIMD8(repeating: 1))
        }
        return sums.sum()
    }

    /// 1.5·2²³: a float this large has no fraction, so adding it to a small number rounds that to the nearest integer, and subtracting it gives the integer.
    private static let roundingShift: Float = 12_582_912

    private static func reciprocal(_ d: Float) -> Float { d == 0 ? 0 : 1 / d }

    /// Rounded half up: between the lowest and the highest level, where nothing is negative, that is adding a half and cutting.
    private static func nearest(_ x: Float, _ m: Float, _ reciprocal: Float, _ levels: Int) -> Int32 {
        Int32(min(Float(levels - 1), max(0, (x - m) * reciprocal)) + 0.5)
    }

    /// The numbers element `index` of a block can be, ascending with their levels.
    package func values(of block: UnsafeRawBufferPointer) -> BlockValues {
        var grid = ck_block_grid()
        _ = ck_block_grid_of(format.rawValue, block.baseAddress, &grid)
        return BlockValues(grid: grid, levels: levelLimit ?? Int(grid.levels))
    }

    /// Writes levels into a block whose scales are set.
    func write(_ levels: UnsafePointer<UInt8>, to block: UnsafeMutableRawBufferPointer) { ck_block_set_levels(format.rawValue, block.baseAddress, levels) }
}

/// The numbers the elements of one block can be.
package struct BlockValues {
    fileprivate let grid: ck_block_grid
    fileprivate let levels: Int

    /// A block of zeros: before its scales are set.
    init() { self.init(grid: ck_block_grid(), levels: 0) }

    fileprivate init(grid: ck_block_grid, levels: Int) {
        self.grid = grid
        self.levels = levels
    }

    /// The nearest number to `x` that element `index` can be, and its level.
    package func nearest(_ x: Float, at index: Int) -> (value: Float, level: UInt8) {
        let sub = index / Int(grid.sub_elements)
        let scale = withUnsafeBytes(of: grid.scale) { $0.load(fromByteOffset: 4 * sub, as: Float.self) }
        let offset = withUnsafeBytes(of: grid.offset) { $0.load(fromByteOffset: 4 * sub, as: Float.self) }
        guard scale != 0, let codes = grid.codes else { return (offset + scale * 0, zeroLevel) }
        let wanted = (x - offset) / scale
        // Codes that are consecutive integers are found at once, the others by looking.
        if Int(codes[levels - 1]) - Int(codes[0]) == levels - 1 {
            let level = min(levels - 1, max(0, Int((wanted - Float(codes[0])).rounded())))
            return (scale * Float(codes[level]) + offset, UInt8(level))
        }
        var best = (distance: Float.infinity, level: 0)
        for level in 0..<levels {
            let distance = abs(wanted - Float(codes[level]))
            if distance < best.distance { best = (distance, level) }
        }
        return (scale * Float(codes[best.level]) + offset, UInt8(best.level))
    }

    /// The level whose code is nearest to zero.
    private var zeroLevel: UInt8 {
        guard let codes = grid.codes else { return 0 }
        return UInt8((0..<levels).min { abs(Int(codes[$0])) < abs(Int(codes[$1])) } ?? 0)
    }
}
