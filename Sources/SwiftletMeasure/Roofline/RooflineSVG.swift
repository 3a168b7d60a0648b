// A roofline as one SVG file without references to anything else: limits as lines, kernels as numbered marks with tooltips, and a list of the
// numbers beneath. A disc streams its operands from memory, a square finds them in caches; the colour is the instruction set.
import Foundation
import SwiftletTensor

package enum RooflineSVG {
    /// The picture of `plot`. `title` says machine and threads.
    package static func text(_ plot: RooflinePlot, title: String) -> String {
        let rows = (plot.points.count + columns - 1) / columns
        let height = plot.height + 40 + Double(rows) * lineHeight + 20
        var svg = """
            <?xml version="1.0" encoding="UTF-8"?>
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(number(plot.width)) \(number(height))" width="\(number(plot.width))" height="\(number(height))" font-family="sans-serif" font-size="11" fill="#222">
            <title>\(escaped(title))</title>
            <rect width="100%" height="100%" fill="#fff"/>
            <text x="\(number(plot.left))" y="24" font-size="16">\(escaped(title))</text>

            """
        svg += legend(plot) + grid(plot) + roofs(plot) + marks(plot) + list(plot)
        return svg + "</svg>\n"
    }

    /// Writes the picture beside `path` and renames it. Throws `SwiftletError.io` when that fails.
    package static func write(_ text: String, to path: String) throws {
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw SwiftletError.io(
                path: path, reason: "cannot be written: \(error.localizedDescription)",
                remedy: "Check that the folder exists, is writable and has room.")
        }
    }

    private static let columns = 2
    private static let lineHeight = 15.0

    /// The colour of a set of instruction sets: that of its best one.
    private static let colours: [(isa: String, colour: String)] = [
        ("amx-bf16", "#c2185b"), ("amx-int8", "#d32f2f"), ("avx512-bf16", "#f57c00"), ("avx512-vnni", "#e69100"), ("avx512", "#388e3c"),
        ("avx-vnni", "#0097a7"), ("avx2", "#1976d2"), ("i8mm", "#d32f2f"), ("dotprod", "#e69100"), ("neon", "#1976d2"),
    ]
    private static let scalarColour = "#757575", portableColour = "#7b1fa2"

    private static func colour(of figure: KernelFigure) -> (name: String, colour: String) {
        if let known = colours.first(where: { figure.isa.contains($0.isa) }) { return (known.isa, known.colour) }
        return figure.kernel.hasSuffix("portable") ? ("portable", portableColour) : ("scalar", scalarColour)
    }

    private static func legend(_ plot: RooflinePlot) -> String {
        var x = plot.left
        var seen: Set<String> = []
        var svg = ""
        for entry in plot.points.map({ colour(of: $0.figure) }) where seen.insert(entry.name).inserted {
            svg += "<circle cx=\"\(number(x + 4))\" cy=\"42\" r=\"4\" fill=\"\(entry.colour)\"/>"
            svg += "<text x=\"\(number(x + 12))\" y=\"46\">\(escaped(entry.name))</text>\n"
            x += 22 + 7 * Double(entry.name.count)
        }
        x += 20
        svg += "<circle cx=\"\(number(x + 4))\" cy=\"42\" r=\"4\" fill=\"none\" stroke=\"#222\"/>"
        svg += "<text x=\"\(number(x + 12))\" y=\"46\">operands from memory</text>\n"
        x += 150
        svg += "<rect x=\"\(number(x))\" y=\"38\" width=\"8\" height=\"8\" fill=\"none\" stroke=\"#222\"/>"
        svg += "<text x=\"\(number(x + 12))\" y=\"46\">from caches</text>\n"
        return svg
    }

    private static func grid(_ plot: RooflinePlot) -> String {
        var svg = "<g stroke=\"#ddd\">\n"
        for (decades, isX) in [(plot.xDecades, true), (plot.yDecades, false)] {
            for decade in decades {
                for digit in 1...(decade == decades.upperBound ? 1 : 9) {
                    let value = Double(digit) * pow(10, Double(decade)), faint = digit == 1 ? "" : " stroke-opacity=\"0.4\""
                    svg +=
                        isX
                        ? "<line x1=\"\(number(plot.x(value)))\" y1=\"\(number(plot.top))\" x2=\"\(number(plot.x(value)))\" y2=\"\(number(plot.bottom))\"\(faint)/>\n"
                        : "<line x1=\"\(number(plot.left))\" y1=\"\(number(plot.y(value)))\" x2=\"\(number(plot.right))\" y2=\"\(number(plot.y(value)))\"\(faint)/>\n"
                }
            }
        }
        svg += "</g>\n"
        for decade in plot.xDecades {
            svg += "<text x=\"\(number(plot.x(pow(10, Double(decade)))))\" y=\"\(number(plot.bottom + 16))\" text-anchor=\"middle\">\(power(decade))</text>\n"
        }
        for decade in plot.yDecades {
            svg += "<text x=\"\(number(plot.left - 6))\" y=\"\(number(plot.y(pow(10, Double(decade))) + 4))\" text-anchor=\"end\">\(power(decade))</text>\n"
        }
        let middle = (plot.left + plot.right) / 2, centre = (plot.top + plot.bottom) / 2
        svg += "<text x=\"\(number(middle))\" y=\"\(number(plot.bottom + 36))\" text-anchor=\"middle\">operations a byte</text>\n"
        svg += "<text transform=\"translate(18 \(number(centre))) rotate(-90)\" text-anchor=\"middle\">10⁹ operations a second</text>\n"
        return svg
    }

    private static func roofs(_ plot: RooflinePlot) -> String {
        var svg = "<g fill=\"none\" stroke=\"#222\">\n"
        var labels = ""
        var taken: [(column: Double, y: Double)] = []
        for roof in plot.roofs {
            let dash = roof.threads == 1 ? " stroke-dasharray=\"6 4\"" : ""
            let unit = roof.kind == .memory ? "GB/s" : "Gop/s"
            let name = "\(roof.label), \(roof.threads) \(roof.threads == 1 ? "thread" : "threads"): \(rate(roof.rate)) \(unit)"
            svg += "<line class=\"roof \(roof.kind.rawValue)\" x1=\"\(number(roof.start.x))\" y1=\"\(number(roof.start.y))\""
            svg += " x2=\"\(number(roof.end.x))\" y2=\"\(number(roof.end.y))\"\(dash)><title>\(escaped(name))</title></line>\n"
            switch roof.kind {
            case .compute:
                // Above its line at the right edge, one thread's further left, moved up past a label that is already there.
                let column = roof.threads == 1 && plot.roofs.contains { $0.threads != 1 } ? 190.0 : 4
                var y = roof.end.y - 3
                while taken.contains(where: { $0.column == column && abs($0.y - y) < 10 }) { y -= 2 }
                taken.append((column, y))
                labels += "<text x=\"\(number(roof.end.x - column))\" y=\"\(number(y))\" text-anchor=\"end\" font-size=\"9\" fill=\"#555\">\(escaped(name))</text>\n"
            case .memory:
                let (x, y) = (roof.start.x + 14, roof.start.y - 14 * (roof.start.y - roof.end.y) / max(roof.end.x - roof.start.x, 1))
                let angle = -atan2(roof.start.y - roof.end.y, roof.end.x - roof.start.x) * 180 / .pi
                let side = roof.threads == 1 ? 11.0 : -4
                labels +=
                    "<text transform=\"translate(\(number(x)) \(number(y))) rotate(\(number(angle)))\" y=\"\(number(side))\" font-size=\"9\" fill=\"#555\">\(escaped(name))</text>\n"
            }
        }
        return svg + "</g>\n" + labels
    }

    private static func marks(_ plot: RooflinePlot) -> String {
        var placer = LabelPlacer()
        for point in plot.points { placer.occupy(x: point.x, y: point.y, radius: 4) }
        var svg = ""
        for point in plot.points {
            let colour = colour(of: point.figure).colour
            svg += "<g class=\"point\" fill=\"\(colour)\"><title>\(escaped(tooltip(point.figure)))</title>"
            if point.figure.streamsMemory {
                svg += "<circle cx=\"\(number(point.x))\" cy=\"\(number(point.y))\" r=\"4\"/>"
            } else {
                svg += "<rect x=\"\(number(point.x - 3.5))\" y=\"\(number(point.y - 3.5))\" width=\"7\" height=\"7\"/>"
            }
            let label = "\(point.number)"
            if let place = placer.place(x: point.x, y: point.y, width: 6 * Double(label.count) + 2, height: 10) {
                if hypot(place.x - point.x, place.y - point.y) > 14 {
                    svg += "<line x1=\"\(number(point.x))\" y1=\"\(number(point.y))\" x2=\"\(number(place.x))\" y2=\"\(number(place.y))\""
                    svg += " stroke=\"\(colour)\" stroke-opacity=\"0.4\"/>"
                }
                svg += "<text x=\"\(number(place.x))\" y=\"\(number(place.y + 3.5))\" text-anchor=\"middle\" font-size=\"9\">\(label)</text>"
            }
            svg += "</g>\n"
        }
        return svg
    }

    private static func list(_ plot: RooflinePlot) -> String {
        guard !plot.points.isEmpty else { return "" }
        let rows = (plot.points.count + columns - 1) / columns, columnWidth = (plot.width - 20) / Double(columns)
        // The model's name is in the tooltips; here only where there are several.
        let models = Set(plot.points.map { $0.figure.shape.prefix { $0 != "/" } }), shared = models.count == 1 ? (models.first ?? "") + "/" : ""
        var svg = "<g font-size=\"10\">\n"
        for (index, point) in plot.points.enumerated() {
            let x = 20 + Double(index / rows) * columnWidth, y = plot.height + 40 + Double(index % rows) * lineHeight
            let figure = point.figure
            let shape = figure.shape.hasPrefix(shared) ? String(figure.shape.dropFirst(shared.count)) : figure.shape
            svg += "<text x=\"\(number(x + 18))\" y=\"\(number(y))\" text-anchor=\"end\" fill=\"\(colour(of: figure).colour)\">\(point.number)</text>"
            svg += "<text x=\"\(number(x + 24))\" y=\"\(number(y))\">\(escaped(figure.kernel))</text>"
            svg += "<text x=\"\(number(x + 220))\" y=\"\(number(y))\">\(escaped(shape))</text>"
            svg += "<text x=\"\(number(x + 490))\" y=\"\(number(y))\" text-anchor=\"end\">\(rate(figure.gigaoperationsPerSecond ?? 0)) Gop/s</text>"
            svg += "<text x=\"\(number(x + 580))\" y=\"\(number(y))\" text-anchor=\"end\">\(escaped(share(figure)))</text>\n"
        }
        return svg + "</g>\n"
    }

    /// How near a kernel comes to what bounds it: the plain read where its operands come from memory, else the peak.
    private static func share(_ figure: KernelFigure) -> String {
        if let percent = figure.percentOfBandwidth { return "\(rate(percent)) % of read" }
        return figure.percentOfPeak.map { "\(rate($0)) % of peak" } ?? ""
    }

    private static func tooltip(_ figure: KernelFigure) -> String {
        var lines = [
            figure.kernel, figure.shape, "\(rate(figure.medianNanoseconds)) ns a call, \(figure.threads) \(figure.threads == 1 ? "thread" : "threads")",
            "\(rate(figure.gigaoperationsPerSecond ?? 0)) Gop/s, \(rate(figure.gigabytesPerSecond)) GB/s, \(rate(figure.intensity ?? 0)) operations a byte",
        ]
        if let percent = figure.percentOfPeak { lines.append("\(rate(percent)) % of the peak of \(figure.isa.joined(separator: ", "))") }
        if let percent = figure.percentOfBandwidth { lines.append("\(rate(percent)) % of a plain read") }
        return lines.joined(separator: "\n")
    }

    private static func rate(_ value: Double) -> String { String(format: value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value) }

    /// At most two decimals, with a point in every locale.
    private static func number(_ value: Double) -> String {
        let text = String(format: "%.2f", value)
        return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
    }

    /// 10 with its exponent above; the plain number near 1.
    private static func power(_ decade: Int) -> String {
        switch decade {
        case 0: "1"
        case 1: "10"
        case 2: "100"
        case -1: "0.1"
        default: "10<tspan dy=\"-4\" font-size=\"8\">\(decade)</tspan>"
        }
    }

    private static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(of: ">", with: "&gt;")
            .replacingOccurrences(of: "\"", with: "&quot;")
    }
}
