// What a template computes with while it renders. Lists, dictionaries and namespaces are objects with identity, as in Python: a list that
// grows is seen to grow through every name. Everything here belongs to one render and one thread.
//
// Objects may refer to each other in chains and rings of any length, which a template controls. So that freeing them neither recurses nor
// leaks, the evaluator keeps every object until the render ends and then empties them one by one (`TemplateObject.drop`).

enum RuntimeValue {
    /// Nothing, with the sentence an error says when something is asked of it.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case list(ListObject)
    case dictionary(DictionaryObject)
    case namespace(NamespaceObject)
    case loop(LoopObject)
    case callable(TemplateCallable)

    /// Python's name of the type, for errors.
    var typeName: String {
        switch self {
        case .undefined: "undefined"
        case .none: "None"
        case .bool: "bool"
        case .int: "int"
        case .double: "float"
        case .string: "str"
        case .list(let list): list.kind == .tuple ? "tuple" : "list"
        case .dictionary: "dict"
        case .namespace: "namespace"
        case .loop: "loop"
        case .callable: "function"
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }
    var isNone: Bool { if case .none = self { true } else { false } }
}

class TemplateObject {
    /// Lets go of everything the object refers to.
    func drop() {}
}

final class ListObject: TemplateObject {
    enum Kind {
        case list, tuple
    }

    let kind: Kind
    var elements: [RuntimeValue]

    init(_ elements: [RuntimeValue], kind: Kind = .list) {
        self.elements = elements
        self.kind = kind
    }

    override func drop() { elements = [] }
}

/// An insertion-ordered mapping.
final class DictionaryObject: TemplateObject {
    private var indexOfKey: [DictionaryKey: Int] = [:]
    private(set) var entries: [(key: RuntimeValue, value: RuntimeValue)] = []

    func value(_ key: DictionaryKey) -> RuntimeValue? { indexOfKey[key].map { entries[$0].value } }

    /// Sets the value of `key`; a key already present keeps its place and its first spelling.
    func set(_ key: DictionaryKey, named original: RuntimeValue, to value: RuntimeValue) {
        if let index = indexOfKey[key] {
            entries[index].value = value
        } else {
            indexOfKey[key] = entries.count
            entries.append((original, value))
        }
    }

    func set(_ key: String, to value: RuntimeValue) { set(.text(ExactText(key)), named: .string(key), to: value) }

    /// Removes `key`, and returns its value. Linear in the number of entries.
    func remove(_ key: DictionaryKey) -> RuntimeValue? {
        guard let index = indexOfKey.removeValue(forKey: key) else { return nil }
        for (other, position) in indexOfKey where position > index { indexOfKey[other] = position - 1 }
        return entries.remove(at: index).value
    }

    override func drop() {
        entries = []
        indexOfKey = [:]
    }
}

/// A key by Python's rules: 1, 1.0 and True are the same key.
enum DictionaryKey: Hashable {
    case text(ExactText)
    case integer(Int)
    case fraction(Double)
    case none
    case undefined
    case tuple([DictionaryKey])
}

final class NamespaceObject: TemplateObject {
    var attributes: [ExactText: RuntimeValue] = [:]
    override func drop() { attributes = [:] }
}

/// The names of a template, a loop turn, a macro call or a block; a name not found here is looked up outside.
final class TemplateScope: TemplateObject {
    private(set) var parent: TemplateScope?
    var variables: [String: RuntimeValue] = [:]
    /// Whether the evaluator already keeps this scope, because a macro refers to it.
    var isKept = false

    init(parent: TemplateScope?) { self.parent = parent }

    func value(_ name: String) -> RuntimeValue? {
        var scope: TemplateScope? = self
        while let here = scope {
            if let value = here.variables[name] { return value }
            scope = here.parent
        }
        return nil
    }

    override func drop() {
        variables = [:]
        parent = nil
    }
}

/// The variable `loop` of a running loop.
final class LoopObject: TemplateObject {
    var items: [RuntimeValue]
    var index = 0
    let depth: Int
    /// The loop itself and where it stands, for `loop(children)` of a recursive loop.
    private(set) var recursion: (statement: TemplateStatement.Loop, scope: TemplateScope)?
    /// The arguments of the last `loop.changed(…)`.
    var lastChanged: [RuntimeValue]?

    init(items: [RuntimeValue], depth: Int, recursion: (statement: TemplateStatement.Loop, scope: TemplateScope)?) {
        self.items = items
        self.depth = depth
        self.recursion = recursion
    }

    override func drop() {
        items = []
        recursion = nil
        lastChanged = nil
    }
}

/// A macro together with the scope it was written in.
final class MacroObject: TemplateObject {
    let definition: TemplateStatement.Macro
    private(set) var scope: TemplateScope?

    init(_ definition: TemplateStatement.Macro, scope: TemplateScope) {
        self.definition = definition
        self.scope = scope
    }

    override func drop() { scope = nil }
}

/// `cycler(…)`: hands out its items in turn.
final class CyclerObject: TemplateObject {
    var items: [RuntimeValue]
    var index = 0

    init(_ items: [RuntimeValue]) { self.items = items }
    override func drop() { items = [] }
}

/// `joiner(separator)`: nothing the first time it is called, the separator from then on.
final class JoinerObject: TemplateObject {
    private(set) var separator: RuntimeValue
    var wasCalled = false

    init(_ separator: RuntimeValue) { self.separator = separator }
    override func drop() { separator = .none }
}

/// Whatever can be called.
enum TemplateCallable {
    case global(TemplateGlobal)
    case macro(MacroObject)
    case stringMethod(String, TemplateStringMethod)
    case listMethod(ListObject, TemplateListMethod)
    case dictionaryMethod(DictionaryObject, TemplateDictionaryMethod)
    case loopCycle(LoopObject)
    case loopChanged(LoopObject)
    case cyclerNext(CyclerObject)
    case cyclerReset(CyclerObject)
    case cycler(CyclerObject)
    case joiner(JoinerObject)
}

/// Arguments of a call, evaluated.
struct CallArguments {
    var positional: [RuntimeValue] = []
    var named: [(name: String, value: RuntimeValue)] = []
}
