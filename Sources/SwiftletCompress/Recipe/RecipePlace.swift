// Where in a recipe something stands, and errors that say so.
import SwiftletRuntime

/// A line and column of a recipe, both from 1; columns count Unicode scalars.
struct RecipePlace: Sendable, Hashable {
    let source: String
    let line: Int
    let column: Int

    func error(_ reason: String, _ remedy: String) -> SwiftletError {
        .syntax(source: source, line: line, column: column, reason: reason, remedy: remedy)
    }
}

/// A word of a recipe.
struct RecipeWord: Sendable, Hashable {
    let text: String
    /// Whether it stood in quotes, and so is a text whatever it looks like.
    let isQuoted: Bool
    let place: RecipePlace
}

/// What a key of a step has.
enum RecipeOperand: Sendable {
    case word(RecipeWord)
    case list([RecipeWord], RecipePlace)
    case other(RecipePlace)

    var place: RecipePlace {
        switch self {
        case .word(let word): word.place
        case .list(_, let place), .other(let place): place
        }
    }
}
