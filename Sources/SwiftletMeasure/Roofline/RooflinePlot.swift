// The geometry of a roofline (Williams, Waterman and Patterson, 2009): operations a byte across, operations a second upwards, both logarithmic.
// A kernel under the slope waits for memory, one under the ceiling for arithmetic. Pure numbers; RooflineSVG draws them.
import Foundation

/// Where things are in a roofline of `width` × `height` units.
package struct RooflinePlot: Sendable {
    /// One kernel on one shape.
    package struct Point: Sendable, Equatable {
        /// In the order of the list; also the label.
        package let number: Int
        package let figure: KernelFigure
        package let x: Double
        package let y: Double
    }

    /// A limit: memory's line rises with slope 1 to the corner with the highest ceiling, an arithmetic one runs level from its corner with memory's.
    package struct Roof: Sendable, Equatable {
        package enum Kind: String, Sendable {
            case memory, compute
        }
        package let kind: Kind
        package let label: String
        /// 1 or the number of threads measured.
        package let threads: Int
        /// 10⁹ bytes or operations per second.
        package let rate: Double
        package let start: (x: Double, y: Double)
        package let end: (x: Double, y: Double)

        package static func == (left: Roof, right: Roof) -> Bool {
            left.kind == right.kind && left.label == right.label && left.threads == right.threads && left.rate == right.rate
                && left.start == right.start && left.end == right.end
        }
    }

    package let width = 1240.0
    package let height = 700.0
    /// The plot inside the frame.
    package let left = 70.0, right = 1220.0, top = 60.0, bottom = 640.0
    /// Whole decades shown, as exponents of ten.
    package let xDecades: ClosedRange<Int>
    package let yDecades: ClosedRange<Int>
    package let points: [Point]
    package let roofs: [Roof]

    /// Figures without arithmetic have no place here and are left out.
    package init(figures: [KernelFigure], limits: MachineLimits) {
        let shown = figures.filter { ($0.intensity ?? 0) > 0 && ($0.gigaoperationsPerSecond ?? 0) > 0 }
        let threadCounts = limits.threads == 1 ? [1] : [1, limits.threads]
        func peak(_ rate: PeakRate, _ threads: Int) -> Double { threads == 1 ? rate.oneThread : rate.allThreads }
        let ceilings = threadCounts.flatMap { threads in limits.peaks.map { peak($0, threads) } }.filter { $0 > 0 }
        let intensities = shown.compactMap(\.intensity), speeds = shown.compactMap(\.gigaoperationsPerSecond)
        // Where the slope of as many threads meets each ceiling.
        let corners = threadCounts.flatMap { threads in
            limits.peaks.map { limits.bandwidth(threads: threads) > 0 ? peak($0, threads) / limits.bandwidth(threads: threads) : 0 }
        }
        let xs = Self.decades(intensities + corners), ys = Self.decades(speeds + ceilings)
        xDecades = xs
        yDecades = ys
        let scale = Scale(xDecades: xs, yDecades: ys, left: left, right: right, top: top, bottom: bottom)
        points = shown.enumerated().map { index, figure in
            Point(
                number: index + 1, figure: figure, x: scale.x(figure.intensity ?? 1), y: scale.y(figure.gigaoperationsPerSecond ?? 1))
        }
        var roofs: [Roof] = []
        for threads in threadCounts {
            let bandwidth = limits.bandwidth(threads: threads)
            let highest = limits.peaks.map { peak($0, threads) }.max() ?? pow(10, Double(ys.upperBound))
            if bandwidth > 0 {
                // From where it enters the plot to the highest ceiling.
                let first = max(pow(10, Double(xs.lowerBound)), pow(10, Double(ys.lowerBound)) / bandwidth)
                let last = min(pow(10, Double(xs.upperBound)), highest / bandwidth)
                roofs.append(
                    Roof(
                        kind: .memory, label: "memory", threads: threads, rate: bandwidth, start: (scale.x(first), scale.y(first * bandwidth)),
                        end: (scale.x(last), scale.y(last * bandwidth))))
            }
            for rate in limits.peaks where peak(rate, threads) > 0 {
                let corner = bandwidth > 0 ? max(peak(rate, threads) / bandwidth, pow(10, Double(xs.lowerBound))) : pow(10, Double(xs.lowerBound))
                roofs.append(
                    Roof(
                        kind: .compute, label: rate.name, threads: threads, rate: peak(rate, threads), start: (scale.x(corner), scale.y(peak(rate, threads))),
                        end: (right, scale.y(peak(rate, threads)))))
            }
        }
        self.roofs = roofs
    }

    /// Position across of an intensity in operations per byte.
    package func x(_ intensity: Double) -> Double { scale.x(intensity) }
    /// Position downwards of a speed in 10⁹ operations per second.
    package func y(_ speed: Double) -> Double { scale.y(speed) }

    private var scale: Scale { Scale(xDecades: xDecades, yDecades: yDecades, left: left, right: right, top: top, bottom: bottom) }

    private struct Scale {
        let xDecades: ClosedRange<Int>, yDecades: ClosedRange<Int>
        let left: Double, right: Double, top: Double, bottom: Double

        func x(_ value: Double) -> Double {
            left + (log10(value) - Double(xDecades.lowerBound)) / Double(xDecades.count - 1) * (right - left)
        }
        func y(_ value: Double) -> Double {
            bottom - (log10(value) - Double(yDecades.lowerBound)) / Double(yDecades.count - 1) * (bottom - top)
        }
    }

    /// The whole decades around all values; one from 1 to 10 around none.
    private static func decades(_ values: [Double]) -> ClosedRange<Int> {
        let exponents = values.filter { $0 > 0 && $0.isFinite }.map(log10)
        guard let least = exponents.min(), let most = exponents.max() else { return 0...1 }
        let first = Int(least.rounded(.down)), last = Int(most.rounded(.up))
        return first...max(last, first + 1)
    }
}

/// Finds a free place for each label: beside its point where there is room, else a little further off.
package struct LabelPlacer {
    private struct Box {
        let left: Double, top: Double, right: Double, bottom: Double

        func meets(_ other: Box) -> Bool { left < other.right && other.left < right && top < other.bottom && other.top < bottom }
    }
    private var taken: [Box] = []

    package init() {}

    /// Keeps labels off a marker at `x`, `y`.
    package mutating func occupy(x: Double, y: Double, radius: Double) {
        taken.append(Box(left: x - radius, top: y - radius, right: x + radius, bottom: y + radius))
    }

    /// The centre of a free box of `width` × `height` near `x`, `y`; the nearest tried, from 8 to 120 units away; nil where all are taken.
    package mutating func place(x: Double, y: Double, width: Double, height: Double) -> (x: Double, y: Double)? {
        for distance in stride(from: 8.0, through: 120, by: 4) {
            for step in 0..<16 {
                // Right first, then alternately above and below it.
                let angle = Double(step % 2 == 0 ? step / 2 : -(step + 1) / 2) * .pi / 8
                let centre = (x: x + distance * cos(angle) * 1.3, y: y + distance * sin(angle))
                let box = Box(left: centre.x - width / 2, top: centre.y - height / 2, right: centre.x + width / 2, bottom: centre.y + height / 2)
                if !taken.contains(where: box.meets) {
                    taken.append(box)
                    return centre
                }
            }
        }
        return nil
    }
}
