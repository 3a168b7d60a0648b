// The report of `inspect` for a reader.
import Foundation
import SwiftletMeasure

enum InspectionText {
    static func text(_ model: ModelInspection) -> String {
        var lines = model.files.map { "file              \($0)" }
        lines.append("format            \(model.format)")
        if let name = model.name { lines.append("name              \(name)") }
        if let architecture = model.architecture { lines.append("architecture      \(architecture)") }
        lines.append("parameters        \(model.parameters) (\(count(model.parameters)))")
        lines.append("tensor bytes      \(model.tensorBytes) (\(megabytes(model.tensorBytes)))")
        if model.parameters > 0 {
            lines.append("bits a parameter  " + String(format: "%.2f", 8 * Double(model.tensorBytes) / Double(model.parameters)))
        }
        if let cost = model.cost {
            lines.append(
                "bytes per token   \(cost.weightBytesPerToken) (\(megabytes(cost.weightBytesPerToken)) of weights read to generate one)")
            lines.append("cache per token   \(cost.cacheBytesPerToken) bytes (f16)")
        } else if let cost = model.networkCost {
            lines += text(cost)
        } else if let reason = model.costMissing {
            lines.append((model.network == nil ? "bytes per token   " : "cost of a run     ") + "unknown: \(reason)")
        }
        if let network = model.network { lines += text(network) }
        lines.append("\nformats")
        lines += model.formats.map {
            "  " + pad($0.format, 8) + pad("\($0.tensors) tensors", 14) + pad(count($0.parameters), 10) + megabytes($0.bytes)
        }
        if !model.metadata.isEmpty { lines.append("\nmetadata") }
        lines += model.metadata.map { "  \($0.key) (\($0.type)) = \(shortened($0.value.description))" }
        lines.append("\ntensors")
        let longest = model.tensors.reduce(0) { max($0, $1.name.count) }
        lines += model.tensors.map { tensor in
            "  " + pad(tensor.name, longest + 2) + pad(tensor.format, 8) + pad(megabytes(tensor.bytes), 12)
                + "[" + tensor.shape.map(String.init).joined(separator: ", ") + "]"
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func text(_ cost: ModelInspection.RunCost) -> [String] {
        var lines = [
            "MACs              \(cost.multiplyAccumulates) (\(count(cost.multiplyAccumulates)))",
            "activations       \(cost.activationBytes) bytes (\(megabytes(cost.activationBytes))) in all, "
                + "\(cost.plannedActivationBytes) (\(megabytes(cost.plannedActivationBytes))) at most at once, as planned",
        ]
        if let plain = cost.plainMultiplyAccumulates { lines.append("depthwise saving  " + saving(cost.multiplyAccumulates, of: plain, convolutions: cost.depthwiseConvolutions)) }
        return lines
    }

    /// What depthwise-separable convolutions save.
    static func saving(_ separable: Int, of plain: Int, convolutions: Int) -> String {
        let factor = separable > 0 ? String(format: "%.1f", Double(plain) / Double(separable)) : "?"
        return "\(factor) times fewer MACs: \(count(plain)) with plain convolutions in the place of \(convolutions) depthwise-separable ones"
    }

    private static func text(_ network: ModelInspection.Network) -> [String] {
        var lines = ["IR version        \(network.irVersion)"]
        if !network.producer.isEmpty { lines.append("producer          \(network.producer)") }
        lines.append("operator sets     " + network.operatorSets.map { "\($0.domain) \($0.version)" }.joined(separator: ", "))
        lines.append("nodes             \(network.nodes)")
        if !network.functions.isEmpty { lines.append("functions         " + network.functions.joined(separator: ", ")) }
        let longest = (network.inputs + network.outputs).reduce(0) { max($0, $1.name.count) }
        for (title, values) in [("inputs", network.inputs), ("outputs", network.outputs)] {
            lines.append("\n\(title)")
            lines += values.map { value in
                let shape = value.shape.map { "[" + $0.joined(separator: ", ") + "]" } ?? ""
                return "  " + pad(value.name, longest + 2) + pad(value.type ?? "of any type", 8) + shape
                    + (value.isOptional ? " (optional)" : "")
            }
        }
        lines.append("\noperators")
        lines += network.operators.map { entry in
            "  " + pad(entry.domain == "ai.onnx" ? entry.op : "\(entry.domain).\(entry.op)", 24) + "\(entry.nodes)"
        }
        return lines
    }

    static func megabytes(_ bytes: Int) -> String { String(format: "%.2f MB", Double(bytes) / 1e6) }

    static func count(_ number: Int) -> String {
        switch number {
        case 1_000_000_000...: String(format: "%.2f B", Double(number) / 1e9)
        case 1_000_000...: String(format: "%.1f M", Double(number) / 1e6)
        case 1_000...: String(format: "%.1f K", Double(number) / 1e3)
        default: "\(number)"
        }
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }

    /// A value on one line, at most 120 characters of it.
    private static func shortened(_ text: String) -> String {
        let line = text.replacingOccurrences(of: "\n", with: "\\n")
        return line.count > 120 ? line.prefix(120) + "…" : line
    }
}
