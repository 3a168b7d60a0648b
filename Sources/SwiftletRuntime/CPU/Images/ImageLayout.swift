// The layout of images inside the CPU backend: channels last.
//
// Graphs have [n, c, h, w]. The kernels of convolutions want the channels of a pixel next to each other, so between convolutions values lie as
// [n, h, w, c], and only where something else reads them, or at the border of the partition, are they turned round. A value may lie in both
// ways; one with a single channel or a single pixel lies in both ways at once.
import SwiftletGraph

/// The sizes of a value that can be an image: `[n, c, h, w]`, or `[n, c, l]` as an image of one row.
struct ImageSize: Equatable {
    let count, channels, height, width: Int
    let elementBytes: Int

    private init(count: Int, channels: Int, height: Int, width: Int, elementBytes: Int) {
        (self.count, self.channels, self.height, self.width, self.elementBytes) = (count, channels, height, width, elementBytes)
    }

    /// Nil for values of other ranks or types, or with sizes that are no numbers.
    init?(_ type: ValueType) {
        guard [.f32, .bf16, .u8].contains(type.element), let sizes = type.shape.fixedSizes, sizes.count == 3 || sizes.count == 4, sizes.allSatisfy({ $0 > 0 }) else { return nil }
        elementBytes = type.element.byteCount
        (count, channels) = (sizes[0], sizes[1])
        (height, width) = sizes.count == 4 ? (sizes[2], sizes[3]) : (1, sizes[2])
    }

    /// Images of the same size with other channels.
    func with(channels: Int) -> ImageSize { ImageSize(count: count, channels: channels, height: height, width: width, elementBytes: elementBytes) }

    var pixels: Int { height * width }
    /// Elements of one image.
    var elements: Int { channels * pixels }
    /// Whether channels first and channels last are the same order.
    var isPlain: Bool { channels == 1 || pixels == 1 }
}

extension CPULowering {
    func imageSize(_ value: ValueID) -> ImageSize? { ImageSize(graph[value].type) }

    /// Whether the newest form of a value is channels last.
    func liesAsImage(_ value: ValueID) -> Bool { imageSlots[value] != nil }

    /// Sees to it that a value lies channels last. Before any slot of a step is asked for: the change is a step of its own.
    mutating func prepareImage(_ value: ValueID) {
        if imageSlots[value] != nil { return }
        preparePlain(value)
        guard let size = imageSize(value), !size.isPlain else { return }
        let plain = slot(reading: value)
        let type = graph[value].type
        let image = add(Slot(home: .planned, byteCount: { try type.byteCount(under: $0) + Self.slack(type) }))
        touch(image)
        imageSlots[value] = image
        emitCopy(from: plain, to: image, elementBytes: size.elementBytes, [
            (size.count, size.elements, size.elements), (size.pixels, 1, size.channels), (size.channels, size.pixels, 1),
        ])
    }

    /// Sees to it that the value that owns a value's bytes lies as the graph has it.
    mutating func preparePlain(_ value: ValueID) {
        let value = root(value)
        guard slotOfValue[value] == nil, let image = imageSlots[value], let size = imageSize(value) else { return }
        touch(image)
        let plain = slot(writing: value)
        emitCopy(from: image, to: plain, elementBytes: size.elementBytes, [
            (size.count, size.elements, size.elements), (size.channels, 1, size.pixels), (size.pixels, size.channels, 1),
        ])
    }

    /// Bytes behind an image that kernels may read, whatever lies there.
    static func slack(_ type: ValueType) -> Int { type.element == .u8 ? 64 : 0 }

    /// The slot of a value that has been prepared as an image.
    mutating func slot(readingImage value: ValueID) -> SlotID {
        guard let slot = imageSlots[value] else { return slot(reading: value) }
        touch(slot)
        return slot
    }

