// Weights with many zeros run from sparse panels: the bits are those of dense panels, for any number of rows, fused or not, packed now or kept on disk.
import CKernels
import Foundation
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Matrices with many zeros")
struct SparseLinearTests {
    /// `dense` leaves sparse panels out: the instruction sets without those their kernels need.
    private static let sparse = ck_isa_detect(), dense = sparse & ~UInt32(CK_ISA_AVX512_VBMI2 | CK_ISA_AVX512_VNNI)
    static var hasSparseKernels: Bool { (ck_sparse_find(CK_SPARSE_BITMAP, CK_ACT_Q15, sparse)?.pointee.crossover ?? 2) <= 1 }

    /// A model in a file of its own: a tied table, a gate, a projection with a residual and one of three matrices, some pruned, some not.
    private final class Bench {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sparse-\(UUID().uuidString)")
        var packed: String { folder.appending(path: "packed").path }
        var model: String { folder.appending(path: "model.bin").path }
        static let (vocabulary, width, hidden) = (75, 256, 96)
        /// Name, shape, the part of zeros, and whether they lie in runs of 16.
        static let weights: [(name: String, shape: Shape, zeros: Double, inRuns: Bool)] = [
            ("table", [vocabulary, width], 0.6, false), ("q", [width, width], 0.5, false), ("k", [50, width], 0, false), ("v", [50, width], 0.8, true),
            ("gate", [hidden, width], 0.5, false), ("up", [hidden, width], 0.7, false), ("down", [width, hidden], 0.8, true), ("last", [17, width], 1, false),
            ("gate4", [hidden, width], 0.7, false), ("up4", [hidden, width], 0.8, false), ("k4", [50, width], 0.3, false),
        ]

        /// Those whose name ends in 4 have 4 bits.
        static func format(_ name: String) -> BlockFormat { name.hasSuffix("4") ? .q4_0 : .q8_0 }


