// The drawings of a report: inline SVG without references to anything else. Colours are classes that the page's style gives, so that the page can
// be dark or light.
import Foundation

/// Draws bars, histograms and the plot of candidates.
enum ReportCharts {
    /// One horizontal bar a row: name, length, and the number in words.
    static func bars(_ rows: [(name: String, value: Double, text: String)], title: String) -> String {
        let largest = rows.map(\.value).filter(\.isFinite).max() ?? 0
        let (nameWidth, width, line) = (320.0, 420.0, 18.0)
        var svg = open(width: nameWidth + width + 110, height: Double(rows.count) * line + 4, title: title)
        for (index, row) in rows.enumerated() {
            let y = Double(index) * line
            let length = largest > 0 ? width * min(1, max(0, row.value.isFinite ? row.value / largest : 1)) : 0
            svg += "<text x=\"\(number(nameWidth - 8))\" y=\"\(number(y + 13))\" text-anchor=\"end\">\(shortened(row.name, 46).escapedForMarkup)</text>"
            svg += "<rect class=\"mark\" x=\"\(number(nameWidth))\" y=\"\(number(y + 3))\" width=\"\(number(length))\" height=\"12\"><title>\(row.name.escapedForMarkup): \(row.text.escapedForMarkup)</title></rect>"
            svg += "<text x=\"\(number(nameWidth + length + 6))\" y=\"\(number(y + 13))\">\(row.text.escapedForMarkup)</text>\n"
        }
        return svg + "</svg>\n"
    }

    /// Shares as columns; `behind` is drawn as a line over them. Heights go with the square root, so that rare values are seen.
    static func histogram(_ shares: [Double], line: [Double] = [], from: String, to: String, title: String) -> String {
        let (width, height) = (280.0, 90.0)
        let largest = (shares + line).max() ?? 0
        func y(_ share: Double) -> Double { largest > 0 ? height * (1 - (max(0, share) / largest).squareRoot()) : height }
        var svg = open(width: width, height: height + 18, title: title)
        let step = width / Double(max(1, shares.count))
        for (index, share) in shares.enumerated() where share > 0 {
            svg += "<rect class=\"mark\" x=\"\(number(Double(index) * step))\" y=\"\(number(y(share)))\" width=\"\(number(step * 0.92))\" height=\"\(number(height - y(share)))\"/>"
        }
        if !line.isEmpty {
            let step = width / Double(line.count)
            let points = line.enumerated().map { "\(number((Double($0) + 0.5) * step)),\(number(y($1)))" }
            svg += "<polyline class=\"line\" points=\"\(points.joined(separator: " "))\"/>"
        }
        svg += "<line class=\"axis\" x1=\"0\" y1=\"\(number(height))\" x2=\"\(number(width))\" y2=\"\(number(height))\"/>"
        svg += "<text x=\"0\" y=\"\(number(height + 14))\">\(from.escapedForMarkup)</text><text x=\"\(number(width))\" y=\"\(number(height + 14))\" text-anchor=\"end\">\(to.escapedForMarkup)</text>"
        return svg + "</svg>\n"
    }

    /// A candidate in the plot.
    struct Point {
        let x, y: Double
        let label: String
        /// A class of the style: `parent`, `stage`, `alone`, `result`.
        let kind: String
    }

