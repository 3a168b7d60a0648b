// Filters that work on sequences and mappings. Where Jinja gives a generator these give a list: templates see the same elements.

import Foundation
import SwiftletTensor

extension TemplateEvaluator {
    // MARK: Shape

    func sequenceFilter(_ filter: TemplateFilter, _ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        switch filter {
        case .join: return try joined(value, arguments)
        case .dictsort: return try sortedEntries(value, arguments)
        case .batch: return try batches(value, arguments)
        case .slice: return try slices(value, arguments)
        default: break
        }
        _ = try bind(arguments, to: [], of: filter.rawValue)
        switch filter {
        case .length, .count: return .int(try length(of: value))
        case .first: return try elements(of: value).first ?? .undefined("no first item, the sequence was empty")
        case .last: return try elements(of: value).last ?? .undefined("no last item, the sequence was empty")
        case .list: return try makeList(elements(of: value))
        case .reverse:
            if case .string(let text) = value {
                try charge(text.utf8.count)
                var reversed = String.UnicodeScalarView()
                reversed.append(contentsOf: text.unicodeScalars.reversed())
                return .string(String(reversed))
            }
            return try makeList(elements(of: value).reversed())
        default:
            if value.isUndefined { return try makeList([]) }
            guard case .dictionary(let dictionary) = value else { throw failure("items takes a mapping, not '\(value.typeName)'") }
            return try pairs(of: dictionary)
        }
    }

    /// The number of items, characters or entries.
    func length(of value: RuntimeValue) throws -> Int {
        switch value {
        case .undefined: return 0
        case .string(let text):
            try charge(text.utf8.count)
            return text.unicodeScalars.count
        case .list(let list): return list.elements.count
        case .dictionary(let dictionary): return dictionary.entries.count
        case .loop(let loop): return loop.items.count
        default: throw failure("a value of type '\(value.typeName)' has no length")
        }
    }

    /// The entries as (key, value) tuples.
    func pairs(of dictionary: DictionaryObject) throws -> RuntimeValue {
        try makeList(dictionary.entries.map { try makeList([$0.key, $0.value], kind: .tuple) })
    }

