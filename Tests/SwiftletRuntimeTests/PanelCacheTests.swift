// Packed weights on disk: a hit computes the same bits as packing, and whatever is wrong with the file, it is made again and nothing traps.
import CKernels
import Foundation
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Packed weights are kept on disk")
struct PanelCacheTests {
    /// A model in a file of its own, and a folder for its packed weights.
    private final class Bench {
        let folder = FileManager.default.temporaryDirectory.appending(path: "panel-cache-\(UUID().uuidString)")
        var model: String { folder.appending(path: "model.bin").path }
        var packed: String { folder.appending(path: "packed").path }
        static let (vocabulary, width, hidden) = (75, 256, 96)

        init(seed: UInt64 = 1) throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try writeModel(seed: seed)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        /// Blocks of random bytes, without the bit that would make an f16 or f32 large.
        func writeModel(seed: UInt64) throws {
            var random = SeededGenerator(seed: seed)
            try Data((0..<Self.size).map { _ in UInt8(truncatingIfNeeded: random.next()) & 0x9F }).write(to: URL(filePath: model))
        }

        private static let shapes: [(String, Shape, WeightFormat)] = [
            ("table", [vocabulary, width], .block(.q8_0)), ("up", [hidden, width], .block(.q4_K)), ("down", [width, hidden], .block(.q4_1)),
            ("dense", [width, width], .dense(.f16)),
        ]
        private static var size: Int { shapes.reduce(0) { $0 + $1.1[0] * ($1.2.rowBytes(elements: $1.1[1]) ?? 0) } }

        struct Result {
            let bits: [UInt32]
            let use: WeightCacheUse
        }

        /// Compiles and runs the model: embedding, three linears and a tied head.
        func run(cached: Bool = true, minimumBytes: Int = 0, folder: String? = nil, threads: Int = 2) throws -> Result {
            let file = try MappedFile(path: model)
            var builder = GraphBuilder(name: "cached")
            let tokens = Symbol("tokens")
            let ids = builder.input("ids", .i32, [Dimension(tokens)])
            var offset = 0
            var weights: [ValueID] = []
            for (name, shape, format) in Self.shapes {
                let bytes = shape[0] * (format.rowBytes(elements: shape[1]) ?? 0)
                let store = WeightStore(file: file, range: offset..<offset + bytes)
                weights.append(builder.weight(name, try Weight(name: name, shape: shape, format: format, store: store)))
                offset += bytes
            }
            let x = try builder.embedding(weights[0], ids, name: "embedding")
            let up = try builder.linear(x, weights[1], name: "up")
            let down = try builder.linear(up, weights[2], name: "down")
            builder.output(try builder.linear(try builder.linear(down, weights[3], name: "dense"), weights[0], name: "head"))
            builder.output(x)
            let graph = builder.graph
            let pool = Pools.all[threads - 1]
            let cache = cached ? PanelCache(files: [file], folder: folder ?? packed, pool: pool, minimumBytes: minimumBytes) : nil
            let compiled = try CompiledGraph(graph, backends: BackendSet([CPUBackend(pool: pool, isa: ck_isa_detect(), panels: cache)]))
            let use = cache?.finish() ?? .unused
            let context = try ExecutionContext(compiled, stateBinding: Binding())
            let plan = try context.plan([tokens: 5])
            let input = try plan.elements(of: ids, as: Int32.self)
            for (index, id) in [0, 15, 16, 74, 31].enumerated() { input[index] = Int32(id) }
            try plan.run()
            let bits = try graph.outputs.flatMap { try plan.elements(of: $0, as: Float.self).map(\.bitPattern) }
            return Result(bits: bits, use: use)
        }

        /// The floats of the table's rows as the file gives them.
        func embeddings() throws -> [UInt32] {
            let file = try MappedFile(path: model)
            let rowBytes = try #require(WeightFormat.block(.q8_0).rowBytes(elements: Self.width))
            return try [0, 15, 16, 74, 31].flatMap { row in
                let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[row * rowBytes..<(row + 1) * rowBytes])
                return try WeightFormat.block(.q8_0).dequantizeRow(bytes, elements: Self.width).map(\.bitPattern)
            }
        }