    /// Candidates by cost (to the right) and loss (upwards); the step line joins those that no other one beats in both.
    static func pareto(_ points: [Point], xLabel: String, yLabel: String, title: String) -> String {
        let points = points.filter { $0.x.isFinite && $0.y.isFinite }
        guard !points.isEmpty else { return "" }
        let (left, top, width, height) = (70.0, 12.0, 520.0, 260.0)
        let x = Axis(points.map(\.x), length: width), y = Axis(points.map(\.y), length: height)
        var svg = open(width: left + width + 180, height: top + height + 46, title: title)
        for tick in x.ticks {
            let place = number(left + x.place(tick))
            svg += "<line class=\"grid\" x1=\"\(place)\" y1=\"\(number(top))\" x2=\"\(place)\" y2=\"\(number(top + height))\"/>"
            svg += "<text x=\"\(place)\" y=\"\(number(top + height + 16))\" text-anchor=\"middle\">\(tickText(tick))</text>"
        }
        for tick in y.ticks {
            let place = top + height - y.place(tick)
            svg += "<line class=\"grid\" x1=\"\(number(left))\" y1=\"\(number(place))\" x2=\"\(number(left + width))\" y2=\"\(number(place))\"/>"
            svg += "<text x=\"\(number(left - 6))\" y=\"\(number(place + 4))\" text-anchor=\"end\">\(tickText(tick))</text>"
        }
        svg += "<text x=\"\(number(left + width / 2))\" y=\"\(number(top + height + 38))\" text-anchor=\"middle\">\(xLabel.escapedForMarkup)</text>"
        svg += "<text transform=\"translate(14 \(number(top + height / 2))) rotate(-90)\" text-anchor=\"middle\">\(yLabel.escapedForMarkup)</text>\n"
        let front = front(points)
        var path = ""
        for (index, point) in front.enumerated() {
            let (px, py) = (left + x.place(point.x), top + height - y.place(point.y))
            path += index == 0 ? "M\(number(px)) \(number(py))" : "H\(number(px))V\(number(py))"
        }
        svg += "<path class=\"line\" d=\"\(path)\"/>\n"
        var taken: [(x: Double, y: Double)] = []
        for point in points {
            let (px, py) = (left + x.place(point.x), top + height - y.place(point.y))
            var textY = py + 4
            while taken.contains(where: { abs($0.y - textY) < 12 && abs($0.x - px) < 150 }) { textY += 12 }
            taken.append((px, textY))
            svg += "<circle class=\"\(point.kind.escapedForMarkup)\" cx=\"\(number(px))\" cy=\"\(number(py))\" r=\"5\"><title>\(point.label.escapedForMarkup)</title></circle>"
            svg += "<text x=\"\(number(px + 9))\" y=\"\(number(textY))\">\(shortened(point.label, 30).escapedForMarkup)</text>\n"
        }
        return svg + "</svg>\n"
    }

    /// The points that no other point beats in one direction without being worse in the other, from left to right.
    static func front(_ points: [Point]) -> [Point] {
        var best = Double.infinity
        return points.sorted { ($0.x, $0.y) < ($1.x, $1.y) }.filter { point in
            defer { best = min(best, point.y) }
            return point.y < best
        }
    }

    /// A scale with round ticks.
    private struct Axis {
        let low, high, length: Double
        let ticks: [Double]

        init(_ values: [Double], length: Double) {
            self.length = length
            let (least, most) = (min(0, values.min() ?? 0), max(values.max() ?? 0, 1e-9))
            let rough = (most - least) / 5, power = pow(10, floor(log10(rough)))
            let step = power * ([1, 2, 5, 10].first { $0 * power >= rough } ?? 10)
            low = (least / step).rounded(.down) * step
            high = (most / step).rounded(.up) * step
            let start = low
            ticks = (0...Int(((high - low) / step).rounded())).map { start + Double($0) * step }
        }

        func place(_ value: Double) -> Double { length * (value - low) / max(high - low, 1e-12) }
    }

    private static func open(width: Double, height: Double, title: String) -> String {
        "<svg viewBox=\"0 0 \(number(width)) \(number(height))\" width=\"\(number(width))\" height=\"\(number(height))\" role=\"img\"><title>\(title.escapedForMarkup)</title>\n"
    }

    private static func shortened(_ text: String, _ length: Int) -> String {
        text.count <= length ? text : text.prefix(length / 2) + "…" + text.suffix(length - length / 2 - 1)
    }

    private static func tickText(_ value: Double) -> String { String(format: "%.4g", abs(value) < 1e-12 ? 0 : value) }

    /// At most two decimals, with a point in every locale.
    private static func number(_ value: Double) -> String {
        let text = String(format: "%.2f", value)
        return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
    }
}