        init() throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            var random = SeededGenerator(seed: 3), bytes: [UInt8] = []
            for weight in Self.weights {
                for _ in 0..<weight.shape[0] * weight.shape[1] / 32 {
                    bytes += [UInt8(truncatingIfNeeded: random.next()), 0x24]
                    var isZero = false
                    var levels: [UInt8] = []
                    for index in 0..<32 {
                        if index % (weight.inRuns ? 16 : 1) == 0 { isZero = Double.random(in: 0..<1, using: &random) < weight.zeros }
                        levels.append(isZero ? 0 : UInt8(truncatingIfNeeded: random.next()) | 1)
                    }
                    // Of 4 bits: the two halves of a block share its bytes, and 8 is zero.
                    bytes += Self.format(weight.name) == .q8_0 ? levels : (0..<16).map { (levels[$0] ^ 8) & 15 | (levels[16 + $0] ^ 8) << 4 }
                }
            }
            try Data(bytes).write(to: URL(filePath: model))
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        func run(_ rows: Int, isa: UInt32, cached: Bool = false, activation: CPUBackend.ActivationPrecision = .int15, threads: Int = 2) throws -> (
            bits: [UInt32], use: WeightCacheUse
        ) {
            let file = try MappedFile(path: model), tokens = Symbol("tokens")
            var builder = GraphBuilder(name: "sparse")
            let ids = builder.input("ids", .i32, [Dimension(tokens)])
            var values: [String: ValueID] = [:], offset = 0
            for (name, shape, _, _) in Self.weights {
                let format = Self.format(name), bytes = shape[0] * shape[1] / 32 * format.blockBytes
                let store = WeightStore(file: file, range: offset..<offset + bytes)
                values[name] = builder.weight(name, try Weight(name: name, shape: shape, format: .block(format), store: store))
                offset += bytes
            }
            func value(_ name: String) throws -> ValueID { try #require(values[name]) }
            let x = try builder.embedding(value("table"), ids, name: "embedding")
            let qkv = try builder.node(.linear(Linear(weightCount: 3)), [x, value("q"), value("k"), value("v")], name: "qkv")
            let gated = try builder.node(.linear(Linear(weightCount: 2, epilogue: .gated(.silu))), [qkv[0], value("gate"), value("up")], name: "gated")
            let down = try builder.node(.linear(Linear(epilogue: .residual)), [gated[0], value("down"), x], name: "down")
            let gated4 = try builder.node(.linear(Linear(weightCount: 2, epilogue: .gated(.silu))), [down[0], value("gate4"), value("up4")], name: "gated4")
            let plain4 = try builder.linear(down[0], value("k4"), name: "plain4")
            let last = try builder.node(.linear(Linear(epilogue: .activation(.silu))), [down[0], value("last")], name: "last")
            let head = try builder.linear(down[0], value("table"), name: "head")
            for output in [qkv[1], qkv[2], gated[0], down[0], last[0], head, x, gated4[0], plain4] { builder.output(output) }
            let graph = builder.graph, pool = Pools.all[threads - 1]
            let cache = cached ? PanelCache(files: [file], folder: packed, pool: pool, minimumBytes: 0) : nil
            let backend = CPUBackend(pool: pool, isa: isa, activation: activation, panels: cache)
            let context = try ExecutionContext(try CompiledGraph(graph, backends: BackendSet([backend])), stateBinding: Binding())
            let use = cache?.finish() ?? .unused
            let plan = try context.plan([tokens: rows])
            let input = try plan.elements(of: ids, as: Int32.self)
            for index in 0..<rows { input[index] = Int32(index * 31 % Self.vocabulary) }
            try plan.run()
            return (try graph.outputs.flatMap { try plan.elements(of: $0, as: Float.self).map(\.bitPattern) }, use)
        }

        /// Changes the table of offsets of each sparse section in the file of packed weights, and seals it again as one who knows how would.
        func changeTables(_ body: (inout [UInt32]) -> Void) throws {
            let names = try FileManager.default.contentsOfDirectory(atPath: packed)
            let url = URL(filePath: packed).appending(path: try #require(names.first))
            var words = try Data(contentsOf: url).withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
            let (entries, count) = (16 + (Int(words[6]) + 7) / 8, Int(words[5]))
            var changed = 0
            for index in 0..<count {
                let entry = entries + 11 * index, start = Int(words[entry + 6]) / 8, bytes = Int(words[entry + 7])
                guard words[entry + 1] >> 16 & 0xffff != 0 else { continue }
                changed += 1
                var table = (0..<6).map { UInt32(truncatingIfNeeded: words[start + $0 / 2] >> (32 * UInt64($0 % 2))) }
                body(&table)
                for pair in 0..<3 { words[start + pair] = UInt64(table[2 * pair]) | UInt64(table[2 * pair + 1]) << 32 }
                var sum = words.withUnsafeBytes { ck_checksum($0.baseAddress.map { $0 + 8 * start }, bytes, UInt64(index)) }
                words[entry + 8] = ck_checksum(&sum, 8, UInt64(bytes))
            }
            try #require(changed > 3)
            let end = entries + 11 * count
            words[7] = words.withUnsafeBytes { ck_checksum($0.baseAddress.map { $0 + 128 }, (end - 16) * 8, 1) }
            words[8] = words.withUnsafeBytes { ck_checksum($0.baseAddress, 64, 0) }
            try words.withUnsafeBytes { Data($0) }.write(to: url)
        }

        var panelBytes: Int {
            get throws {
                let names = try FileManager.default.contentsOfDirectory(atPath: packed)
                return try Data(contentsOf: URL(filePath: packed).appending(path: #require(names.first))).count
            }
        }
    }

    @Test("Sparse and dense panels give the same bits, for few rows and many", .enabled(if: SparseLinearTests.hasSparseKernels)) func sameBits() throws {
        let bench = try Bench()
        for activation in [CPUBackend.ActivationPrecision.int8, .int15] {
            for rows in [1, 2, 4, 5, 16, 17, 70, 130] {
                let dense = try bench.run(rows, isa: Self.dense, activation: activation).bits
                #expect(!dense.contains { !Float(bitPattern: $0).isFinite })
                for threads in 1...3 {
                    #expect(try bench.run(rows, isa: Self.sparse, activation: activation, threads: threads).bits == dense, "\(rows) rows")
                }
            }
        }
    }

    @Test("Sparse panels are kept on disk, smaller, and made again for instruction sets without kernels for them", .enabled(if: SparseLinearTests.hasSparseKernels))
    func kept() throws {
        let bench = try Bench(), expected = try bench.run(5, isa: Self.dense).bits
        func isMapped(_ use: WeightCacheUse) -> Bool { if case .mapped = use { true } else { false } }
        #expect(try !isMapped(bench.run(5, isa: Self.dense, cached: true).use))
        let dense = try bench.panelBytes
        let written = try bench.run(5, isa: Self.sparse, cached: true)
        #expect(!isMapped(written.use) && written.bits == expected)
        #expect(try bench.panelBytes < dense)
        for threads in 1...2 {
            let hit = try bench.run(5, isa: Self.sparse, cached: true, threads: threads)
            #expect(isMapped(hit.use) && hit.bits == expected)
        }
        let back = try bench.run(5, isa: Self.dense, cached: true)
        #expect(!isMapped(back.use) && back.bits == expected)
    }

    @Test("Tables of offsets that lead astray are refused, whatever their checksums say", .enabled(if: SparseLinearTests.hasSparseKernels)) func hostileTables() throws {
        let bench = try Bench(), expected = try bench.run(5, isa: Self.sparse).bits
        func isMapped(_ use: WeightCacheUse) -> Bool { if case .mapped = use { true } else { false } }
        // Which entry of the table, and what it becomes.
        let changes: [(Int, (UInt32) -> UInt32)] = [
            (0, { _ in 0 }), (0, { $0 + 1 }), (1, { _ in 0 }), (1, { _ in .max }), (1, { $0 &+ 1 << 24 }), (2, { _ in 1 << 31 }), (1, { $0 &- 1_000 }),
        ]
        for (place, change) in changes {
            _ = try bench.run(5, isa: Self.sparse, cached: true)
            #expect(try isMapped(bench.run(5, isa: Self.sparse, cached: true).use))
            try bench.changeTables { $0[place] = change($0[place]) }
            let run = try bench.run(5, isa: Self.sparse, cached: true)
            #expect(!isMapped(run.use) && run.bits == expected, "entry \(place)")
        }
    }

    @Test("What a token reads is counted without the zeros", .enabled(if: SparseLinearTests.hasSparseKernels)) func traffic() throws {
        var bytes = [UInt8](repeating: 0, count: 64 * 34)
        for block in 0..<64 { for index in 2..<10 { bytes[34 * block + index] = 1 } }  // a quarter is kept
        let store = try WeightStore(byteCount: bytes.count) { $0.copyBytes(from: bytes) }
        let weight = try Weight(name: "w", shape: [32, 64], format: .block(.q8_0), store: store)
        // Two panels of 64 bytes of factors and two blocks of 96; a quarter of 32 · 64 weights; whole lines as they come.
        #expect(PackedTraffic.bytes(of: weight, isa: Self.sparse) == 2 * (64 + 2 * 96) + 512)
        #expect(PackedTraffic.bytes(of: weight, isa: Self.dense) == 2 * ck_panel_bytes(CK_PANEL_Q8, 64))
    }
}
