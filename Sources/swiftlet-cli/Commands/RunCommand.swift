import ArgumentParser
import Foundation
import SwiftletFormats
import SwiftletNetwork
import SwiftletRuntime

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs an ONNX network on .npy files or on random data.",
        discussion: "Prints the outputs' types, shapes and ranges; --output writes them as .npy files.")

    @Argument(help: "An ONNX file, or the name of a pulled model.")
    var model: String

    @Option(help: ArgumentHelp("An input: a .npy file.", valueName: "name=file.npy"))
    var input: [NamedArgument] = []

    @Option(help: ArgumentHelp("An input of random numbers (from 0 to 1; integers: zeros) of this shape.", valueName: "name=1,3,224,224"))
    var shape: [NamedArgument] = []

    @Option(help: ArgumentHelp("Write each output to NAME.npy in this folder.", valueName: "folder"))
    var output: String?

    @Option(name: .customLong("repeat"), help: "Run so often, and print the median time.")
    var repeats = 1

    @Flag(help: "Print the time of each node: the median of as many runs as --repeat says.")
    var profile = false

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup var network: NetworkArguments

    func validate() throws {
        guard repeats >= 1 else { throw ValidationError("--repeat must be 1 or more.") }
    }

    func run() async throws {
        let clock = ContinuousClock()
        var model: Model?
        let loading = try await clock.measure { model = try await network.load(self.model) }
        guard let model else { return }
        let inputs = try values(for: model)
        var results: [String: ModelValue] = [:]
        let preparing = try clock.measure { results = try model.run(inputs) }
        var times: [Double] = []
        for _ in 0..<(repeats > 1 ? repeats : 0) {
            try Task.checkCancellation()
            times.append(try clock.measure { results = try model.run(inputs) } / .milliseconds(1))
        }
        // Apart from the runs above, which nothing disturbs.
        let timings = profile ? NodeTiming.medians(of: try (0..<repeats).map { _ in try model.profile(inputs).timings }) : nil
        if let output { try write(results, of: model, to: output) }
        let report = RunReport(
            model: model.path, threads: model.threads, loadMilliseconds: loading / .milliseconds(1), firstRunMilliseconds: preparing / .milliseconds(1),
            medianMilliseconds: times.isEmpty ? nil : times.sorted()[times.count / 2], runs: times.count,
            outputs: model.outputNames.compactMap { name in results[name].map { RunReport.Output(name: name, value: $0) } }, nodes: timings)
        if json { try JSONOutput.print(report) } else { Console.write(report.text) }
    }

    // MARK: Inputs and outputs

    private func values(for model: Model) throws -> [String: ModelValue] {
        var values: [String: ModelValue] = [:]
        for argument in input { values[argument.name] = .tensor(try NPYFile.read(path: argument.value)) }
        for argument in shape {
            let sizes = try argument.sizes("--shape")
            guard let port = model.inputs.first(where: { $0.name == argument.name }) else {
                throw SwiftletError.invalidArgument(
                    name: argument.name, reason: "\(model.path) has no such input", remedy: "Its inputs are: \(model.inputs.map(\.name).joined(separator: ", ")).")
            }
            values[argument.name] = .tensor(try random(port, Shape(sizes)))
        }
        return values
    }

    /// The same numbers each time, so that runs compare.
    private func random(_ port: Model.Port, _ shape: Shape) throws -> Tensor {
        guard case .tensor(let element, _) = port.type, let type = element.dtype else {
            throw SwiftletError.invalidArgument(name: port.name, reason: "is \(port.type), not a tensor of numbers", remedy: "Give it with --input.")
        }
        var tensor = try Tensor(zeros: type, shape: shape)
        guard type == .f32 else { return tensor }
        var state: UInt32 = 12345
        try tensor.withMutableElements(as: Float.self) { elements in
            for index in elements.indices {
                state = state &* 1_664_525 &+ 1_013_904_223
                elements[index] = Float(state >> 8) * 0x1p-24
            }
        }
        return tensor
    }

    private func write(_ results: [String: ModelValue], of model: Model, to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for (name, value) in results {
            // Names of exporters have slashes and colons.
            let file = name.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "_" }
            try NPYFile.write(value.tensor, to: folder + "/" + String(file) + ".npy")
        }
    }
}

/// What a run printed.
struct RunReport: Encodable {
    struct Output: Encodable {
        let name, type: String
        let shape: [Int]?
        let minimum, mean, maximum: Double?

        init(name: String, value: ModelValue) {
            self.name = name
            guard case .tensor(let tensor) = value else {
                (type, shape, minimum, mean, maximum) = ("other", nil, nil, nil, nil)
                return
            }
            (type, shape) = (tensor.type.rawValue, tensor.shape.dimensions)
            let numbers = (try? tensor.floats().map(Double.init)) ?? []
            (minimum, maximum) = (numbers.min(), numbers.max())
            mean = numbers.isEmpty ? nil : numbers.reduce(0, +) / Double(numbers.count)
        }
    }

    let model: String
    let threads: Int
    let loadMilliseconds, firstRunMilliseconds: Double
    let medianMilliseconds: Double?
    let runs: Int
    let outputs: [Output]
    let nodes: [NodeTiming]?

    var text: String {
        func number(_ value: Double, _ digits: Int = 2) -> String { String(format: "%.\(digits)f", value) }
        var lines = outputs.map { output in
            let shape = output.shape.map { "[" + $0.map(String.init).joined(separator: ", ") + "]" } ?? ""
            let range = output.minimum.map { "from \(number($0, 5)) to \(number(output.maximum ?? 0, 5)), mean \(number(output.mean ?? 0, 5))" } ?? ""
            return "\(output.name): \(output.type) \(shape) \(range)"
        }
        lines.append("load \(number(loadMilliseconds)) ms, first run \(number(firstRunMilliseconds)) ms, \(threads) threads")
        if let medianMilliseconds { lines.append("median of \(runs) runs: \(number(medianMilliseconds)) ms") }
        if let nodes {
            let total = nodes.reduce(0) { $0 + $1.nanoseconds }
            for node in nodes.sorted(by: { $0.nanoseconds > $1.nanoseconds }) {
                let share = 100 * Double(node.nanoseconds) / Double(max(1, total))
                let columns = [number(Double(node.nanoseconds) / 1000, 1) + " µs", number(share, 1) + " %", "\(node.outputBytes) bytes", node.backend]
                lines.append(columns.map { String(repeating: " ", count: max(0, 14 - $0.count)) + $0 }.joined() + "  \(node.node): \(node.operation)")
            }
            lines.append("total \(number(Double(total) / 1_000_000)) ms")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
