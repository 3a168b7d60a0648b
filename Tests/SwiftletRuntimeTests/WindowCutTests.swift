// How work on images is cut: every pixel of every panel exactly once, whole tiles, and threads with alike shares for the sizes of real networks.
import SwiftletRuntime
import Testing

@Suite("Cuts of windows into tasks")
struct WindowCutTests {
    /// Elements of `channels` panels of 16 by `pixels` that each thread's own share of the tasks has.
    private func shares(_ cut: WindowCut, threads: Int) -> [Int] {
        (0..<threads).map { thread in
            (thread * cut.count / threads..<(thread + 1) * cut.count / threads).reduce(0) { sum, task in
                let (pixels, panels) = cut.ranges(of: task)
                return sum + pixels.count * panels.count
            }
        }
    }

    @Test("Tasks cover every pixel of every panel once, and begin at tiles", arguments: [1, 2, 3, 8, 64])
    func covers(threads: Int) {
        for (pixelTile, panelTile) in [(14, 2), (1, 1), (6, 2), (8, 1), (1, 4), (1, 1 << 20)] {
            for pixels in [0, 1, 2, 13, 14, 15, 49, 196, 961] {
                for channels in [1, 16, 17, 33, 480, 1152] {
                    for work in [1, 240, 4000] {
                        let cut = WindowCut(
                            pixels: pixels, channels: channels, pixelTile: pixelTile, panelTile: panelTile, multiplyAccumulates: pixels * channels * work,
                            threads: threads, weightBytes: 4 * channels * work, inputBytes: 4 * pixels * work, repeatedWork: pixels * work)
                        var seen = [UInt8](repeating: 0, count: cut.pixels * cut.panels)
                        for task in 0..<cut.count {
                            let (range, panels) = cut.ranges(of: task)
                            #expect(!range.isEmpty && !panels.isEmpty && range.lowerBound % pixelTile == 0 && panels.lowerBound % panelTile == 0)
                            for pixel in range { for panel in panels { seen[pixel * cut.panels + panel] += 1 } }
                        }
                        #expect(seen.allSatisfy { $0 == 1 }, "\(pixels) pixels, \(channels) channels, work \(work)")
                    }
                }
            }
        }
    }

    /// Dense layers of text recognition (48 × 320) and of EfficientNet-Lite0 (224 × 224): pixels, inputs, outputs.
    @Test("Two threads get shares that differ by 3 % at most", arguments: [(960, 240, 240), (480, 480, 480), (49, 192, 1152), (49, 1152, 192), (196, 112, 672), (784, 40, 240)])
    func isFair(pixels: Int, inputs: Int, outputs: Int) {
        let cut = WindowCut(
            pixels: pixels, channels: outputs, pixelTile: 14, panelTile: 2, multiplyAccumulates: pixels * inputs * outputs, threads: 2,
            weightBytes: 4 * inputs * outputs, inputBytes: 4 * pixels * inputs)
        let shares = shares(cut, threads: 2)
        #expect(Double(shares.max() ?? 0) <= 1.03 * Double(shares.reduce(0, +)) / 2, "\(shares), \(cut.pixelTasks) × \(cut.panelTasks)")
    }

    @Test("What is not worth sharing stays one task")
    func staysWhole() {
        let cut = WindowCut(pixels: 40, channels: 32, pixelTile: 14, panelTile: 2, multiplyAccumulates: 40 * 32 * 16, threads: 2)
        #expect(cut.count == 1)
    }
}