        var cacheFile: URL {
            get throws {
                let names = try FileManager.default.contentsOfDirectory(atPath: packed)
                return URL(filePath: packed).appending(path: try #require(names.count == 1 ? names[0] : nil))
            }
        }

        func changeCache(_ body: (inout [UInt8]) -> Void) throws {
            var bytes = [UInt8](try Data(contentsOf: cacheFile))
            body(&bytes)
            try Data(bytes).write(to: cacheFile)
        }
    }

    private static func isMapped(_ use: WeightCacheUse) -> Bool { if case .mapped = use { true } else { false } }
    /// Whether the cache was written, and why it had to be: nil for no cache or an old one.
    private static func damage(_ use: WeightCacheUse) -> (written: Bool, damage: String?) {
        if case .written(_, _, let damage) = use { (true, damage) } else { (false, nil) }
    }

    @Test("A hit gives the bits of a miss, and those of no cache; so for any number of threads") func hit() throws {
        let bench = try Bench()
        let plain = try bench.run(cached: false)
        #expect(plain.use == .unused)
        #expect(!FileManager.default.fileExists(atPath: bench.packed), "without a cache nothing is written")
        let miss = try bench.run()
        #expect(Self.damage(miss.use) == (true, nil))
        for threads in 1...3 {
            let hit = try bench.run(threads: threads)
            #expect(Self.isMapped(hit.use), "\(hit.use)")
            #expect(hit.bits == plain.bits)
        }
        #expect(miss.bits == plain.bits)
        #expect(try bench.cacheFile.lastPathComponent.hasPrefix("model-"))
    }

    @Test("A tied embedding read out of panels is the file's, bit by bit") func embedding() throws {
        let bench = try Bench(seed: 4)
        let expected = try bench.embeddings()
        #expect(try Array(bench.run(cached: false).bits.suffix(expected.count)) == expected)
        _ = try bench.run()
        #expect(try Array(bench.run().bits.suffix(expected.count)) == expected)
    }

    @Test("Models below the minimum are not kept") func minimum() throws {
        let bench = try Bench()
        #expect(try bench.run(minimumBytes: 1 << 20).use == .unused)
        #expect(!FileManager.default.fileExists(atPath: bench.packed))
    }

    @Test("Any damaged byte is noticed and repaired") func damage() throws {
        let bench = try Bench()
        let expected = try bench.run().bits
        let size = try Data(contentsOf: bench.cacheFile).count
        let good = try Data(contentsOf: bench.cacheFile)
        // Through the header, the directory and all sections; padding between sections is nobody's.
        let places = Array(0..<72) + Array(stride(from: 128, to: 440, by: 7)) + [4_096, 4_097, size / 2, size - 1]
        for place in places {
            try bench.changeCache { $0[place] ^= 0x40 }
            let isPadding = try bench.run().use
            if Self.isMapped(isPadding) {
                #expect(place == size / 2, "byte \(place) was changed unnoticed")
                try good.write(to: bench.cacheFile)
                continue
            }
            #expect(Self.damage(isPadding).written, "byte \(place)")
            let again = try bench.run()
            #expect(Self.isMapped(again.use))
            #expect(again.bits == expected)
        }
    }

    @Test("Truncated and lengthened files are noticed and repaired") func truncation() throws {
        let bench = try Bench()
        let expected = try bench.run().bits
        let size = try Data(contentsOf: bench.cacheFile).count
        for length in [0, 1, 7, 8, 127, 128, 129, 300, 4_095, 4_096, size - 1, size + 1] {
            try bench.changeCache { bytes in
                bytes = Array(bytes.prefix(length)) + [UInt8](repeating: 0, count: max(0, length - bytes.count))
            }
            let run = try bench.run()
            // An empty file cannot even be mapped: it is as good as none.
            #expect(Self.damage(run.use).written)
            #expect((Self.damage(run.use).damage != nil) == (length != 0), "length \(length)")
            #expect(run.bits == expected)
            #expect(Self.isMapped(try bench.run().use))
        }
    }

