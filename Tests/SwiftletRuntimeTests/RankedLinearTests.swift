// Products wanted for their largest elements alone: these are what the whole product has, to the bit, and the others lie below them.
import CKernels
import Foundation
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Ranked products")
struct RankedLinearTests {
    /// A tied head of 8-bit blocks in a file of its own: look-up, norm, ranked product.
    private final class Bench {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ranked-\(UUID().uuidString)")
        var model: String { folder.appending(path: "model.bin").path }
        var packed: String { folder.appending(path: "packed").path }
        static let (vocabulary, width) = (8_197, 96)

        init() throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            var random = SeededGenerator(seed: 5), bytes: [UInt8] = []
            for _ in 0..<Self.vocabulary * Self.width / 32 {
                bytes += [UInt8(truncatingIfNeeded: random.next()), 0x1c | UInt8(truncatingIfNeeded: random.next()) & 0x83]
                for _ in 0..<32 { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
            }
            try Data(bytes).write(to: URL(filePath: model))
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        struct Result {
            let logits: [[Float]]
            let use: WeightCacheUse
        }

        /// The logits of `rows` tokens, of which the `best` largest are wanted; by the reference where there is no `isa`.
        func run(
            _ rows: Int, best: Int, isa: UInt32?, ranked: Bool = true, cached: Bool = false, activation: CPUBackend.ActivationPrecision = .int15, threads: Int = 2,
            spoiled: Bool = false
        ) throws -> Result {
            let file = try MappedFile(path: model), tokens = Symbol("tokens")
            var builder = GraphBuilder(name: "ranked")
            let ids = builder.input("ids", .i32, [Dimension(tokens)]), wanted = builder.input("best", .i32, [1])
            let offset = builder.input("offset", .f32, [Dimension(tokens), Dimension(Self.width)])
            let format = WeightFormat.block(.q8_0), bytes = Self.vocabulary * (format.rowBytes(elements: Self.width) ?? 0)
            let table = builder.weight(
                "table", try Weight(name: "table", shape: [Self.vocabulary, Self.width], format: format, store: WeightStore(file: file, range: 0..<bytes)))
            let x = try builder.binary(.add, try builder.embedding(table, ids, name: "embedding"), offset, name: "sum")
            let logits = try builder.linear(x, table, best: ranked ? wanted : nil, name: "head")
            builder.output(logits)
            let pool = Pools.all[threads - 1]
            let cache = cached ? PanelCache(files: [file], folder: packed, pool: pool, minimumBytes: 0) : nil
            let backends = isa.map { BackendSet([CPUBackend(pool: pool, isa: $0, activation: activation, panels: cache)]) } ?? BackendSet([ReferenceBackend(pool: nil)])
            let compiled = try CompiledGraph(builder.graph, backends: backends)
            let use = cache?.finish() ?? .unused
            let plan = try ExecutionContext(compiled, stateBinding: Binding()).plan([tokens: rows])
            let (places, count) = (try plan.elements(of: ids, as: Int32.self), try plan.elements(of: wanted, as: Int32.self))
            for row in 0..<rows { places[row] = Int32((row * 4_099 + 11) % Self.vocabulary) }
            count[0] = Int32(best)
            let added = try plan.elements(of: offset, as: Float.self)
            for index in added.indices { added[index] = spoiled && index == 3 ? .nan : Float(index % 7) * 0.03 - 0.09 }
            try plan.run()
            let all = try plan.elements(of: logits, as: Float.self)
            return Result(logits: (0..<rows).map { Array(all[$0 * Self.vocabulary..<($0 + 1) * Self.vocabulary]) }, use: use)
        }
    }

    private static let isas = ISAPath.allCases.filter(\.isHere).map { (name: "\($0)", mask: $0.rawValue) }

