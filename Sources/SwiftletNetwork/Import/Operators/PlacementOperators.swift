// Operators that put elements back where they came from: the inverses of pooling and of cutting images into columns.
import SwiftletGraph

extension Importer {
    static let placementOperators: [String: OperatorImporter] = [
        "MaxUnpool": { importer, call in [.tensor(try importer.maxUnpool(call))] },
        "Col2Im": { importer, call in [.tensor(try importer.columnsToImage(call))] },
    ]

    /// The maxima at their places in a tensor of zeros.
    private mutating func maxUnpool(_ call: OperatorCall) throws -> ValueID {
        let (x, places) = (try call.tensor(0), try call.tensor(1))
        let shape = shape(x)
        guard let kernel = try call.ints("kernel_shape") else { throw call.invalid("lacks its kernel_shape") }
        let (strides, pads) = (try call.ints("strides") ?? kernel.map { _ in 1 }, try call.ints("pads") ?? kernel.flatMap { _ in [0, 0] })
        let rank = kernel.count
        try call.require(
            shape.count == rank + 2 && strides.count == rank && pads.count == 2 * rank && self.shape(places) == shape,
            "kernel \(kernel), strides \(strides), pads \(pads) and indices do not suit \(shape)")
        try call.require((kernel + strides + pads).allSatisfy { (0...1 << 30).contains($0) }, "kernel, strides and pads must not be negative")
        var sizes = Array(shape[..<2])
        for axis in 0..<rank {
            let (span, overflow) = (shape[axis + 2] - 1).multipliedReportingOverflow(by: strides[axis])
            try call.require(!overflow, "the output is too large")
            sizes.append(span - pads[axis] - pads[rank + axis] + kernel[axis])
        }
        // The places are flat ones in a tensor of these sizes; a larger output has more elements behind each axis.
        let wanted = try call.optional(2).map { try integers($0) } ?? sizes
        try call.require(
            wanted.count == sizes.count && sizes.allSatisfy { $0 >= 0 } && zip(wanted, sizes).allSatisfy { $0 >= $1 }, "the output \(wanted) is smaller than \(sizes)")
        guard let count = Shape(sizes).checkedElementCount else { throw call.invalid("the output is too large") }
        let zeros = try expand(scalar(0, element(x)), [count], "zeros")
        let flat = try apply(
            .scatterElements(axis: 0, .replace), [zeros, reshape(places, [self.count(places)]), reshape(x, [self.count(x)])], "scatter")
        return try pad(reshape(flat, sizes), low: sizes.map { _ in 0 }, high: zip(wanted, sizes).map { $0 - $1 })
    }

    /// The sum of all blocks, each at its place in the image.
    private mutating func columnsToImage(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let (image, block) = (try integers(call.tensor(1)), try integers(call.tensor(2)))
        let rank = image.count
        let ones = [Int](repeating: 1, count: rank)
        let (dilations, strides) = (try call.ints("dilations") ?? ones, try call.ints("strides") ?? ones)
        let pads = try call.ints("pads") ?? ones.flatMap { _ in [0, 0] }
        try call.require(
            rank >= 1 && block.count == rank && dilations.count == rank && strides.count == rank && pads.count == 2 * rank && self.rank(x) == 3,
            "image \(image), block \(block), strides, dilations and pads do not suit each other")
        try call.require(
            (image + block + dilations + strides).allSatisfy { (1...1 << 30).contains($0) } && pads.allSatisfy { (0...1 << 30).contains($0) },
            "sizes, strides and dilations must be positive")

        // Along each axis: the padded size, and for each place in the block and each step of the block the place in the image.
        let padded = (0..<rank).map { image[$0] + pads[$0] + pads[rank + $0] }
        let spans = (0..<rank).map { (block[$0] - 1) * dilations[$0] + 1 }
        try call.require(zip(spans, padded).allSatisfy { $0 <= $1 }, "the block \(block) is larger than the image \(padded)")
        let steps = (0..<rank).map { (padded[$0] - spans[$0]) / strides[$0] + 1 }
        let shape = shape(x)
        guard let blockCount = Shape(block).checkedElementCount, let stepCount = Shape(steps).checkedElementCount,
            let imageCount = Shape(padded).checkedElementCount, shape[2] == stepCount, shape[1] % blockCount == 0, max(blockCount, stepCount) <= 1 << 26,
            blockCount * stepCount <= 1 << 26
        else { throw call.invalid("\(shape) does not hold the blocks \(block) of \(padded) at \(steps) places") }
        var (offsets, starts) = ([0], [0])
        for axis in 0..<rank {
            offsets = offsets.flatMap { offset in (0..<block[axis]).map { offset * padded[axis] + $0 * dilations[axis] } }
            starts = starts.flatMap { start in (0..<steps[axis]).map { start * padded[axis] + $0 * strides[axis] } }
        }
        let places = offsets.flatMap { offset in starts.map { offset + $0 } }

        let (batch, channels) = (shape[0], shape[1] / blockCount)
        let zeros = try expand(scalar(0, element(x)), [batch, channels, imageCount], "zeros")
        let indices = try expand(constant(places, shape: [1, 1, places.count]), [batch, channels, places.count], "places")
        let sums = try apply(.scatterElements(axis: 2, .add), [zeros, indices, reshape(x, [batch, channels, places.count])], "add")
        let whole = try reshape(sums, [batch, channels] + padded)
        let slice = Slice(
            starts: [0, 0] + pads[..<rank], sizes: [batch, channels] + image, steps: [Int](repeating: 1, count: rank + 2))
        return try self.slice(whole, slice)
    }
}