    /// A header whose own checksum is right: what an attacker or another version would write.
    private func forge(_ bench: Bench, _ body: (inout [UInt64]) -> Void) throws {
        try bench.changeCache { bytes in
            var words = bytes.withUnsafeBytes { Array($0.prefix(bytes.count / 8 * 8).bindMemory(to: UInt64.self)) }
            body(&words)
            let pathWords = Int(min(1 << 20, words[6]) + 7) / 8, count = Int(min(1 << 20, words[5]))
            let end = min(words.count, 16 + pathWords + count * 11)
            words[7] = words.withUnsafeBytes { ck_checksum($0.baseAddress.map { $0 + 128 }, max(0, end - 16) * 8, 1) }
            words[8] = words.withUnsafeBytes { ck_checksum($0.baseAddress, 64, 0) }
            bytes = words.withUnsafeBytes { [UInt8]($0) } + bytes.suffix(bytes.count % 8)
        }
    }

    @Test("Another layout version, container version or model is stale: replaced without a word") func stale() throws {
        let bench = try Bench()
        let expected = try bench.run().bits
        for (word, change) in [(1, UInt64(1)), (1, 1 << 32), (2, 1), (3, 1 << 63)] {
            try forge(bench) { $0[word] ^= change }
            let run = try bench.run()
            #expect(Self.damage(run.use) == (true, nil), "word \(word)")
            #expect(run.bits == expected)
            #expect(Self.isMapped(try bench.run().use))
        }
    }

    @Test("A section packed by another packer is not used") func otherFingerprint() throws {
        let bench = try Bench()
        let expected = try bench.run().bits
        // Fields of the first entry: partner, fingerprint, panel format, type, rows, columns, place in the file, size, part.
        for (field, change) in [(10, UInt64(1) << 63), (9, 1), (1, 1), (1, 1 << 32), (4, 1), (5, 32), (2, 64), (3, 1), (0, 1)] {
            try forge(bench) { words in words[16 + (Int(words[6]) + 7) / 8 + field] ^= change }
            let run = try bench.run()
            #expect(Self.damage(run.use) == (true, nil), "field \(field)")
            #expect(run.bits == expected)
            #expect(Self.isMapped(try bench.run().use))
        }
    }

    @Test("Hostile numbers in a well-formed header are refused") func hostile() throws {
        let bench = try Bench()
        let expected = try bench.run().bits
        let large: [UInt64] = [.max, 1 << 63, 1 << 62, UInt64(Int.max), UInt64(Int.max) - 4_095, 1 << 40, 0xFFFF_FFFF]
        // File size, entry count, path length; then of the first entry: data offset, data size.
        for value in large {
            for word in [4, 5, 6] { try check { $0[word] = value } }
            for field in [6, 7] { try check { words in words[16 + (Int(words[6]) + 7) / 8 + field] = value } }
            for field in [6, 7] { try check { words in words[16 + (Int(words[6]) + 7) / 8 + field] &+= value } }
            // Any other number of an entry may be anything: it only has to match.
            for field in [0, 1, 2, 3, 4, 5, 8, 9] { try check { words in words[16 + (Int(words[6]) + 7) / 8 + field] = value } }
        }
        func check(_ body: (inout [UInt64]) -> Void) throws {
            try forge(bench, body)
            let run = try bench.run()
            #expect(Self.damage(run.use).written)
            #expect(run.bits == expected)
        }
    }

    @Test("A model that changed is packed again; the old packed weights are replaced") func changedModel() throws {
        let bench = try Bench(seed: 1)
        let first = try bench.run().bits
        try bench.writeModel(seed: 2)
        let plain = try bench.run(cached: false).bits
        #expect(plain != first)
        let run = try bench.run()
        #expect(Self.damage(run.use) == (true, nil))
        #expect(run.bits == plain)
        #expect(try bench.run().bits == plain)
        _ = try bench.cacheFile  // exactly one
    }

