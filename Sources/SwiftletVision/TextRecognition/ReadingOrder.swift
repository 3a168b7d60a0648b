// Boxes from top to bottom, and those at about the same height from left to right.

extension [Quadrilateral] {
    /// Sorted by the upper left corner. Neighbours in the order whose heights differ by less than `tolerance` pixels change places when the
    /// second lies further left, as often as that helps: PP-OCR's rule.
    package func inReadingOrder(tolerance: Double = 10) -> [Quadrilateral] {
        var boxes = enumerated().sorted {
            ($0.element.topLeft.y, $0.element.topLeft.x, $0.offset) < ($1.element.topLeft.y, $1.element.topLeft.x, $1.offset)
        }.map(\.element)
        for end in boxes.indices.dropFirst() {
            var index = end
            while index > 0, abs(boxes[index].topLeft.y - boxes[index - 1].topLeft.y) < tolerance,
                boxes[index].topLeft.x < boxes[index - 1].topLeft.x
            {
                boxes.swapAt(index, index - 1)
                index -= 1
            }
        }
        return boxes
    }
}
