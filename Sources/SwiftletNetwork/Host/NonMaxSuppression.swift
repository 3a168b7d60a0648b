// Boxes that do not overlap better ones of their class. Source: the operator's specification in ONNX.
import SwiftletGraph

/// Greedy suppression: in the order of their scores, boxes are kept unless they overlap a kept one by more than a threshold.
struct NonMaxSuppression {
    private struct Box {
        let top, left, bottom, right, area: Float

        init(_ numbers: ArraySlice<Float>, isCentred: Bool) {
            let n = Array(numbers)
            if isCentred {
                // Centre x, centre y, width, height.
                (left, right) = (n[0] - n[2] / 2, n[0] + n[2] / 2)
                (top, bottom) = (n[1] - n[3] / 2, n[1] + n[3] / 2)
            } else {
                // Any two opposite corners, y before x.
                (top, bottom) = (min(n[0], n[2]), max(n[0], n[2]))
                (left, right) = (min(n[1], n[3]), max(n[1], n[3]))
            }
            area = (bottom - top) * (right - left)
        }

        /// Intersection over union; nothing for boxes without area.
        func overlap(_ other: Box) -> Float {
            let height = min(bottom, other.bottom) - max(top, other.top)
            let width = min(right, other.right) - max(left, other.left)
            guard height > 0, width > 0, area > 0, other.area > 0 else { return 0 }
            return height * width / (area + other.area - height * width)
        }
    }

    /// `[batches, boxes, 4]` and `[batches, classes, boxes]`.
    private let boxes: [Box]
    private let scores: [Float]
    private let batches, classes, boxCount: Int
    private let most: Int
    private let overlapThreshold: Float
    private let scoreThreshold: Float?

    init(_ operands: HostOperands, isCentred: Bool) throws {
        let (boxes, scores) = (try operands.tensor(0), try operands.tensor(1))
        (batches, classes, boxCount) = scores.shape.rank == 3 ? (scores.shape[0], scores.shape[1], scores.shape[2]) : (0, 0, 0)
        try operands.require(
            scores.shape.rank == 3 && boxes.shape == [batches, boxCount, 4] && boxes.type == .f32 && scores.type == .f32,
            "\(boxes) and \(scores) are no boxes [batches, boxes, 4] with scores [batches, classes, boxes]")
        func first<Value>(_ index: Int, _ read: (Tensor) throws -> [Value]) throws -> Value? {
            guard let tensor = try operands.optional(index) else { return nil }
            try operands.require(tensor.elementCount == 1, "the input \(index) is \(tensor), not one number")
            return try read(tensor).first
        }
        most = try first(2) { try $0.wholeNumbers() } ?? 0
        overlapThreshold = try first(3) { try $0.floats() } ?? 0
        scoreThreshold = try first(4) { try $0.floats() }
        let numbers = try boxes.floats()
        self.boxes = stride(from: 0, to: numbers.count, by: 4).map { Box(numbers[$0..<$0 + 4], isCentred: isCentred) }
        self.scores = try scores.floats()
    }

    /// `[kept, 3]`, i64: batch, class and box of each kept box, class after class, by falling score.
    func selected() throws -> Tensor {
        var result: [Int64] = []
        for batch in 0..<batches where most > 0 && boxCount > 0 {
            for label in 0..<classes {
                let own = scores[((batch * classes + label) * boxCount)...].prefix(boxCount).enumerated()
                // Of equal scores the box that comes first; a score that is no number is never good enough.
                let order = own.filter { scored in scoreThreshold.map { scored.element > $0 } ?? !scored.element.isNaN }
                    .sorted { ($1.element, $0.offset) < ($0.element, $1.offset) }
                var kept: [Int] = []
                for (place, _) in order where kept.count < most {
                    let box = boxes[batch * boxCount + place]
                    if kept.contains(where: { boxes[batch * boxCount + $0].overlap(box) > overlapThreshold }) { continue }
                    kept.append(place)
                }
                for place in kept { result += [Int64(batch), Int64(label), Int64(place)] }
            }
        }
        return try Tensor(result, shape: [result.count / 3, 3])
    }
}
