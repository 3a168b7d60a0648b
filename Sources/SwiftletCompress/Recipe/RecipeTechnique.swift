// How techniques appear in recipes: what parameters they take, and how a step is made from them.
import SwiftletRuntime

/// A technique that recipes and flags can ask for. List it in `Techniques.all`.
package protocol RecipeTechnique: CompressionStep {
    /// One line for listings.
    static var summary: String { get }
    /// What it takes besides the scope.
    static var parameters: [RecipeParameter] { get }

    /// A step. The values are complete and inside their ranges; throws `SwiftletError.invalidArgument` where they contradict each other.
    init(_ values: RecipeValues) throws
}

/// Every technique, in the order listings show.
package enum Techniques {
    package static let all: [any RecipeTechnique.Type] = [
        CastWeights.self, QuantizeWeights.self, GPTQ.self, AWQ.self, MixedPrecision.self,
        CrossLayerEqualisation.self, SmoothQuant.self, QuantizeStatic.self, BiasCorrection.self, QuantizeDynamic.self,
        PruneByMagnitude.self, PruneByWanda.self, PruneBySparseGPT.self, PruneByActivationFrequency.self, PruneChannels.self,
        PruneNeurons.self, PruneHeads.self, PruneLayers.self, FactoriseBySVD.self, FactoriseByWhitenedSVD.self,
        FactoriseByTucker.self, FactoriseSpatially.self,
    ]
}

/// A parameter of a technique.
package struct RecipeParameter: Sendable {
    package enum Kind: Sendable {
        case number(ClosedRange<Double>)
        case integer(ClosedRange<Int>)
        case flag
        case choice([String])
        case text
    }

    package let name: String
    package let kind: Kind
    /// Nil when the recipe must give it.
    package let fallback: RecipeValue?
    /// A sentence fragment with units.
    package let help: String

    package init(_ name: String, _ kind: Kind, default fallback: RecipeValue? = nil, _ help: String) {
        self.name = name
        self.kind = kind
        self.fallback = fallback
        self.help = help
    }

    /// The same with something in front of the help.
    func helping(_ prefix: String) -> RecipeParameter { RecipeParameter(name, kind, default: fallback, prefix + help) }
}

/// A value of a parameter.
package enum RecipeValue: Sendable, Hashable {
    case number(Double)
    case integer(Int)
    case flag(Bool)
    case text(String)
}

/// The values of one step, checked against the technique's parameters.
package struct RecipeValues: Sendable {
    package let scope: Scope
    private let values: [String: RecipeValue]

    package init(scope: Scope, values: [String: RecipeValue]) {
        self.scope = scope
        self.values = values
    }

    package func number(_ name: String) throws -> Double {
        switch values[name] {
        case .number(let value): value
        case .integer(let value): Double(value)
        default: throw missing(name)
        }
    }

    package func integer(_ name: String) throws -> Int {
        if case .integer(let value) = values[name] { value } else { throw missing(name) }
    }

    package func flag(_ name: String) throws -> Bool {
        if case .flag(let value) = values[name] { value } else { throw missing(name) }
    }

    /// A text or the word of a choice.
    package func text(_ name: String) throws -> String {
        if case .text(let value) = values[name] { value } else { throw missing(name) }
    }

    package func has(_ name: String) -> Bool { values[name] != nil }

    private func missing(_ name: String) -> SwiftletError {
        .invalidArgument(name: name, reason: "the step has no such value", remedy: "Declare it among the technique's parameters.")
    }
}
