// What recipes can ask for, as data and as a page of text: made from the declarations that recipes are checked against.
import SwiftletRuntime

/// A technique and its parameters.
package struct TechniqueListing: Sendable, Encodable {
    package struct Parameter: Sendable, Encodable {
        package let name: String
        package let type: String
        package let minimum, maximum: Double?
        package let choices: [String]?
        /// Nil when the recipe must give it.
        package let fallback: RecipeValue?
        package let isRequired: Bool
        package let help: String
        fileprivate let allowed: String

        private enum CodingKeys: String, CodingKey {
            case name, type, minimum, maximum, choices, fallback = "default", isRequired = "required", help
        }

        init(_ parameter: RecipeParameter) {
            name = parameter.name
            help = parameter.help
            fallback = parameter.fallback
            isRequired = parameter.fallback == nil
            allowed = parameter.kind.description
            var (low, high, words): (Double?, Double?, [String]?) = (nil, nil, nil)
            switch parameter.kind {
            case .number(let range):
                type = "number"
                (low, high) = (range.lowerBound, range.upperBound < .greatestFiniteMagnitude ? range.upperBound : nil)
            case .integer(let range):
                type = "integer"
                (low, high) = (Double(range.lowerBound), range.upperBound < .max ? Double(range.upperBound) : nil)
            case .flag: type = "flag"
            case .choice(let choices):
                type = "choice"
                words = choices
            case .text: type = "text"
            }
            (minimum, maximum, choices) = (low, high, words)
        }
    }

    package let technique: String
    package let summary: String
    package let parameters: [Parameter]

    private init(_ technique: any RecipeTechnique.Type) {
        self.technique = technique.technique
        summary = technique.summary
        parameters = technique.parameters.map(Parameter.init)
    }

    /// Those of `techniques`, in their order.
    package static func all(_ techniques: [any RecipeTechnique.Type] = Techniques.all) -> [TechniqueListing] { techniques.map(TechniqueListing.init) }

    /// A page for people.
    package static func text(_ techniques: [TechniqueListing]) -> String {
        var lines: [String] = []
        for technique in techniques {
            lines.append("\(technique.technique): \(technique.summary)")
            let width = technique.parameters.map(\.name.count).max() ?? 0
            for parameter in technique.parameters {
                let name = parameter.name + String(repeating: " ", count: width - parameter.name.count)
                lines.append("  \(name)  \(parameter.help); \(parameter.allowed) (\(parameter.fallback.map { "default \($0)" } ?? "required"))")
            }
            lines.append("")
        }
        lines.append("Every technique takes include and exclude: patterns of weight names (* any run of characters, ? one).")
        return lines.joined(separator: "\n") + "\n"
    }
}

extension RecipeValue: Encodable, CustomStringConvertible {
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .flag(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        }
    }

    package var description: String {
        switch self {
        case .number(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .flag(let value): "\(value)"
        case .text(let value): value
        }
    }
}
