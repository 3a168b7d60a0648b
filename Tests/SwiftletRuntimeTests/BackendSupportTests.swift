// What each backend runs, read off the samples: the table of the documentation, and the proof that the samples leave no operation out.
import SwiftletRuntime
import Testing

/// How much of an operation a backend runs, going by the samples.
struct OperationSupport {
    let operation: String
    /// Samples that each backend runs, in the order of the backends, and how many samples there are.
    let counts: [Int]
    let total: Int

    /// By operation, in alphabetical order.
    static func table(of backends: [any Backend]) throws -> [OperationSupport] {
        var counts: [String: [Int]] = [:], totals: [String: Int] = [:]
        for sample in OpSample.all {
            let graph = try sample.build().graph
            for node in graph.nodes {
                totals[node.op.operationName, default: 0] += 1
                for (index, backend) in backends.enumerated() where backend.preference(for: node, in: graph) > 0 {
                    counts[node.op.operationName, default: Array(repeating: 0, count: backends.count)][index] += 1
                }
            }
        }
        return totals.keys.sorted().map { name in
            OperationSupport(operation: name, counts: counts[name] ?? backends.map { _ in 0 }, total: totals[name] ?? 0)
        }
    }

    /// A Markdown table: a row an operation, a column a backend.
    static func markdown(_ rows: [OperationSupport], _ backends: [any Backend]) -> String {
        let head = "| operation | " + backends.map(\.name).joined(separator: " | ") + " |\n|---" + backends.map { _ in "|---" }.joined() + "|\n"
        return head
            + rows.map { row in
                "| \(row.operation) | " + row.counts.map { $0 == row.total ? "yes" : $0 == 0 ? "no" : "partly" }.joined(separator: " | ") + " |\n"
            }.joined()
    }
}

extension Op {
    /// The name of the case. Exhaustive, so that a new operation is met here and then in the samples.
    var operationName: String {
        switch self {
        case .linear: "linear"
        case .embedding: "embedding"
        case .gatherRows: "gatherRows"
        case .rmsNorm: "rmsNorm"
        case .layerNorm: "layerNorm"
        case .softmax: "softmax"
        case .unary: "unary"
        case .binary: "binary"
        case .rotaryTable: "rotaryTable"
        case .rotary: "rotary"
        case .cacheWrite: "cacheWrite"
        case .attention: "attention"
        case .reshape: "reshape"
        // Imported networks: ReferenceTensorTests, and the published operator tests.
        case .tensor: "tensor"
        }
    }

    /// All of them.
    static let operationNames: Set<String> = [
        "linear", "embedding", "gatherRows", "rmsNorm", "layerNorm", "softmax", "unary", "binary", "rotaryTable", "rotary", "cacheWrite", "attention",
        "reshape",
    ]
}

@Suite("Backends say what they run")
struct BackendSupportTests {
    @Test("Samples have names of their own") func names() {
        #expect(Set(OpSample.all.map(\.name)).count == OpSample.all.count)
    }

    @Test("Every operation has samples, the reference runs them all, the cpu some of each") func table() throws {
        let backends: [any Backend] = [ReferenceBackend(pool: nil), CPUBackend(pool: Pools.all[0], isa: 0)]
        let rows = try OperationSupport.table(of: backends)
        #expect(Set(rows.map(\.operation)) == Op.operationNames)
        for row in rows {
            #expect(row.counts[0] == row.total, "reference: \(row.operation)")
            #expect(row.counts[1] > 0, "cpu: \(row.operation)")
        }
        let text = OperationSupport.markdown(rows, backends)
        #expect(text.contains("| linear | yes | partly |"))
        #expect(text.contains("| rmsNorm | yes | yes |"))
    }
}