    private func joined(_ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["d", "attribute"], of: "join")
        let separator = try text(of: values[0] ?? .string(""))
        let path = try attributePath(values[1])
        var result = ""
        for (index, element) in try elements(of: value).enumerated() {
            let piece = try text(of: path.map { try follow($0, from: element) } ?? element)
            try charge(piece.utf8.count + separator.utf8.count)
            if index > 0 { result += separator }
            result += piece
        }
        return .string(result)
    }

    private func batches(_ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["linecount", "fill_with"], required: 1, of: "batch")
        let size = try integerArgument(values[0], default: 1, of: "batch")
        guard size > 0 else { throw failure("batch needs a positive count") }
        let items = try elements(of: value)
        var rows: [RuntimeValue] = []
        var start = 0
        while start < items.count {
            let end = start + min(size, items.count - start)
            var row = Array(items[start..<end])
            if let fill = values[1], !fill.isNone {
                try charge(size - row.count, times: 16)
                row += Array(repeating: fill, count: size - row.count)
            }
            rows.append(try makeList(row))
            start = end
        }
        return try makeList(rows)
    }

    private func slices(_ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["slices", "fill_with"], required: 1, of: "slice")
        let count = try integerArgument(values[0], default: 1, of: "slice")
        guard count > 0 else { throw failure("slice needs a positive count") }
        try charge(count, times: 256)
        let items = try elements(of: value)
        let (short, longer) = items.count.quotientAndRemainder(dividingBy: count)
        var columns: [RuntimeValue] = []
        var start = 0
        for index in 0..<count {
            let end = start + short + (index < longer ? 1 : 0)
            var column = Array(items[start..<end])
            if let fill = values[1], !fill.isNone, index >= longer { column.append(fill) }
            columns.append(try makeList(column))
            start = end
        }
        return try makeList(columns)
    }

    // MARK: Selection

    /// The path of an `attribute` argument: names and indices, outermost first.
    private func attributePath(_ value: RuntimeValue?) throws -> [RuntimeValue]? {
        switch value {
        case nil, .some(.none): return nil
        case .int(let index): return [.int(index)]
        case .string(let path):
            return path.split(separator: ".", omittingEmptySubsequences: false).map { part in
                !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(part).map { .int($0) } ?? .string(String(part)) : .string(String(part))
            }
        case .some(let other): throw failure("an attribute is named by a string or an integer, not '\(other.typeName)'")
        }
    }

    private func follow(_ path: [RuntimeValue], from value: RuntimeValue) throws -> RuntimeValue {
        var value = value
        for part in path {
            try charge(16)
            value = try item(part, of: value)
        }
        return value
    }

    func selectionFilter(_ filter: TemplateFilter, _ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        // Jinja lets whatever is false, None and 0 included, pass for an empty sequence here.
        let items = try isTrue(value) ? elements(of: value) : []
        if filter == .map { return try makeList(mapped(items, arguments)) }
        var rest = arguments.positional[...]
        var path: [RuntimeValue]?
        if filter == .selectattr || filter == .rejectattr {
            guard let attribute = rest.popFirst(), let names = try attributePath(attribute) else {
                throw failure("\(filter.rawValue) needs the name of an attribute")
            }
            path = names
        }
        let testName = try rest.popFirst().map { try stringArgument($0, default: "", of: filter.rawValue) }
        let testArguments = CallArguments(positional: Array(rest), named: arguments.named)
        let keeps = filter == .select || filter == .selectattr
        let selected = try items.filter { item in
            try charge(16)
            let subject = try path.map { try follow($0, from: item) } ?? item
            let holds = try testName.map { try test($0, subject, testArguments) } ?? isTrue(subject)
            return holds == keeps
        }
        return try makeList(selected)
    }

    private func mapped(_ items: [RuntimeValue], _ arguments: CallArguments) throws -> [RuntimeValue] {
        if arguments.positional.isEmpty, let attribute = arguments.named.first(where: { $0.name == "attribute" }) {
            let path = try attributePath(attribute.value) ?? []
            let fallback = arguments.named.first { $0.name == "default" }?.value
            guard arguments.named.count == (fallback == nil ? 1 : 2) else { throw failure("map takes attribute and default") }
            return try items.map { item in
                let value = try follow(path, from: item)
                return value.isUndefined ? fallback ?? value : value
            }
        }
        guard case .string(let name)? = arguments.positional.first else { throw failure("map needs the name of a filter or an attribute") }
        let rest = CallArguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
        return try items.map { item in
            try charge(16)
            return try nested { try self.filter(name, item, rest) }
        }
    }

    // MARK: Order

    /// What a value is ordered by: itself, or its lower-case form for text when case does not matter.
    private func orderKey(_ value: RuntimeValue, caseSensitive: Bool) throws -> RuntimeValue {
        guard !caseSensitive, case .string(let text) = value else { return value }
        return try makeString(text.lowercased())
    }

    /// A stable sort, by merging, whose comparison may throw. `reverse` keeps equal elements in their order, as Python does.
    private func sorted<Element>(_ items: [Element], reverse: Bool, by key: (Element) throws -> [RuntimeValue]) throws -> [Element] {
        var keyed = try items.map { (item: $0, keys: try key($0)) }
        func precedes(_ left: [RuntimeValue], _ right: [RuntimeValue]) throws -> Bool {
            for (left, right) in zip(left, right) where try !areEqual(left, right) { return try reverse ? isLess(right, left) : isLess(left, right) }
            return false
        }
        var width = 1
        while width < keyed.count {
            var merged: [(item: Element, keys: [RuntimeValue])] = []
            merged.reserveCapacity(keyed.count)
            for start in stride(from: 0, to: keyed.count, by: 2 * width) {
                var left = keyed[start..<min(start + width, keyed.count)]
                var right = keyed[left.endIndex..<min(start + 2 * width, keyed.count)]
                while let first = left.first, let second = right.first {
                    merged.append(try precedes(second.keys, first.keys) ? right.removeFirst() : left.removeFirst())
                }
                merged += left
                merged += right
            }
            keyed = merged
            width *= 2
        }
        return keyed.map(\.item)
    }

    /// The entries of a mapping in the order of their keys.
    func sortedByKey(_ entries: [(key: RuntimeValue, value: RuntimeValue)]) throws -> [(key: RuntimeValue, value: RuntimeValue)] {
        try sorted(entries, reverse: false) { [$0.key] }
    }

    private func sortedEntries(_ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["case_sensitive", "by", "reverse"], of: "dictsort")
        guard case .dictionary(let dictionary) = value else { throw failure("dictsort takes a mapping, not '\(value.typeName)'") }
        let caseSensitive = try flagArgument(values[0], default: false)
        let by = try stringArgument(values[1], default: "key", of: "dictsort")
        guard by == "key" || by == "value" else { throw failure("dictsort sorts by 'key' or 'value'") }
        let entries = try sorted(dictionary.entries, reverse: flagArgument(values[2], default: false)) { entry in
            [try orderKey(by == "key" ? entry.key : entry.value, caseSensitive: caseSensitive)]
        }
        return try makeList(entries.map { try makeList([$0.key, $0.value], kind: .tuple) })
    }

    func orderFilter(_ filter: TemplateFilter, _ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        switch filter {
        case .sort:
            let values = try bind(arguments, to: ["reverse", "case_sensitive", "attribute"], of: "sort")
            let caseSensitive = try flagArgument(values[1], default: false)
            let paths = try attributePaths(values[2])
            let items = try sorted(elements(of: value), reverse: flagArgument(values[0], default: false)) { item in
                try paths.isEmpty
                    ? [orderKey(item, caseSensitive: caseSensitive)] : paths.map { try orderKey(follow($0, from: item), caseSensitive: caseSensitive) }
            }
            return try makeList(items)
        case .unique:
            let values = try bind(arguments, to: ["case_sensitive", "attribute"], of: "unique")
            let caseSensitive = try flagArgument(values[0], default: false)
            let path = try attributePath(values[1]) ?? []
            var seen: Set<DictionaryKey> = []
            return try makeList(
                elements(of: value).filter { try seen.insert(key(of: orderKey(follow(path, from: $0), caseSensitive: caseSensitive))).inserted })
        case .min, .max:
            let values = try bind(arguments, to: ["case_sensitive", "attribute"], of: filter.rawValue)
            let caseSensitive = try flagArgument(values[0], default: false)
            let path = try attributePath(values[1]) ?? []
            var best: (item: RuntimeValue, key: RuntimeValue)?
            for item in try elements(of: value) {
                let key = try orderKey(follow(path, from: item), caseSensitive: caseSensitive)
                if let best, try !(filter == .min ? isLess(key, best.key) : isLess(best.key, key)) { continue }
                best = (item, key)
            }
            return best?.item ?? .undefined("no smallest or largest item, the sequence was empty")
        case .groupby: return try groups(value, arguments)
        default:
            let values = try bind(arguments, to: ["attribute", "start"], of: "sum")
            let path = try attributePath(values[0]) ?? []
            return try elements(of: value).reduce(values[1] ?? .int(0)) { try add($0, follow(path, from: $1)) }
        }
    }

    private func attributePaths(_ value: RuntimeValue?) throws -> [[RuntimeValue]] {
        guard case .string(let names)? = value else { return try attributePath(value).map { [$0] } ?? [] }
        return try names.split(separator: ",", omittingEmptySubsequences: false).compactMap { try attributePath(.string(String($0))) }
    }

    /// (group key, items) tuples, sorted by key.
    private func groups(_ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["attribute", "default", "case_sensitive"], required: 1, of: "groupby")
        let path = try attributePath(values[0]) ?? []
        let caseSensitive = try flagArgument(values[2], default: false)
        let keyed = try elements(of: value).map { item in
            let found = try follow(path, from: item)
            let key = found.isUndefined ? values[1] ?? found : found
            return (item: item, key: key, order: try orderKey(key, caseSensitive: caseSensitive))
        }
        var groups: [(key: RuntimeValue, order: RuntimeValue, items: [RuntimeValue])] = []
        for entry in try sorted(keyed, reverse: false, by: { [$0.order] }) {
            if let last = groups.last, try areEqual(last.order, entry.order) {
                groups[groups.count - 1].items.append(entry.item)
            } else {
                groups.append((entry.key, entry.order, [entry.item]))
            }
        }
        return try makeList(groups.map { try makeList([$0.key, makeList($0.items)], kind: .tuple) })
    }
}
