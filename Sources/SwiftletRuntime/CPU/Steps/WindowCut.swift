// How the work of an operation on images, pixels × panels of output channels, is cut into tasks.
//
// Threads take the tasks of their own share first, in order, then what others left (ThreadPool). A cut is good when the shares are alike, when the last
// tasks are small enough that nobody waits long, and when weights are read from afar once a thread and not once a task. Which of the few possible cuts
// that is depends on the sizes: images of many pixels are cut into pixels, those of few pixels and many channels into channels. So all are tried, with an
// estimate of what the slowest thread takes. Results do not depend on the cut.
import CKernels

/// Pixels × panels cut into tasks of whole register tiles, as equal as tiles allow.
package struct WindowCut {
    package let pixels, panels: Int
    private let pixelTile, panelTile: Int
    private let pixelTiles, panelTiles: Int
    package let pixelTasks, panelTasks: Int

    /// - channels: of the output.
    /// - multiplyAccumulates: of all pixels and channels together.
    /// - weightBytes, inputBytes: what a task of all pixels and panels reads, where each task of some panels reads the whole of its pixels.
    /// - repeatedWork: what every part of the panels does over again for all pixels, in multiply-accumulates.
    package init(
        pixels: Int, channels: Int, pixelTile: Int, panelTile: Int, multiplyAccumulates: Int, threads: Int, weightBytes: Int = 0, inputBytes: Int = 0,
        repeatedWork: Int = 0
    ) {
        self.pixels = pixels
        panels = (channels + Int(CK_CONV_PANEL) - 1) / Int(CK_CONV_PANEL)
        (self.pixelTile, self.panelTile) = (pixelTile, panelTile)
        pixelTiles = max(1, (pixels + pixelTile - 1) / pixelTile)
        panelTiles = max(1, (panels + panelTile - 1) / panelTile)
        let estimate = Estimate(
            pixels: pixels, panels: panels, pixelTile: pixelTile, panelTile: panelTile, pixelTiles: pixelTiles, panelTiles: panelTiles,
            nanoseconds: Double(multiplyAccumulates) / Estimate.productsPerNanosecond, weightBytes: Double(weightBytes), inputBytes: Double(inputBytes),
            repeated: Double(repeatedWork) / Estimate.productsPerNanosecond)
        (pixelTasks, panelTasks) = estimate.best(threads: threads)
    }

    package var count: Int { pixels == 0 ? 0 : pixelTasks * panelTasks }

    /// Tasks of the same panels follow each other.
    package func ranges(of task: Int) -> (pixels: Range<Int>, panels: Range<Int>) {
        let (panelTask, pixelTask) = task.quotientAndRemainder(dividingBy: pixelTasks)
        let (firstPixel, endPixel) = (pixelTask * pixelTiles / pixelTasks * pixelTile, (pixelTask + 1) * pixelTiles / pixelTasks * pixelTile)
        let (firstPanel, endPanel) = (panelTask * panelTiles / panelTasks * panelTile, (panelTask + 1) * panelTiles / panelTasks * panelTile)
        return (firstPixel..<min(pixels, endPixel), firstPanel..<min(panels, endPanel))
    }
}

/// What cuts cost on one core of a server of today (Zen 4, AVX-512), roughly: orders of magnitude are enough to choose one.
private struct Estimate {
    let pixels, panels, pixelTile, panelTile, pixelTiles, panelTiles: Int
    /// Of all products, on one thread.
    let nanoseconds: Double
    let weightBytes, inputBytes, repeated: Double

    /// Multiply-accumulates of dense convolutions.
    static let productsPerNanosecond = 50.0
    /// From the third-level cache, half of it behind the products.
    static let bytesPerNanosecond = 40.0
    /// Nanoseconds to take a task and call a kernel.
    static let handOut = 100.0
    /// A task of fewer nanoseconds is not worth handing out.
    static let leastTask = 2000.0
    /// Weights that stay in the second-level cache while pixels pass, and pixels that stay there while weights pass.
    static let nearWeights = 384.0 * 1024, nearPixels = 256.0 * 1024
    /// How much of a task a thread waits for another's last one.
    static let waiting = 0.25
    /// More parts of the panels are taken for what makes this of the time, or less.
    static let gainOfPanels = 0.97
    /// The most tasks a thread, and in all: trying cuts is part of loading a model.
    static let mostTasks = 32, mostInAll = 128

    /// The numbers of parts of the pixels and of the panels.
    func best(threads: Int) -> (pixelTasks: Int, panelTasks: Int) {
        let total = nanoseconds + repeated + weightBytes / Self.bytesPerNanosecond
        let most = max(1, min(threads * max(4, min(Self.mostTasks, Self.mostInAll / threads)), Int(min(total / Self.leastTask, 1e6))))
        var best = (pixelTasks: 1, panelTasks: 1), least = Double.infinity
        for panelTasks in 1...min(panelTiles, most) {
            // Tasks of neighbouring panels write into the same lines of the output, and read the same pixels: that has to pay.
            let limit = least * Self.gainOfPanels
            var shortest = limit
            for pixelTasks in 1...max(1, min(pixelTiles, most / panelTasks)) {
                let count = pixelTasks * panelTasks
                // A number of tasks that threads cannot share alike is never the best.
                guard count == 1 || count % threads == 0 || count < threads else { continue }
                let time = slowest(pixelTasks, panelTasks, threads: threads)
                if time < shortest { (best, shortest) = ((pixelTasks, panelTasks), time) }
            }
            if shortest < limit { least = shortest }
        }
        return best
    }

    /// The time of the thread with the most to do, and what it may wait for others.
    private func slowest(_ pixelTasks: Int, _ panelTasks: Int, threads: Int) -> Double {
        let count = pixelTasks * panelTasks
        var slowest = 0.0, longest = 0.0
        for thread in 0..<min(threads, count) {
            var time = 0.0, panelsBefore = -1
            for task in thread * count / min(threads, count)..<(thread + 1) * count / min(threads, count) {
                let (panelTask, pixelTask) = task.quotientAndRemainder(dividingBy: pixelTasks)
                let pixelShare = share(pixelTask, of: pixelTasks, tiles: pixelTiles, tile: pixelTile, whole: pixels)
                let panelShare = share(panelTask, of: panelTasks, tiles: panelTiles, tile: panelTile, whole: panels)
                let weights = weightBytes * panelShare, input = inputBytes * pixelShare
                var bytes = input * (input <= Self.nearPixels ? 1 : max(1, (weights / Self.nearWeights).rounded(.up)))
                if panelTask != panelsBefore || weights > Self.nearWeights { bytes += weights }
                if pixelTasks == 1, input <= Self.nearPixels, panelsBefore >= 0 { bytes -= input }
                panelsBefore = panelTask
                let own = nanoseconds * pixelShare * panelShare + repeated * pixelShare + bytes / Self.bytesPerNanosecond + Self.handOut
                time += own
                longest = max(longest, own)
            }
            slowest = max(slowest, time)
        }
        return threads == 1 ? slowest : slowest + Self.waiting * longest
    }

    /// The part of the whole that is in a task. What is left of a tile costs a little more than its size.
    private func share(_ task: Int, of tasks: Int, tiles: Int, tile: Int, whole: Int) -> Double {
        let first = task * tiles / tasks * tile, end = (task + 1) * tiles / tasks * tile
        return Double(end <= whole ? end - first : min(end, whole + 1) - first) / Double(max(1, whole))
    }
}