    @Test("The largest are those of the whole product, the others lie below", arguments: [1, 3, 16, 17])
    func largest(rows: Int) throws {
        let bench = try Bench()
        let reference = try bench.run(rows, best: 0, isa: nil).logits
        for (name, isa) in Self.isas {
            let whole = try bench.run(rows, best: 0, isa: isa).logits
            for (row, expected) in zip(whole, reference) {
                let largest = expected.map(abs).max() ?? 0
                for (a, b) in zip(row, expected) { try #require(abs(a - b) <= 2e-4 * largest, "\(name)") }
            }
            for best in [1, 2, 40, 65, 1_024, 5_000, -3] {
                let logits = try bench.run(rows, best: best, isa: isa).logits
                for (some, all) in zip(logits, whole) {
                    let count = best <= 0 ? all.count : best
                    let order = all.indices.sorted { all[$0] > all[$1] }
                    let least = all[order[min(count, all.count) - 1]]
                    for place in order.prefix(count) { try #require(some[place].bitPattern == all[place].bitPattern, "\(name), best \(best)") }
                    for place in order.dropFirst(count) { try #require(some[place] <= least, "\(name), best \(best)") }
                }
            }
        }
    }

    @Test("Activations of 8 bits, one thread, and panels kept on disk give the same order") func variants() throws {
        let bench = try Bench(), isa = ck_isa_detect()
        let whole = try bench.run(2, best: 0, isa: isa).logits
        let packed = try bench.run(2, best: 3, isa: isa, cached: true), mapped = try bench.run(2, best: 3, isa: isa, cached: true, threads: 1)
        #expect({ if case .written = packed.use { true } else { false } }())
        #expect({ if case .mapped = mapped.use { true } else { false } }())
        #expect(packed.logits == mapped.logits)
        for (some, all) in zip(packed.logits, whole) { #expect(some.max() == all.max()) }
        // Products that nobody ranks have whole panels: the file is made again, and again for the others.
        let plain = try bench.run(2, best: 0, isa: isa, ranked: false, cached: true)
        #expect({ if case .written(_, _, nil) = plain.use { ck_split_find(isa).pointee.pays == 1 } else { ck_split_find(isa).pointee.pays == 0 } }())
        for (row, all) in zip(plain.logits, whole) {
            let largest = all.map(abs).max() ?? 0
            for (a, b) in zip(row, all) { try #require(abs(a - b) <= 1e-5 * largest) }
        }
        let coarse = try bench.run(2, best: 5, isa: isa, activation: .int8).logits, exact = try bench.run(2, best: 0, isa: isa, activation: .int8).logits
        for (some, all) in zip(coarse, exact) { #expect(some.sorted().suffix(5) == all.sorted().suffix(5)) }
    }

    @Test("A number that is none is not hidden") func spoiled() throws {
        let bench = try Bench()
        for best in [0, 1, 40] {
            let logits = try bench.run(2, best: best, isa: ck_isa_detect(), spoiled: true).logits
            #expect(logits[0].contains { $0.isNaN })
            #expect(!logits[1].contains { $0.isNaN })
        }
    }

    @Test("A ranked product has one weight, nothing behind it, and one number wanted") func rules() throws {
        var builder = GraphBuilder(name: "rules")
        let x = builder.input("x", .f32, [2, 32]), one = builder.input("one", .i32, [1]), two = builder.input("two", .i32, [2])
        let weight = builder.weight("w", try Weight(name: "w", shape: [4, 32], format: .dense(.f32), store: WeightStore([Float](repeating: 1, count: 128))))
        _ = try builder.linear(x, weight, best: one, name: "good")
        #expect(throws: SwiftletError.self) { try builder.linear(x, weight, best: two, name: "two") }
        #expect(throws: SwiftletError.self) { try builder.node(.linear(Linear(weightCount: 2, isRanked: true)), [x, weight, weight, one], name: "weights") }
        #expect(throws: SwiftletError.self) { try builder.node(.linear(Linear(epilogue: .activation(.relu), isRanked: true)), [x, weight, one], name: "epilogue") }
    }
}
