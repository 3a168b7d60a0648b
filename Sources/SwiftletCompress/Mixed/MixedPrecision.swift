// Each layer in the precision it can bear: sensitivity measured, then the best choice within budgets of bytes, of time or of loss.
//
// A language model chooses among block formats of its matrices (MixedMatrices), a network among integers and floats for its convolutions and linear
// layers (MixedNetwork).
import Foundation
import SwiftletRuntime

/// Chooses a format for each matrix, or a precision for each layer of a network.
public struct MixedPrecision: CompressionStep {
    public static let technique = "mixed"

    /// What the result may take. Several limits hold together, but for `loss`, which stands alone: of all choices that lose no more, the smallest.
    public struct Budget: Sendable, Hashable {
        /// Bytes of all weights of the model.
        public var bytes: Int?
        /// Bits a weight, on average over the layers of the scope.
        public var bits: Double?
        /// Milliseconds on this machine: those that one token's products with the matrices of the scope take, or one run of a network.
        public var milliseconds: Double?
        /// The sum of what the layers lose: nats of KL divergence where answers are logits or probabilities, else the relative squared error.
        public var loss: Double?

        public init(bytes: Int? = nil, bits: Double? = nil, milliseconds: Double? = nil, loss: Double? = nil) {
            self.bytes = bytes
            self.bits = bits
            self.milliseconds = milliseconds
            self.loss = loss
        }

        public static func bytes(_ bytes: Int) -> Budget { Budget(bytes: bytes) }
        public static func bits(_ bits: Double) -> Budget { Budget(bits: bits) }
        public static func milliseconds(_ milliseconds: Double) -> Budget { Budget(milliseconds: milliseconds) }
        public static func loss(_ loss: Double) -> Budget { Budget(loss: loss) }

        /// What is thrown when a limit cannot be kept: `least` says how near the best choice comes.
        static func missed(_ limit: String, _ least: String, _ remedy: String) -> SwiftletError {
            .invalidArgument(name: "budget", reason: "\(limit) cannot be met: \(least)", remedy: remedy)
        }
    }

    /// What is chosen among.
    public enum Choices: Sendable, Hashable {
        /// Formats of matrices.
        case formats([WeightFormat])
        /// How layers of a network compute; `int8` is always among them.
        case precisions([LayerPrecision])
    }

    public var scope: Scope
    /// Nil for what suits the model: `q8_0`, `q6_k`, `q5_1` and `iq4_nl` for a language model, `int8` and `f32` for a network.
    public var choices: Choices?
    public var budget: Budget
    /// Batches of the calibration data that losses are measured on; nil for 4 windows of a text, 32 samples for a network.
    public var windowLimit: Int?
    /// How activations of a network are rounded; its scope is not looked at.
    public var quantiser: QuantizeStatic
    /// Whether biases of a network's layers take back the shift of means that rounding causes, as the step bias-correction does.
    public var correctsBiases: Bool
    /// How answers are compared; nil for what suits the model.
    public var measure: Divergence?

    public init(
        choices: Choices? = nil, budget: Budget, scope: Scope = .all, windowLimit: Int? = nil, quantiser: QuantizeStatic = QuantizeStatic(), correctsBiases: Bool = true,
        measure: Divergence? = nil
    ) {
        self.choices = choices
        self.budget = budget
        self.scope = scope
        self.windowLimit = windowLimit
        self.quantiser = quantiser
        self.correctsBiases = correctsBiases
        self.measure = measure
    }

    /// Formats of matrices.
    public init(_ formats: [WeightFormat], budget: Budget, scope: Scope = .all, windowLimit: Int? = nil) {
        self.init(choices: .formats(formats), budget: budget, scope: scope, windowLimit: windowLimit)
    }

    static let usualFormats: [WeightFormat] = [.block(.q8_0), .block(.q6_K), .block(.q5_1), .block(.iq4_nl)]

