// Which elements a window meets, as runs of elements: convolutions walk tap by tap, pools window by window. Space may have any number of axes.
//
// A window's place s along an axis and its tap k meet element `s·stride + k·dilation − low`; what lies outside is padding and left out.

/// For one tap of a kernel: all places of the window at which the tap meets an element, in runs.
struct TapRows {
    /// Places in a run, and how far apart they and their elements are.
    let count: Int
    let placeStep: Int
    let elementStep: Int
    /// Where runs begin, among the places and among the elements.
    let starts: [(place: Int, element: Int)]

    /// The rows of every tap of the kernel, row-major. `places` and `elements`: the shapes of the two sides.
    static func all(_ window: Window, places: [Int], elements: [Int]) -> [TapRows] {
        let taps = window.kernel.reduce(1, *)
        return (0..<taps).map { tap in
            var rest = tap
            var position = window.kernel
            for axis in window.kernel.indices.reversed() {
                position[axis] = rest % window.kernel[axis]
                rest /= window.kernel[axis]
            }
            return TapRows(window, tap: position, places: places, elements: elements)
        }
    }

    private init(_ window: Window, tap: [Int], places: [Int], elements: [Int]) {
        let (placeStrides, elementStrides) = (Strides.dense(places), Strides.dense(elements))
        var lengths: [Int] = []
        var (place, element) = (0, 0)
        for axis in places.indices {
            let shift = tap[axis] * window.dilations[axis] - window.low[axis]
            let stride = window.strides[axis]
            let first = shift >= 0 ? 0 : (-shift + stride - 1) / stride
            let limit = elements[axis] - shift  // s·stride stays below it
            let end = limit <= 0 ? 0 : min(places[axis], (limit + stride - 1) / stride)
            lengths.append(max(0, end - first))
            place += first * placeStrides[axis]
            element += (first * stride + shift) * elementStrides[axis]
        }
        let walk = StridedWalk(lengths, [placeStrides, zip(elementStrides, window.strides).map { $0 * $1 }])
        var starts: [(place: Int, element: Int)] = []
        walk.forEachRow { starts.append((place + $0[0], element + $0[1])) }
        count = walk.count
        placeStep = walk.steps[0]
        elementStep = walk.steps[1]
        self.starts = starts
    }
}

/// The elements each place of a window covers, in runs, for one plane.
struct WindowRows {
    struct Covered {
        /// The runs among `starts`, elements in a run and how far apart they are.
        let rows: Range<Int>
        let count: Int
        let step: Int
        /// Taps that meet elements or padding, but not what lies behind the padding.
        let paddedCount: Int
    }

    private(set) var starts: [Int] = []
    /// By place, row-major.
    private(set) var places: [Covered] = []

    init(_ window: Window, places shape: [Int], elements: [Int]) {
        let strides = Strides.dense(elements)
        let steps = zip(strides, window.dilations).map { $0 * $1 }
        places.reserveCapacity(shape.reduce(1, *))
        for place in 0..<shape.reduce(1, *) {
            var (rest, start, padded) = (place, 0, 1)
            var lengths = shape
            for axis in shape.indices.reversed() {
                let origin = rest % shape[axis] * window.strides[axis] - window.low[axis]
                rest /= shape[axis]
                let (dilation, kernel) = (window.dilations[axis], window.kernel[axis])
                let first = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation
                /// Taps whose element comes before `end`.
                func taps(before end: Int) -> Int { end <= origin ? 0 : min(kernel, (end - origin + dilation - 1) / dilation) }
                lengths[axis] = max(0, taps(before: elements[axis] + min(0, window.high[axis])) - first)
                padded *= taps(before: elements[axis] + window.high[axis])
                start += (origin + first * dilation) * strides[axis]
            }
            let walk = StridedWalk(lengths, [steps])
            let begin = starts.count
            walk.forEachRow { starts.append(start + $0[0]) }
            places.append(Covered(rows: begin..<starts.count, count: walk.count, step: walk.steps[0], paddedCount: padded))
        }
    }
}
