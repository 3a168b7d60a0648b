// `tojson` as Hugging Face defines it for chat templates: Python's `json.dumps(value, ensure_ascii=False, …)`, without HTML escapes.

import SwiftletTensor

/// The layout of JSON text, in the terms of `json.dumps`.
private struct JSONLayout {
    var indentation: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var sortsKeys = false
    var escapesNonASCII = false
}

extension TemplateEvaluator {
    func json(_ value: RuntimeValue, _ arguments: CallArguments) throws -> String {
        let values = try bind(arguments, to: ["ensure_ascii", "indent", "separators", "sort_keys"], of: "tojson")
        var layout = JSONLayout(sortsKeys: try flagArgument(values[3], default: false), escapesNonASCII: try flagArgument(values[0], default: false))
        if let indent = values[1], !indent.isNone {
            if case .string(let text) = indent {
                layout.indentation = text
            } else {
                layout.indentation = try repeated(" ", integerArgument(indent, default: 0, of: "tojson"))
            }
            layout.itemSeparator = ","
        }
        if let separators = values[2], !separators.isNone {
            let pair = try elements(of: separators)
            guard pair.count == 2, case .string(let item) = pair[0], case .string(let key) = pair[1] else {
                throw failure("tojson's separators are two strings")
            }
            (layout.itemSeparator, layout.keySeparator) = (item, key)
        }
        var text = ""
        try append(value, to: &text, layout, level: 0)
        return text
    }

    private func append(_ value: RuntimeValue, to text: inout String, _ layout: JSONLayout, level: Int) throws {
        try charge(16)
        switch value {
        case .none: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .int(let value): text += "\(value)"
        case .double(let value): text += jsonNumber(value)
        case .string(let value): try appendQuoted(value, to: &text, layout)
        case .list(let list): try nested { try append(list, to: &text, layout, level: level) }
        case .dictionary(let dictionary): try nested { try append(dictionary, to: &text, layout, level: level) }
        case .undefined(let reason): throw failure("\(reason), so it has no JSON form", remedy: "Check that the value exists before using it.")
        case .namespace, .loop, .callable: throw failure("a value of type '\(value.typeName)' has no JSON form")
        }
    }

    private func jsonNumber(_ value: Double) -> String {
        value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : PythonText.number(value)
    }

    private func appendBreak(to text: inout String, _ layout: JSONLayout, level: Int) throws {
        guard let indentation = layout.indentation else { return }
        try charge(1 + indentation.utf8.count * level)
        text += "\n"
        for _ in 0..<level { text += indentation }
    }

    private func append(_ list: ListObject, to text: inout String, _ layout: JSONLayout, level: Int) throws {
        guard !list.elements.isEmpty else {
            text += "[]"
            return
        }
        text += "["
        for (index, element) in list.elements.enumerated() {
            if index > 0 { try appendSeparator(layout.itemSeparator, to: &text) }
            try appendBreak(to: &text, layout, level: level + 1)
            try append(element, to: &text, layout, level: level + 1)
        }
        try appendBreak(to: &text, layout, level: level)
        text += "]"
    }

    private func append(_ dictionary: DictionaryObject, to text: inout String, _ layout: JSONLayout, level: Int) throws {
        guard !dictionary.entries.isEmpty else {
            text += "{}"
            return
        }
        var entries = dictionary.entries
        if layout.sortsKeys { entries = try sortedByKey(entries) }
        text += "{"
        for (index, entry) in entries.enumerated() {
            if index > 0 { try appendSeparator(layout.itemSeparator, to: &text) }
            try appendBreak(to: &text, layout, level: level + 1)
            try appendQuoted(jsonKey(entry.key), to: &text, layout)
            try appendSeparator(layout.keySeparator, to: &text)
            try append(entry.value, to: &text, layout, level: level + 1)
        }
        try appendBreak(to: &text, layout, level: level)
        text += "}"
    }

    private func appendSeparator(_ separator: String, to text: inout String) throws {
        try charge(separator.utf8.count)
        text += separator
    }

    private func jsonKey(_ key: RuntimeValue) throws -> String {
        switch key {
        case .string(let text): text
        case .none: "null"
        case .bool(let value): value ? "true" : "false"
        case .int(let value): "\(value)"
        case .double(let value): jsonNumber(value)
        default: throw failure("a key of type '\(key.typeName)' has no JSON form")
        }
    }

    private func appendQuoted(_ value: String, to text: inout String, _ layout: JSONLayout) throws {
        try charge(value.utf8.count, times: 2)
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{C}": text += "\\f"
            default:
                if scalar.value < 0x20 || (layout.escapesNonASCII && scalar.value > 0x7E) {
                    for unit in String(scalar).utf16 {
                        let hex = String(unit, radix: 16)
                        text += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
                    }
                } else {
                    text.unicodeScalars.append(scalar)
                }
            }
        }
        text += "\""
    }
}
