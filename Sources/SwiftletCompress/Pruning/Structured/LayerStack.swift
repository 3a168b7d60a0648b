// The layers of a decoder as its graph has them: nodes named `blk.<n>/…`, weights named `blk.<n>.…`, and one stream that runs through all.
import SwiftletRuntime

/// Layers one after the other.
struct LayerStack {
    /// The nodes of each layer.
    let blocks: [[Int]]
    /// The stream: what flows into each layer, and what comes out of the last.
    let boundaries: [ValueID]
    /// What each layer does, weights aside.
    private let roles: [[Op]]

    /// Throws `SwiftletError.unsupported` when the graph has no such layers.
    init(_ graph: Graph) throws {
        func unsupported(_ place: String, _ reason: String) -> SwiftletError {
            .unsupported(file: graph.name, place: place, reason: reason, remedy: "Remove layers of decoder language models only.")
        }
        var blocks: [[Int]] = []
        for (index, node) in graph.nodes.enumerated() {
            guard let number = Self.number(node.name) else { continue }
            guard number == blocks.count || number == blocks.count - 1 else { throw unsupported(node.name, "the layers are not in order") }
            if number == blocks.count { blocks.append([]) }
            blocks[number].append(index)
        }
        guard !blocks.isEmpty else { throw unsupported("nodes", "none is named blk.<number>/…, so there are no layers to tell apart") }
        let producers = graph.producers()
        var boundaries: [ValueID] = []
        for (number, block) in blocks.enumerated() {
            let inside = Set(block)
            let made = Set(block.flatMap { graph.nodes[$0].outputs })
            var left = Set(graph.outputs.filter(made.contains))
            for (index, node) in graph.nodes.enumerated() where !inside.contains(index) { left.formUnion(node.inputs.filter(made.contains)) }
            guard left.count == 1, let output = left.first else { throw unsupported("blk.\(number)", "others read \(left.count) of its values, not one") }
            if number == 0 {
                let inputs = Set(block.flatMap { graph.nodes[$0].inputs }.filter { producers[$0] != nil && !made.contains($0) && graph[$0].type == graph[output].type })
                guard inputs.count == 1, let input = inputs.first else { throw unsupported("blk.0", "it reads \(inputs.count) values of its output's type, not one") }
                boundaries.append(input)
            }
            guard block.contains(where: { graph.nodes[$0].inputs.contains(boundaries[number]) }) else { throw unsupported("blk.\(number)", "it does not read the layer before it") }
            boundaries.append(output)
        }
        self.blocks = blocks
        self.boundaries = boundaries
        roles = blocks.map { block in
            block.flatMap { index -> [Op] in
                let node = graph.nodes[index]
                // Which angles positions turn by is decided outside of the layer.
                guard node.op.isRotary, let table = producers[node.inputs[1]] else { return [node.op] }
                return [node.op, graph.nodes[table].op]
            }
        }
    }

    /// The first layers of runs of `count` after whose removal every layer does what the layer at its new place did.
    func starts(ofRuns count: Int) -> [Int] {
        guard count > 0, count < blocks.count else { return [] }
        return (0...blocks.count - count).filter { start in (start..<blocks.count - count).allSatisfy { roles[$0] == roles[$0 + count] } }
    }

    /// The graph without these layers, the ones behind renumbered.
    func removing(_ range: Range<Int>, from graph: Graph) throws -> Graph {
        var result = graph
        let gone = Set(range.flatMap { blocks[$0] })
        let (from, to) = (boundaries[range.upperBound], boundaries[range.lowerBound])
        result.nodes = graph.nodes.enumerated().compactMap { index, node in
            guard !gone.contains(index) else { return nil }
            var node = node
            node.name = Self.renamed(node.name, range)
            node.inputs = node.inputs.map { $0 == from ? to : $0 }
            return node
        }
        result.outputs = graph.outputs.map { $0 == from ? to : $0 }
        for id in Set(result.nodes.flatMap { $0.inputs + $0.outputs }) {
            let value = graph[id]
            let name = Self.renamed(value.name, range)
            guard name != value.name else { continue }
            var renamed = Value(name: name, type: value.type, origin: value.origin)
            renamed.quantized = value.quantized
            result[id] = renamed
        }
        return result
    }

    private static let prefix = "blk."

    /// The layer in a name that begins with `blk.<n>` and a separator.
    private static func number(_ name: String) -> Int? {
        guard name.hasPrefix(prefix) else { return nil }
        let digits = name.dropFirst(prefix.count).prefix { $0.isASCII && $0.isNumber }
        guard let next = name.dropFirst(prefix.count + digits.count).first, next == "/" || next == "." else { return nil }
        return Int(digits)
    }

    private static func renamed(_ name: String, _ gone: Range<Int>) -> String {
        guard let number = number(name), number >= gone.upperBound else { return name }
        return prefix + String(number - gone.count) + name.dropFirst(prefix.count + String(number).count)
    }
}

extension Op {
    fileprivate var isRotary: Bool { if case .rotary = self { true } else { false } }
}
