// A compression as one HTML page that needs nothing else: style and drawings are in it, no script, no address. Everything that comes from files is
// escaped; names of layers may be anything.
import Foundation
import SwiftletCompress

/// The page of a report.
struct ReportPage {
    private let report: CompressionReport

    init(_ report: CompressionReport) { self.report = report }

    var html: String {
        let title = "Compression of \(name(report.comparison.parent.path))"
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>\(title.escapedForMarkup)</title>
            <style>
            \(Self.style)
            </style>
            </head>
            <body>
            <h1>\(title.escapedForMarkup)</h1>
            \(summary)\(candidates)\(steps)\(sensitivity)\(layers)\(histograms)
            </body>
            </html>

            """
    }

    private static let style = """
        :root { color-scheme: light dark; --text: #222; --page: #fff; --soft: #e4e4e4; --mark: #1976d2; --line: #d2691e; --good: #2e7d32; --bad: #c62828; }
        @media (prefers-color-scheme: dark) { :root { --text: #ddd; --page: #181818; --soft: #3a3a3a; --mark: #64a8e8; --line: #e89a5a; --good: #7cc47f; --bad: #ef7b7b; } }
        body { font: 14px/1.45 sans-serif; color: var(--text); background: var(--page); max-width: 1100px; margin: 2em auto; padding: 0 1em; }
        h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
        table { border-collapse: collapse; } th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid var(--soft); white-space: nowrap; }
        th:first-child, td:first-child { text-align: left; } .scroll { overflow-x: auto; }
        .good { color: var(--good); } .bad { color: var(--bad); }
        svg { font-size: 11px; max-width: 100%; height: auto; } svg text { fill: var(--text); } .mark { fill: var(--mark); }
        .line { fill: none; stroke: var(--line); stroke-width: 1.5; } .axis, .grid { stroke: var(--soft); }
        circle.parent { fill: var(--text); } circle.stage { fill: var(--mark); } circle.alone { fill: none; stroke: var(--mark); stroke-width: 2; } circle.result { fill: var(--line); }
        .grid3 { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px; } figure { margin: 0; } figcaption { overflow-wrap: anywhere; }
        """

    // MARK: Parts

    private var summary: String {
        var html = report.isWritten
            ? "<p class=\"good\">Written to \(report.output.escapedForMarkup).</p>\n" : "<p class=\"bad\">Refused; nothing was written.</p>\n"
        if !report.refusals.isEmpty { html += list(report.refusals, "bad") }
        let recipe = report.recipe.map { "Recipe “\($0)”. " } ?? ""
        let machine = "\(report.instructionSet), \(report.threads) \(report.threads == 1 ? "thread" : "threads")"
        html += "<p>\("\(recipe)Seed \(report.seed), \(machine), \(String(format: "%.1f", report.compressionSeconds)) s.\(report.data.isEmpty ? "" : " Data: \(report.data).")".escapedForMarkup)</p>\n"
        let rows = ComparisonText.rows(report.comparison)
        html += table(rows[0], Array(rows.dropFirst()))
        if let meaning = report.dropMeaning, let drop = report.dropPercent {
            html += "<p>Drop: \(String(format: "%.3g", drop)) %, \(meaning.escapedForMarkup).</p>\n"
        }
        if !report.budget.isEmpty {
            html += "<h2>Budget</h2>\n<ul>" + report.budget.map { "<li class=\"\($0.isMet ? "good" : "bad")\">\($0.text.escapedForMarkup)</li>" }.joined() + "</ul>\n"
        }
        return html
    }

    private var candidates: String {
        guard report.candidates.count > 1 else { return "" }
        func points(_ x: (CompressionCandidate) -> Double) -> [ReportCharts.Point] {
            report.candidates.compactMap { candidate in
                candidate.dropPercent.map { ReportCharts.Point(x: x(candidate), y: $0, label: candidate.label, kind: candidate.kind.rawValue) }
            }
        }
        var html = "<h2>Candidates</h2>\n"
        html += table(
            ["candidate", "file", "÷", "latency", "× speed", "drop"],
            report.candidates.map {
                [
                    $0.label, ByteText.text($0.fileBytes), fixed($0.sizeFactor, 2), fixed($0.latencyMilliseconds, 3) + " ms", fixed($0.speedup, 2),
                    $0.dropPercent.map { fixed($0, 3) + " %" } ?? "",
                ]
            })
        if let combination = report.combination {
            html += "<p>Each step alone, multiplied: size ÷ \(fixed(combination.sizeProduct, 2)), speed × \(fixed(combination.speedProduct, 2)). "
            html += "All together, measured: size ÷ \(fixed(combination.sizeMeasured, 2)), speed × \(fixed(combination.speedMeasured, 2)).</p>\n"
        }
        guard report.candidates.contains(where: { $0.dropPercent != nil && $0.kind != .parent }) else { return html }
        html += ReportCharts.pareto(points { Double($0.fileBytes) / 1e6 }, xLabel: "file, MB", yLabel: "drop, %", title: "Size against quality")
        html += ReportCharts.pareto(points { $0.latencyMilliseconds }, xLabel: "latency, ms", yLabel: "drop, %", title: "Latency against quality")
        return html
    }

    private var steps: String {
        let rows = report.steps.map { step in
            [
                step.technique, ByteText.text(step.before.weightBytes), ByteText.text(step.after.weightBytes), "\(step.after.parameters)",
                "\(step.after.nonzeroParameters)", "\(step.after.multiplyAccumulates)", fixed(step.seconds, 1) + " s",
            ]
        }
        let notes = report.steps.flatMap { step in step.notes.map { "\(step.technique): \($0)" } }
        return "<h2>Steps</h2>\n" + table(["step", "weights before", "after", "parameters", "not zero", "multiply-accumulates", "time"], rows) + (notes.isEmpty ? "" : list(notes, ""))
    }

    private var sensitivity: String {
        if !report.sensitivities.isEmpty {
            let rows = report.sensitivities.sorted { $0.outputErrorPercent > $1.outputErrorPercent }.map { ($0.layer, $0.outputErrorPercent, fixed($0.outputErrorPercent, 4) + " %") }
            return "<h2>Sensitivity</h2>\n<p>How far the outputs move when only this layer is compressed: ‖y′ − y‖ / ‖y‖.</p>\n<div class=\"scroll\">" + ReportCharts.bars(rows, title: "Sensitivity") + "</div>\n" + choices
        }
        let measured = report.steps.filter { !$0.sensitivities.isEmpty }
        if !measured.isEmpty { return measured.map(sensitivity).joined() + choices }
        // Without a scan: how far the layer itself moved, its own output where the technique knows it, else its weights.
        let tensors = report.steps.flatMap(\.tensors)
        let errors = tensors.compactMap { tensor in tensor.outputError.map { (tensor.name, 100 * $0.squareRoot()) } }
        let noise = tensors.compactMap { tensor in tensor.signalToNoise.map { (tensor.name, 100 * pow(10, -$0 / 20)) } }
        let (rows, what) = errors.isEmpty ? (noise, "weights: ‖W′ − W‖ / ‖W‖") : (errors, "layer's own output on the calibration data: ‖(W′ − W)x‖ / ‖Wx‖")
        guard !rows.isEmpty else { return "" }
        let sorted = rows.sorted { $0.1 > $1.1 }.map { ($0.0, $0.1, fixed($0.1, 3) + " %") }
        return "<h2>Error of each layer</h2>\n<p>Of the \(what).</p>\n<div class=\"scroll\">" + ReportCharts.bars(sorted, title: "Error of each layer") + "</div>\n"
    }

    /// What a step found of each candidate alone, the largest first.
    private func sensitivity(_ step: StepReport) -> String {
        let sorted = step.sensitivities.sorted { $0.divergence > $1.divergence }
        let rows = sorted.prefix(Self.mostBars).map { ("\($0.layer) \($0.candidate)", $0.divergence, String(format: "%.3g", $0.divergence)) }
        let which = sorted.count > Self.mostBars ? " The \(Self.mostBars) largest of \(sorted.count)." : ""
        return "<h2>Sensitivity</h2>\n<p>What the step \(step.technique.escapedForMarkup) measured of each candidate alone: what the answers lose.\(which)</p>\n<div class=\"scroll\">"
            + ReportCharts.bars(rows, title: "Sensitivity") + "</div>\n"
    }

    private static let mostBars = 100

    /// Where searches over choices have been.
    private var choices: String {
        report.steps.filter { !$0.choices.isEmpty }.map { step in
            let labels: [ChoicePoint.Kind: String] = [.lowest: "lowest, measured", .chosen: "chosen, measured"]
            let kinds: [ChoicePoint.Kind: String] = [.expected: "alone", .lowest: "stage", .chosen: "result"]
            var seen: Set<String> = []
            let points = step.choices.compactMap { point -> ReportCharts.Point? in
                let place = "\(point.weightBytes) \(point.loss) \(point.kind)"
                guard seen.insert(place).inserted else { return nil }
                return ReportCharts.Point(x: Double(point.weightBytes) / 1e6, y: point.loss, label: labels[point.kind] ?? "", kind: kinds[point.kind] ?? "")
            }
            return "<h2>Choices of \(step.technique.escapedForMarkup)</h2>\n<p>Every choice the search met: bytes of the weights against the loss. Circles are sums of what the parts lose alone; the filled points were measured together.</p>\n"
                + ReportCharts.pareto(points, xLabel: "weights, MB", yLabel: "loss", title: "Weights against loss")
        }.joined()
    }

    private var layers: String {
        report.steps.map { step in
            let rows = step.tensors.map { tensor in
                [
                    tensor.name, shape(tensor.shapeBefore) + (tensor.shapeBefore == tensor.shapeAfter ? "" : " → " + shape(tensor.shapeAfter)),
                    tensor.formatBefore + (tensor.formatBefore == tensor.formatAfter ? "" : " → " + tensor.formatAfter), ByteText.text(tensor.bytesBefore),
                    ByteText.text(tensor.bytesAfter), tensor.signalToNoise.map { fixed($0, 1) + " dB" } ?? "", fixed(100 * tensor.sparsity, 1) + " %",
                    tensor.outputError.map { fixed(100 * $0.squareRoot(), 3) + " %" } ?? "",
                ]
            }
            return rows.isEmpty ? "" : "<h2>Layers after \(step.technique.escapedForMarkup)</h2>\n" + table(["layer", "shape", "format", "before", "after", "SNR", "zeros", "output error"], rows)
        }.joined()
    }

    private var histograms: String {
        guard !report.histograms.isEmpty else { return "" }
        let figures = report.histograms.map { layer in
            let limit = String(format: "%.3g", layer.weightLimit)
            var html = "<figure><figcaption>\(layer.name.escapedForMarkup)</figcaption>"
            html += ReportCharts.histogram(layer.before, line: layer.after, from: "−" + limit, to: limit, title: "Weights of \(layer.name)")
            if let activations = layer.activations, let first = layer.activationExponent {
                html += ReportCharts.histogram(activations, from: "|x| 2^\(first)", to: "2^\(first + activations.count)", title: "Activations into \(layer.name)")
            }
            return html + "</figure>\n"
        }
        let words = "The largest layers that changed. Above: weights, before as columns and after as a line. Below, where there were data: magnitudes of what flows in, in powers of two. Heights go with the square root of the share."
        return "<h2>Weights and activations</h2>\n<p>\(words)</p>\n<div class=\"grid3\">\n" + figures.joined() + "</div>\n"
    }

    // MARK: Pieces

    private func table(_ head: [String], _ rows: [[String]]) -> String {
        func row(_ cells: [String], _ tag: String) -> String { "<tr>" + cells.map { "<\(tag)>\($0.escapedForMarkup)</\(tag)>" }.joined() + "</tr>\n" }
        return "<div class=\"scroll\"><table>\n<thead>" + row(head, "th") + "</thead>\n<tbody>\n" + rows.map { row($0, "td") }.joined() + "</tbody>\n</table></div>\n"
    }

    private func list(_ items: [String], _ style: String) -> String {
        "<ul>" + items.map { "<li\(style.isEmpty ? "" : " class=\"\(style)\"")>\($0.escapedForMarkup)</li>" }.joined() + "</ul>\n"
    }

    private func fixed(_ value: Double, _ digits: Int) -> String { value.isFinite ? String(format: "%.\(digits)f", value) : "\(value)" }
    private func shape(_ sizes: [Int]) -> String { sizes.map(String.init).joined(separator: "×") }
    private func name(_ path: String) -> String { ComparisonText.name(path) }
}