    /// The slot of an image the next step writes.
    mutating func slot(writingImage value: ValueID, inPlace: ValueID? = nil) -> SlotID {
        guard let size = imageSize(value), !size.isPlain else { return slot(writing: value) }
        let type = graph[value].type
        var new = Slot(home: .planned, byteCount: { try type.byteCount(under: $0) + Self.slack(type) })
        if let inPlace, readersLeft[root(inPlace), default: 0] <= 1, let operand = imageSlots[inPlace] { new.reuses = operand }
        let slot = add(new)
        imageSlots[value] = slot
        touch(slot)
        return slot
    }

    /// The slots of the operand and the result of a function of single elements, which keeps their order, whichever that is.
    mutating func slotsInAnyOrder(_ node: Node) -> (from: SlotID, to: SlotID) {
        let asImage = liesAsImage(node.inputs[0])
        let from = asImage ? slot(readingImage: node.inputs[0]) : slot(reading: node.inputs[0])
        return (from, asImage ? slot(writingImage: node.outputs[0]) : slot(writing: node.outputs[0]))
    }

    /// Adds a copy of elements of `elementBytes`: sizes and strides in elements, outermost first.
    mutating func emitCopy(from x: SlotID, to out: SlotID, offset: Int = 0, outOffset: Int = 0, elementBytes: Int = 4, _ axes: [(size: Int, stride: Int, outStride: Int)]) {
        // Nothing to copy is still a step: the slots that were asked for belong to it.
        let isEmpty = axes.contains { $0.size == 0 }
        let merged = StridedAxis.merged(axes.map { StridedAxis(size: $0.size, strides: [$0.stride * elementBytes, $0.outStride * elementBytes]) })
        var simple = merged.map { CopyStep.Axis(size: $0.size, stride: $0.strides[0], outStride: $0.strides[1]) }
        // A short outermost axis leaves threads without work: the next one is cut in two, or it is.
        if simple.isEmpty { simple = [.init(size: 1, stride: 0, outStride: 0)] }
        if simple.count == 1, simple[0].size > 1 {
            let (size, stride, outStride) = (simple[0].size, simple[0].stride, simple[0].outStride)
            if let part = [4096, 2048, 1024, 512].first(where: { size % $0 == 0 && size > $0 }) {
                simple = [.init(size: size / part, stride: part * stride, outStride: part * outStride), .init(size: part, stride: stride, outStride: outStride)]
            } else {
                simple.insert(.init(size: 1, stride: 0, outStride: 0), at: 0)
            }
        } else if simple.count > 2, simple[0].size < 4, simple[1].size % 8 == 0 {
            let next = simple[1]
            // Outermost: parts of the second axis; the first axis inside.
            simple.replaceSubrange(0..<2, with: [
                .init(size: 8, stride: next.size / 8 * next.stride, outStride: next.size / 8 * next.outStride), simple[0],
                .init(size: next.size / 8, stride: next.stride, outStride: next.outStride),
            ])
        } else if simple.count == 2, simple[0].size >= 64 {
            // A matrix that is turned: strips of rows, so that a task is squares and not single rows.
            let rows = simple[0]
            if let strip = [64, 49, 32, 28, 16, 8].first(where: { rows.size % $0 == 0 }) {
                simple.replaceSubrange(0..<1, with: [
                    .init(size: rows.size / strip, stride: strip * rows.stride, outStride: strip * rows.outStride),
                    .init(size: strip, stride: rows.stride, outStride: rows.outStride),
                ])
            }
        }
        let elements = simple.reduce(1) { $0 * $1.size }
        let perTask = max(1, simple[0].size * 8192 / max(1, elements))
        let table = simple
        emit { binder in
            .copy(
                try binder.keep(CopyStep(
                    x: UnsafeRawPointer(binder.raw(x)) + offset * elementBytes, out: binder.raw(out) + outOffset * elementBytes, axes: try binder.store(table),
                    axisCount: table.count, elementBytes: elementBytes, perTask: perTask, taskCount: isEmpty ? 0 : (table[0].size + perTask - 1) / perTask)))
        }
    }
}
