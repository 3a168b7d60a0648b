// The functions every template can call, and the two Hugging Face adds: `raise_exception` and `strftime_now`.

import SwiftletTensor

enum TemplateGlobal: String, CaseIterable {
    case range, dict, namespace, cycler, joiner
    case raiseException = "raise_exception"
    case strftimeNow = "strftime_now"
}

extension TemplateEvaluator {
    /// The longest list `range` gives: the limit of Jinja's own sandbox.
    private static let maximumRange = 100_000

    func call(_ global: TemplateGlobal, _ arguments: CallArguments) throws -> RuntimeValue {
        switch global {
        case .range: return try range(arguments)
        case .dict: return .dictionary(try dictionary(arguments))
        case .namespace:
            let namespace = NamespaceObject()
            try charge(256)
            keep(namespace)
            for (key, value) in try dictionary(arguments).entries {
                if case .string(let name) = key { namespace.attributes[ExactText(name)] = value }
            }
            return .namespace(namespace)
        case .cycler:
            guard !arguments.positional.isEmpty else { throw failure("cycler() needs items") }
            try charge(256)
            let cycler = CyclerObject(arguments.positional)
            keep(cycler)
            return .callable(.cycler(cycler))
        case .joiner:
            let separator = try bind(arguments, to: ["sep"], of: "joiner")[0] ?? .string(", ")
            try charge(256)
            let joiner = JoinerObject(separator)
            keep(joiner)
            return .callable(.joiner(joiner))
        case .raiseException:
            let message = try text(of: bind(arguments, to: ["message"], required: 1, of: "raise_exception")[0] ?? .none)
            throw failure(message, remedy: "The template refuses this conversation: change the messages.")
        case .strftimeNow:
            let format = try bind(arguments, to: ["format"], required: 1, of: "strftime_now")[0] ?? .none
            guard case .string(let format) = format else { throw failure("strftime_now takes a string, not '\(format.typeName)'") }
            return try makeString(formattedTime(format))
        }
    }

    private func range(_ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["start", "stop", "step"], required: 1, of: "range").compactMap { value -> Int? in
            guard let value else { return nil }
            guard let number = integer(value) else { throw failure("range takes integers, not '\(value.typeName)'") }
            return number
        }
        let (start, stop, step) = values.count == 1 ? (0, values[0], 1) : (values[0], values[1], values.count == 3 ? values[2] : 1)
        guard step != 0 else { throw failure("range's step cannot be zero") }
        let (distance, overflow) = stop.subtractingReportingOverflow(start)
        let count = overflow ? Int.max : step > 0 ? max(distance, 0) / step : min(distance, 0) / max(step, -Int.max)
        guard count < Self.maximumRange else { throw failure("a range longer than \(Self.maximumRange)") }
        try charge(count, times: 16)
        return try makeList(stride(from: start, to: stop, by: step).map { .int($0) })
    }

    /// `dict(mapping or pairs, name=value …)`.
    private func dictionary(_ arguments: CallArguments) throws -> DictionaryObject {
        guard arguments.positional.count <= 1 else { throw failure("at most one argument without a name is allowed") }
        let result = try makeDictionary()
        if let source = arguments.positional.first { try merge(source, into: result) }
        for (name, value) in arguments.named { result.set(name, to: value) }
        return result
    }

    /// Adds the entries of a mapping, or of a list of pairs, to `dictionary`.
    func merge(_ source: RuntimeValue, into dictionary: DictionaryObject) throws {
        if case .dictionary(let other) = source {
            try charge(other.entries.count, times: 16)
            for (key, value) in other.entries { dictionary.set(try self.key(of: key), named: key, to: value) }
            return
        }
        for pair in try elements(of: source) {
            let parts = try elements(of: pair)
            guard parts.count == 2 else { throw failure("a dictionary is made of pairs") }
            dictionary.set(try key(of: parts[0]), named: parts[0], to: parts[1])
        }
    }
}
