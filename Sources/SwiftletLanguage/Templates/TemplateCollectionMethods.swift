// The methods of lists and dictionaries. Source: the Python 3 standard library reference.
// Hugging Face's sandbox forbids the ones that change a list or a mapping; other runtimes allow them and templates written for those use
// them, so they work here. They change only the render's own copy of the data.

import SwiftletTensor

enum TemplateListMethod: String {
    case append, clear, copy, count, extend, index, insert, pop, remove, reverse

    var changesList: Bool {
        switch self {
        case .copy, .count, .index: false
        case .append, .clear, .extend, .insert, .pop, .remove, .reverse: true
        }
    }
}

enum TemplateDictionaryMethod: String {
    case clear, copy, get, items, keys, pop, setdefault, update, values
}

extension TemplateEvaluator {
    func call(_ method: TemplateListMethod, on list: ListObject, _ arguments: CallArguments) throws -> RuntimeValue {
        switch method {
        case .append:
            try charge(16)
            list.elements.append(try bind(arguments, to: ["object"], required: 1, of: "append")[0] ?? .none)
        case .extend:
            list.elements += try elements(of: bind(arguments, to: ["iterable"], required: 1, of: "extend")[0] ?? .none)
        case .insert:
            let values = try bind(arguments, to: ["index", "object"], required: 2, of: "insert")
            let index = try integerArgument(values[0], default: 0, of: "insert")
            try charge(list.elements.count, times: 16)
            let place = min(max(index < 0 ? index + list.elements.count : index, 0), list.elements.count)
            list.elements.insert(values[1] ?? .none, at: place)
        case .pop:
            let index = try integerArgument(bind(arguments, to: ["index"], of: "pop")[0], default: -1, of: "pop")
            let place = index < 0 ? index + list.elements.count : index
            guard list.elements.indices.contains(place) else { throw failure("pop from an empty list or beyond its end") }
            try charge(list.elements.count - place, times: 16)
            return list.elements.remove(at: place)
        case .remove:
            let value = try bind(arguments, to: ["value"], required: 1, of: "remove")[0] ?? .none
            list.elements.remove(at: try place(of: value, in: list))
        case .index: return .int(try place(of: bind(arguments, to: ["value"], required: 1, of: "index")[0] ?? .none, in: list))
        case .count:
            let value = try bind(arguments, to: ["value"], required: 1, of: "count")[0] ?? .none
            return .int(try list.elements.count { try areEqual($0, value) })
        case .copy:
            _ = try bind(arguments, to: [], of: "copy")
            return try makeList(list.elements, kind: list.kind)
        case .clear: list.elements = []
        case .reverse:
            try charge(list.elements.count, times: 16)
            list.elements.reverse()
        }
        return .none
    }

    private func place(of value: RuntimeValue, in list: ListObject) throws -> Int {
        guard let place = try list.elements.firstIndex(where: { try areEqual($0, value) }) else { throw failure("the value is not in the list") }
        return place
    }

    func call(_ method: TemplateDictionaryMethod, on dictionary: DictionaryObject, _ arguments: CallArguments) throws -> RuntimeValue {
        switch method {
        case .get:
            let values = try bind(arguments, to: ["key", "default"], required: 1, of: "get")
            return try dictionary.value(key(of: values[0] ?? .none)) ?? values[1] ?? .none
        case .setdefault:
            let values = try bind(arguments, to: ["key", "default"], required: 1, of: "setdefault")
            let (name, fallback) = (values[0] ?? .none, values[1] ?? .none)
            let key = try key(of: name)
            if let value = dictionary.value(key) { return value }
            try charge(64)
            dictionary.set(key, named: name, to: fallback)
            return fallback
        case .pop:
            let values = try bind(arguments, to: ["key", "default"], required: 1, of: "pop")
            try charge(dictionary.entries.count, times: 16)
            if let value = try dictionary.remove(key(of: values[0] ?? .none)) ?? values[1] { return value }
            throw failure("pop found no such key")
        case .update:
            guard arguments.positional.count <= 1 else { throw failure("update takes at most one mapping") }
            if let source = arguments.positional.first { try merge(source, into: dictionary) }
            for (name, value) in arguments.named { dictionary.set(name, to: value) }
            return .none
        case .items, .keys, .values, .copy, .clear: _ = try bind(arguments, to: [], of: method.rawValue)
        }
        switch method {
        case .items: return try pairs(of: dictionary)
        case .keys: return try makeList(dictionary.entries.map(\.key))
        case .values: return try makeList(dictionary.entries.map(\.value))
        case .clear:
            dictionary.drop()
            return .none
        default:
            let copy = try makeDictionary()
            try merge(.dictionary(dictionary), into: copy)
            return .dictionary(copy)
        }
    }
}
