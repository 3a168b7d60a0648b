// Resizing of images, channels last: each pixel of the result is a weighted sum of pixels, the weights a product of one a row and one a column.

/// What places along one axis of the result are sums of, in flat tables.
struct ResizeTaps {
    /// `starts[i]..<starts[i + 1]` are the taps of place i.
    let starts: UnsafePointer<Int32>
    let taps: UnsafePointer<Tap>

    struct Tap {
        var index: Int32
        var weight: Float
    }

    @inline(__always)
    subscript(place: Int) -> UnsafeBufferPointer<Tap> {
        UnsafeBufferPointer(start: taps + Int(starts[place]), count: Int(starts[place + 1] - starts[place]))
    }
}

/// `[n, h, w, c] → [n, outHeight, outWidth, c]`, one row of the result a task.
struct ResizeStep {
    let x: UnsafePointer<Float>
    let out: UnsafeMutablePointer<Float>
    let images, height, width, channels, outHeight, outWidth: Int
    let rows, columns: ResizeTaps

    var taskCount: Int { images * outHeight }

    func execute(_ task: Int) {
        let (image, row) = task.quotientAndRemainder(dividingBy: outHeight)
        let (from, to) = (x + image * height * width * channels, out + task * outWidth * channels)
        let rowTaps = rows[row]
        for column in 0..<outWidth {
            let target = to + column * channels
            let columnTaps = columns[column]
            var isFirst = true
            for rowTap in rowTaps {
                for columnTap in columnTaps {
                    let pixel = from + (Int(rowTap.index) * width + Int(columnTap.index)) * channels
                    let weight = rowTap.weight * columnTap.weight
                    if isFirst, weight == 1 {
                        target.update(from: pixel, count: channels)
                    } else if isFirst {
                        for channel in 0..<channels { target[channel] = pixel[channel] * weight }
                    } else {
                        for channel in 0..<channels { target[channel] += pixel[channel] * weight }
                    }
                    isFirst = false
                }
            }
        }
    }
}
