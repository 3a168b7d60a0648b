// Connected regions of a map of text probabilities: what is above the threshold, grown by a pixel, and the holes in it.
//
// Text counts as connected over corners too, holes over sides only. Regions are found as runs of equal pixels joined from row to row
// (union-find); of each only the ends of its runs are kept, for nothing else can be a corner of its convex hull. A hole stands for the
// pixels of text around it: the borders inside regions are looked at like those outside, as OpenCV's findContours (RETR_LIST) lists them.

package struct TextRegions {
    /// Of each region and each hole, in the order they begin from the top: pixels that have the same convex hull as the whole border.
    package private(set) var borders: [[GridPoint]] = []

    /// - Parameters:
    ///   - map: `width × height` values.
    ///   - threshold: pixels above it are text, and so are the pixels to the right of, below and diagonally below those.
    package init(_ map: UnsafeBufferPointer<Float>, width: Int, height: Int, threshold: Float) {
        var search = Search(width: width, height: height)
        var above = [Bool](repeating: false, count: width)
        var row = above, grown = above
        for y in 0..<height {
            for x in 0..<width { row[x] = map[y * width + x] > threshold }
            for x in 0..<width { grown[x] = row[x] || above[x] || (x > 0 && (row[x - 1] || above[x - 1])) }
            search.take(grown, y)
            swap(&above, &row)
        }
        borders = search.borders()
    }

    /// Neighbouring pixels of one row and kind.
    private struct Run {
        let first, last: Int
        let isText: Bool
        let label: Int
    }

    private struct Search {
        let width, height: Int
        /// The runs of the last row.
        private var runs: [Run] = []
        /// The label each label was joined to; itself when it is the root. Label 0 is what lies around everything.
        private var parents = [0]
        /// Ends of runs, or pixels around holes, and their labels.
        private var points: [(point: GridPoint, label: Int)] = []
        /// Rows of holes, until the row below tells what is under them.
        private var previousRow: [Bool] = []

        init(width: Int, height: Int) {
            self.width = width
            self.height = height
        }

        mutating func take(_ row: [Bool], _ y: Int) {
            var current: [Run] = []
            var first = 0
            var candidate = 0
            while first < width {
                let isText = row[first]
                var last = first
                while last + 1 < width, row[last + 1] == isText { last += 1 }
                // What touches the edge of the picture is no hole.
                let touchesEdge = first == 0 || last == width - 1 || y == 0 || y == height - 1
                var label = !isText && touchesEdge ? 0 : nil as Int?
                let reach = isText ? 1 : 0
                while candidate > 0, runs[candidate - 1].last + 1 >= first { candidate -= 1 }
                while candidate < runs.count, runs[candidate].last + reach < first { candidate += 1 }
                var index = candidate
                while index < runs.count, runs[index].first <= last + reach {
                    if runs[index].isText == isText, runs[index].last + reach >= first {
                        label = label.map { join($0, runs[index].label) } ?? root(runs[index].label)
                    }
                    index += 1
                }
                let found = label ?? parents.count
                if label == nil { parents.append(found) }
                current.append(Run(first: first, last: last, isText: isText, label: found))
                if isText {
                    points.append((GridPoint(x: first, y: y), found))
                    if last > first { points.append((GridPoint(x: last, y: y), found)) }
                } else if !touchesEdge {
                    points.append((GridPoint(x: first - 1, y: y), found))
                    points.append((GridPoint(x: last + 1, y: y), found))
                    for x in [first, last] where previousRow[x] { points.append((GridPoint(x: x, y: y - 1), found)) }
                }
                first = last + 1
            }
            // The pixels of text under the holes of the row above.
            for run in runs where !run.isText && run.label != 0 {
                for x in [run.first, run.last] where row[x] { points.append((GridPoint(x: x, y: y), run.label)) }
            }
            runs = current
            previousRow = row
        }

        private mutating func root(_ label: Int) -> Int {
            var root = label
            while parents[root] != root {
                parents[root] = parents[parents[root]]
                root = parents[root]
            }
            return root
        }

        /// The smaller root stands for both, so that 0 stays the outside.
        private mutating func join(_ left: Int, _ right: Int) -> Int {
            let (left, right) = (root(left), root(right))
            parents[max(left, right)] = min(left, right)
            return min(left, right)
        }

        mutating func borders() -> [[GridPoint]] {
            var places = [Int?](repeating: nil, count: parents.count)
            var borders: [[GridPoint]] = []
            for (point, label) in points {
                let root = root(label)
                guard root != 0 else { continue }
                if let place = places[root] {
                    borders[place].append(point)
                } else {
                    places[root] = borders.count
                    borders.append([point])
                }
            }
            return borders
        }
    }
}
