// Seeded mutations and truncations of small models: whatever comes, the reader returns a model whose every part can be read, or throws
// SwiftletError.
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

@Suite struct ONNXFuzzTests {
    @Test(arguments: ["small", "rich"]) func mutatedModelsOnlyThrow(name: String) {
        let bytes = name == "small" ? RawONNX.small() : RawONNX.rich()
        var mutator = Mutator(seed: UInt64(bytes.count))
        let (opened, refused) = mutator.outcomes(of: bytes, headerBytes: bytes.count, count: 10_000) { mutant in
            readEverything(try ONNXFile(bytes: mutant, name: "mutant"))
        }
        // Changes in names and elements are often harmless, changes in the structure are not: a useful mutator makes plenty of both.
        #expect(opened > 200 && refused > 2000, "\(opened) opened, \(refused) refused")
    }

    /// A model cut anywhere fails, but for a cut between its last fields: what came before is then a model without them.
    @Test(arguments: ["small", "rich"]) func truncatedAtEveryByte(name: String) throws {
        let bytes = name == "small" ? RawONNX.small() : RawONNX.rich()
        #expect(throws: Never.self) { try ONNXFile(bytes: bytes, name: "whole") }
        var opened: [Int] = []
        for length in 0..<bytes.count {
            do {
                readEverything(try ONNXFile(bytes: bytes[..<length], name: "cut"))
                opened.append(length)
            } catch let error as SwiftletError {
                if case .malformed(_, let offset, _, _) = error { #expect(offset <= length) }
            }
        }
        // Of the rich one: before its metadata and before its function.
        #expect(opened.count == (name == "small" ? 0 : 2), "\(opened)")
    }

    private func readEverything(_ file: ONNXFile) {
        for graph in [file.graph] + file.functions.map(\.body) { read(graph) }
    }

    private func read(_ graph: ONNXGraph) {
        for tensor in graph.initializers { read(tensor) }
        for value in graph.inputs + graph.outputs + graph.values { #expect(value.type.map { "\($0)".isEmpty } != true) }
        for node in graph.nodes {
            for attribute in node.attributes {
                switch attribute.value {
                case .tensor(let tensor): read(tensor)
                case .tensors(let tensors): tensors.forEach(read)
                default: break
                }
            }
            for (_, inner) in node.subgraphs { read(inner) }
        }
    }

    private func read(_ tensor: ONNXTensor) {
        guard case .elements(let store) = tensor.content else { return }
        #expect(store.byteCount == tensor.type.byteCount(elements: tensor.shape.elementCount))
        let sum = store.withBytes { $0.reduce(0) { $0 &+ Int($1) } }
        #expect(sum >= 0)
        _ = tensor.integers
    }
}
