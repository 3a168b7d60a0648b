// The data a chat template is rendered with: a closed, Sendable, JSON-like tree whose mappings keep their insertion order.
// Order matters because templates print mappings (tool schemas) and the model was trained on the order the author wrote.
// What exists only while rendering (macros, namespaces, lists that grow) is `RuntimeValue`, which never leaves a render.

/// A value handed to a chat template.
///
/// Mappings keep insertion order, and integers stay distinct from floating-point numbers, because both are visible in what a template prints.
public enum TemplateValue: Sendable {
    /// No value: prints as nothing, is false, and has no attributes. The same as leaving the key out.
    case undefined
    /// Python's `None`, JSON's `null`: prints as `None`.
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case list([TemplateValue])
    case dictionary(TemplateDictionary)
}

extension TemplateValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .none }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: TemplateValue...) { self = .list(elements) }
    public init(dictionaryLiteral elements: (String, TemplateValue)...) { self = .dictionary(TemplateDictionary(elements)) }
}

/// A mapping from text to values that keeps insertion order. A key set twice keeps its first place and its last value, as in Python.
public struct TemplateDictionary: Sendable, ExpressibleByDictionaryLiteral {
    private var indexOfKey: [ExactText: Int] = [:]

    /// The entries, in insertion order.
    public private(set) var entries: [(key: String, value: TemplateValue)] = []

    /// An empty mapping.
    public init() {}

    /// A mapping written as a literal, in the order written.
    public init(dictionaryLiteral elements: (String, TemplateValue)...) { self.init(elements) }

    /// A mapping of `pairs`, in their order.
    public init(_ pairs: some Sequence<(String, TemplateValue)>) {
        for (key, value) in pairs { self[key] = value }
    }

    /// The value of `key`; setting nil removes the entry.
    public subscript(key: String) -> TemplateValue? {
        get { indexOfKey[ExactText(key)].map { entries[$0].value } }
        set {
            let exact = ExactText(key)
            switch (indexOfKey[exact], newValue) {
            case (let index?, let value?): entries[index].value = value
            case (nil, let value?):
                indexOfKey[exact] = entries.count
                entries.append((key, value))
            case (let index?, nil):
                entries.remove(at: index)
                indexOfKey[exact] = nil
                for moved in index..<entries.count { indexOfKey[ExactText(entries[moved].key)] = moved }
            case (nil, nil): break
            }
        }
    }
}

/// Text compared byte for byte. Swift's `String` calls canonically equivalent texts equal; Python, whose rules templates follow, does not.
struct ExactText: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: ExactText, right: ExactText) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