    /// Throws `SwiftletError.invalidArgument` without calibration data, when `scope` takes nothing that could be lowered, and when the budget cannot
    /// be met, saying by how much.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let suiting: Choices = Divergence(suiting: graph) == .logits ? .formats(Self.usualFormats) : .precisions([.int8, .float])
        switch choices ?? suiting {
        case .formats(let formats):
            guard !formats.isEmpty else {
                throw SwiftletError.invalidArgument(name: "formats", reason: "there is none to choose from", remedy: "Name some, such as q8_0,q4_k.")
            }
            return try MixedMatrices(formats: formats, budget: budget, scope: scope, windowLimit: windowLimit ?? 4, measure: measure).run(graph, in: context)
        case .precisions(let precisions):
            var quantiser = quantiser
            quantiser.scope = scope
            return try MixedNetwork(
                precisions: Set(precisions), budget: budget, quantiser: quantiser, correctsBiases: correctsBiases, sampleLimit: windowLimit ?? 32, measure: measure
            ).run(graph, in: context)
        }
    }
}

extension MixedPrecision: RecipeTechnique {
    package static let summary = "Measures what each layer loses in each format, and takes the best choice within a budget"
    package static let parameters = [
        RecipeParameter(
            "formats", .text, default: .text(""),
            "formats to choose from, with commas between: of blocks (without: q8_0,q6_k,q5_1,iq4_nl for language models), or for networks int8, int8-weights and f32 (without: int8,f32)"),
        RecipeParameter("bits", .number(0...32), default: .number(0), "budget: bits a weight on average, 0 for none"),
        RecipeParameter("size", .number(0...1e6), default: .number(0), "budget: all weights in MB (10⁶ bytes), 0 for none"),
        RecipeParameter("latency", .number(0...1e6), default: .number(0), "budget: matrix products of one token, or a run of a network, in ms, 0 for none"),
        RecipeParameter("loss", .number(0...1e6), default: .number(0), "budget: summed loss, for the smallest model that loses no more; 0 for none"),
        RecipeParameter("windows", .integer(0...1_000_000), default: .integer(0), "batches of the calibration data that losses are measured on, 0 for 4 windows of text or 32 samples"),
        RecipeParameter("measure", .choice(["auto", "logits", "probabilities", "error"]), default: .text("auto"), "what losses are of: KL divergence of logits or probabilities, or squared error"),
        RecipeParameter("correction", .flag, default: .flag(true), "networks: whether biases take back the shift of means, as bias-correction does"),
    ] + QuantizeStatic.parameters.map { $0.helping("networks: ") }

    package init(_ values: RecipeValues) throws {
        func limit(_ name: String) throws -> Double? { try values.number(name) > 0 ? try values.number(name) : nil }
        let budget = Budget(bytes: try limit("size").map { Int($0 * 1e6) }, bits: try limit("bits"), milliseconds: try limit("latency"), loss: try limit("loss"))
        let others = [budget.bytes != nil, budget.bits != nil, budget.milliseconds != nil].count { $0 }
        guard budget.loss == nil ? others > 0 : others == 0 else {
            throw SwiftletError.invalidArgument(
                name: "budget", reason: others == 0 ? "none is given" : "a loss stands beside another limit", remedy: "Give bits, size or latency, or loss alone.")
        }
        let names = try values.text("formats").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        let precisions = names.compactMap(LayerPrecision.init)
        let choices: Choices?
        if names.isEmpty {
            choices = nil
        } else if precisions.count == names.count, precisions.contains(.int8) {
            choices = .precisions(precisions)
        } else {
            choices = .formats(try names.map { try FormatPlan($0).single })
        }
        let measure: Divergence? =
            switch try values.text("measure") {
            case "logits": .logits
            case "probabilities": .probabilities
            case "error": .relativeError
            default: nil
            }
        let windows = try values.integer("windows")
        self.init(
            choices: choices, budget: budget, scope: values.scope, windowLimit: windows == 0 ? nil : windows, quantiser: try QuantizeStatic(values),
            correctsBiases: try values.flag("correction"), measure: measure)
    }
}