    @Test("A byte changed in place with the modification time set back is noticed") func hiddenChange() throws {
        let bench = try Bench()
        _ = try bench.run()
        let before = try #require(try FileManager.default.attributesOfItem(atPath: bench.model)[.modificationDate] as? Date)
        // Between two samples, in the table.
        let handle = try FileHandle(forUpdating: URL(filePath: bench.model))
        try handle.seek(toOffset: 30)
        try handle.write(contentsOf: Data([3]))
        try handle.close()
        try FileManager.default.setAttributes([.modificationDate: before], ofItemAtPath: bench.model)
        let plain = try bench.run(cached: false).bits
        let run = try bench.run()
        #expect(Self.damage(run.use).written)
        #expect(run.bits == plain)
    }

    @Test("A folder that cannot be made does not stop a run") func unwritable() throws {
        let bench = try Bench()
        let expected = try bench.run(cached: false).bits
        // Below a file no folder can be made, whoever asks (root may write anywhere else).
        let run = try bench.run(folder: bench.model + "/packed")
        guard case .failed(_, let reason) = run.use else {
            Issue.record("\(run.use)")
            return
        }
        #expect(reason.contains("cannot be created"))
        #expect(run.bits == expected)
    }

    @Test("A file that cannot be completed does not stop a run, and nothing is left behind")
    func unfinished() throws {
        let bench = try Bench()
        let expected = try bench.run().bits
        let file = try bench.cacheFile
        // The name is taken by a folder that is not empty: the very last step fails.
        try FileManager.default.removeItem(at: file)
        try FileManager.default.createDirectory(at: file.appending(path: "x"), withIntermediateDirectories: true)
        let run = try bench.run()
        guard case .failed = run.use else {
            Issue.record("\(run.use)")
            return
        }
        #expect(run.bits == expected)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.packed) == [file.lastPathComponent])
    }

    @Test("Many load at once while the file is made, damaged and made again") func concurrent() async throws {
        let bench = try Bench()
        let expected = try bench.run(cached: false).bits
        nonisolated(unsafe) let shared = bench
        try await withThrowingTaskGroup(of: [UInt32].self) { group in
            for index in 0..<12 {
                group.addTask {
                    if index % 4 == 3 { try? FileManager.default.removeItem(atPath: shared.packed) }
                    return try shared.run(threads: 1 + index % 3).bits
                }
            }
            for try await bits in group { #expect(bits == expected) }
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: bench.packed)) ?? []
        #expect(!names.contains { $0.contains(".partial-") })
    }

    @Test("Partial files of the dead are removed when they are old, and the folder can be listed and emptied") func folder() throws {
        let bench = try Bench()
        _ = try bench.run()
        let file = try bench.cacheFile
        let (old, new, other) = (file.path + ".partial-1-a", file.path + ".partial-2-b", bench.packed + "/notes.txt")
        for path in [old, new, other] { try Data([1]).write(to: URL(filePath: path)) }
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -3_600)], ofItemAtPath: old)
        try bench.writeModel(seed: 9)
        _ = try bench.run()
        #expect(!FileManager.default.fileExists(atPath: old))
        #expect(FileManager.default.fileExists(atPath: new))

        let folder = WeightCacheFolder(path: bench.packed)
        let entries = folder.entries()
        #expect(entries.map(\.path) == [file.path, new])
        #expect(entries[0].model == URL(filePath: bench.model).resolvingSymlinksInPath().path)
        #expect(entries[0].modelExists)
        #expect(entries[0].byteCount == (try Data(contentsOf: file)).count)
        #expect(entries[1].model == nil)
        #expect(try folder.clear { !$0.modelExists }.map(\.path) == [new])
        #expect(try folder.clear().map(\.path) == [file.path])
        #expect(folder.entries().isEmpty)
        #expect(FileManager.default.fileExists(atPath: other), "only packed weights are deleted")
        #expect(WeightCacheFolder(path: bench.packed + "/nowhere").entries().isEmpty)
    }
}
