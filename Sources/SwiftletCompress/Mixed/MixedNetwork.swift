// Mixed precision for networks: layers in 8 bits where that loses little, in floats where it loses most.
//
// What each rounded weight and each rounded value costs is measured one by one, everything else in floats, with the means of the layers behind it put
// back as bias correction does; losses so small and of independent causes add up. Values between layers are shared, so the choice is a cut (CutProblem).
import Foundation
import SwiftletRuntime

/// Chooses precisions for the layers of one network.
struct MixedNetwork {
    let precisions: Set<LayerPrecision>
    let budget: MixedPrecision.Budget
    let quantiser: QuantizeStatic
    let correctsBiases: Bool
    let sampleLimit: Int
    let measure: Divergence?

    private static let technique = MixedPrecision.technique

    func run(_ parent: Graph, in context: CompressionContext) throws -> StepResult {
        let given = try context.requiredCalibration(for: Self.technique)
        let data = try KeptBatches(given)
        let samples = FirstBatches(data, limit: sampleLimit)
        let quantisation = try StaticQuantisation(parent, quantiser, data: data, technique: Self.technique, in: context)
        let whole = quantisation.graph
        let measure = measure ?? whole.answerDivergence
        let answers = try ParentAnswers(whole, divergence: measure, data: samples, in: context)
        let means = try correctsBiases ? ChannelMeans(whole, of: whole, data: samples, in: context) : nil

        let nodes = quantisation.layers.keys.sorted()
        let readers = Dictionary(grouping: nodes) { quantisation.layers[$0].map(\.input) }
        let values = quantisation.values
        func candidate(weightOf node: Int?, value: ValueID?, name: String, correcting scope: [String]) -> SensitivityCandidate {
            SensitivityCandidate(layer: name, label: node == nil ? "activation" : "weight") { _, _ in
                let graph = try quantisation.graph(roundingWeightOf: node, value: value)
                guard let means, !scope.isEmpty else { return graph }
                return try means.corrected(graph, scope: Scope(names: scope)).graph
            }
        }
        let entries = try answers.scan(
            nodes.map { node in
                let name = quantisation.layers[node]?.name ?? ""
                return candidate(weightOf: node, value: nil, name: name, correcting: [name])
            }
                + values.map { value in
                    candidate(weightOf: nil, value: value, name: whole[value].name, correcting: (readers[value] ?? []).compactMap { quantisation.layers[$0]?.name })
                })
        let losses = entries.map { max(0, $0.divergence) }
        let timing = try budget.milliseconds == nil ? nil : NetworkTiming(quantisation, data: samples, in: context)
        var layers = zip(nodes, losses).map { node, loss in
            let layer = quantisation.layers[node]
            return CutProblem.Layer(
                weightLoss: loss, floatBytes: layer.map { 3 * $0.weight.shape.elementCount - 4 * $0.weight.shape[0] } ?? 0,
                floatTime: timing?.floatTimes[node] ?? 0, allowsFloat: precisions.contains(.float), allowsRoundedWeight: precisions.contains(.int8Weights))
        }
        let places = Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($1, $0) })
        let makers = quantisation.makers
        let shared = zip(values, losses.dropFirst(nodes.count)).map { value, loss in
            let touching = Set((readers[value] ?? []) + (makers[value].map { [$0] } ?? [])).compactMap { places[$0] }.sorted()
            return CutProblem.Value(layers: touching, loss: loss, borderTime: timing?.borderTimes[value] ?? 0)
        }
        let results = quantisation.results
        for (place, node) in nodes.enumerated() {
            layers[place].maker = quantisation.layers[node].flatMap { makers[$0.input] }.flatMap { places[$0] }
            let users = results[node].map { result in whole.nodes.indices.filter { whole.nodes[$0].inputs.contains(result) } } ?? []
            // A sum beside a float layer is one of floats.
            if users.allSatisfy({ places[$0] != nil }) { layers[place].readers = users.compactMap { places[$0] } }
        }
        let integers = try quantisation.graph()
        var tried: [CutProblem.Outcome] = []
        var (problem, solution, chosen): (CutProblem, CutProblem.Solution, [Int: LayerPrecision])
        var useless: Set<Int>
        repeat {
            problem = CutProblem(layers: layers, values: shared)
            solution = try solve(problem, integers.graph.weightBytes, quantisation, timing)
            chosen = Dictionary(uniqueKeysWithValues: zip(nodes, solution.outcome.precisions))
            tried += solution.tried
            useless = quantisation.betweenIntegers(chosen)
            for node in useless { places[node].map { layers[$0].allowsFloat = false } }
        } while !useless.isEmpty
        var (graph, reports) = try quantisation.graph(chosen)
        // Few samples tell layers apart; what is written is corrected on all of them.
        let finalMeans = try correctsBiases ? ChannelMeans(whole, of: whole, data: data, in: context) : nil
        func finished(_ graph: Graph) throws -> (graph: Graph, reports: [TensorReport], loss: Double) {
            var (graph, reports): (Graph, [TensorReport]) = (graph, [])
            if let finalMeans {
                (graph, reports) = try finalMeans.corrected(graph, scales: true) { try context.progress(StepProgress(technique: Self.technique, detail: $0, done: $1, total: $2)) }
            }
            return (graph, reports, try answers.difference(to: graph, name: Self.technique).divergence)
        }
        let result = try finished(graph), plain = try finished(integers.graph)
        graph = result.graph
        reports += result.reports
        let floats = nodes.filter { chosen[$0] != .int8 }.compactMap { quantisation.layers[$0].map { ($0.name, chosen[$0.node] ?? .int8) } }
        var step = try StepResult(technique: Self.technique, before: parent, after: graph, tensors: reports, notes: [
            "not in int8: " + (floats.isEmpty ? "none" : floats.map { "\($0.0) \($0.1.rawValue)" }.joined(separator: ", ")),
            String(
                format: "loss (%@): %.3g expected, %.3g measured; all layers in int8: %.3g expected, %.3g measured; no choice within the budget can be expected below %.3g",
                measure.text, solution.outcome.loss, result.loss, problem.outcome(nodes.map { _ in .int8 }).loss, plain.loss, budget.loss == nil ? solution.bound : solution.outcome.loss),
        ])
        if let timing {
            step.report.notes.append(
                String(
                    format: "a run: %.3f ms expected, %.3f ms with all layers in int8, %.3f ms in f32", (timing.integerRun + solution.outcome.time) / 1e6,
                    timing.integerRun / 1e6, timing.floatRun / 1e6))
        }
        step.report.sensitivities = entries
        let base = integers.graph.weightBytes
        step.report.choices = tried.map { ChoicePoint(weightBytes: base + $0.bytes, loss: $0.loss, kind: .expected) } + [
            ChoicePoint(weightBytes: plain.graph.weightBytes, loss: plain.loss, kind: .lowest),
            ChoicePoint(weightBytes: graph.weightBytes, loss: result.loss, kind: .chosen),
        ]
        return step
    }

    private func solve(
        _ problem: CutProblem, _ integerBytes: Int, _ quantisation: StaticQuantisation, _ timing: NetworkTiming?
    ) throws -> CutProblem.Solution {
        let elements = quantisation.layers.values.reduce(0) { $0 + $1.weight.shape.elementCount }
        if let loss = budget.loss {
            guard let solution = problem.fewestBytes(loss: loss) else {
                let least = problem.leastLoss
                throw MixedPrecision.Budget.missed(
                    "a loss of \(loss)", String(format: "the least that these precisions can be expected to lose is %.3g", least),
                    String(format: "Raise the budget by %.3g, or allow f32.", least - loss))
            }
            return solution
        }
        var bytes = budget.bytes.map { $0 - integerBytes }
        if let bits = budget.bits {
            let room = Int(bits / 8 * Double(elements)) - elements
            bytes = min(bytes ?? .max, room)
        }
        let time = timing.flatMap { timing in budget.milliseconds.map { $0 * 1e6 - timing.integerRun } }
        if let bytes, bytes < 0 {
            throw MixedPrecision.Budget.missed(
                "\(integerBytes + bytes) bytes", "with every layer in int8 the weights take \(integerBytes)", "Raise the budget by \(-bytes) bytes, or prune first.")
        }
        guard let solution = problem.leastLoss(bytes: bytes, time: time) else {
            let (least, allowed) = ((timing?.integerRun ?? 0) / 1e6, budget.milliseconds ?? 0)
            throw MixedPrecision.Budget.missed(
                "\(allowed) ms", String(format: "with every layer in int8 a run takes %.3f ms", least), String(format: "Raise the budget by %.3f ms, or prune first.", least - allowed))
        }
        return solution
    }
}

extension Scope {
    /// These very names: what means something in patterns stands for itself.
    fileprivate init(names: [String]) { self.init(include: names.map { $0.replacing("*", with: "?") }) }
}

extension Divergence {
    /// For people.
    var text: String {
        switch self {
        case .logits, .probabilities: "KL divergence a row, nats"
        case .relativeError: "relative squared error"
        }
    }
}

extension Graph {
    /// How the answers of a network are compared: rows of one number a class as logits.
    fileprivate var answerDivergence: Divergence {
        let suiting = Divergence(suiting: self)
        guard suiting == .relativeError, let output = outputs.first, self[output].type.shape.count == 2, let classes = self[output].type.shape.last?.fixed, classes > 1,
            outputs.count == 1
        else { return suiting }
        return .logits
    }
}
