// Matrices without their zeros in GGUF: bytes written by hand, whole matrices there and back, and files that lie.
import Foundation
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

@Suite("Sparse tensors in GGUF") struct BitmapTensorTests {
    /// A matrix in q8_0 with that part of zeros.
    private func matrix(rows: Int, columns: Int, zeros: Double, seed: UInt64 = 1) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        return (0..<rows * columns / 32).flatMap { _ in
            [UInt8(truncatingIfNeeded: random.next()), UInt8(truncatingIfNeeded: random.next())]
                + (0..<32).map { _ in Double.random(in: 0..<1, using: &random) < zeros ? 0 : UInt8(truncatingIfNeeded: random.next()) | 1 }
        }
    }

    private func encoded(_ matrix: [UInt8], rows: Int, columns: Int) throws -> [UInt8] {
        try matrix.withUnsafeBytes { try BitmapTensor.encode($0, rows: rows, columns: columns) }
    }

    private func file(_ content: [UInt8], name: String = "w.swiftlet_bitmap") throws -> GGUFFile {
        var raw = RawGGUF(tensors: 1, pairs: 0)
        raw.tensor(name, [UInt64(content.count)], type: 24)
        raw.data(0)
        return try GGUFFile(bytes: raw.bytes + content, name: "sparse")
    }

    @Test("The bytes are those of the document") func layout() throws {
        var bytes = [UInt8](repeating: 0, count: 34 * 2)
        (bytes[0], bytes[1], bytes[2], bytes[33]) = (0x12, 0x34, 7, 0xff)
        (bytes[34], bytes[35], bytes[34 + 2 + 9]) = (0x56, 0x78, 0x80)
        func u64(_ value: UInt8) -> [UInt8] { [value, 0, 0, 0, 0, 0, 0, 0] }
        let expected =
            Array("SWBITMAP".utf8) + [1, 0, 0, 0, 8, 0, 0, 0] + u64(2) + u64(32) + u64(3) + u64(64) + u64(68) + u64(76) + [0x12, 0x34, 0x56, 0x78]
            + [1, 0, 0, 0x80, 0, 2, 0, 0] + [7, 0xff, 0x80]
        #expect(try encoded(bytes, rows: 2, columns: 32) == expected)
        let (format, store) = try file(expected).weight(named: "w")
        #expect(format == .block(.q8_0) && store.withBytes { Array($0) } == bytes)
    }

    @Test("Matrices come back as they were") func roundTrip() throws {
        for (rows, columns) in [(0, 32), (1, 32), (3, 32), (5, 96), (17, 256)] {
            for zeros in [0, 0.5, 0.9, 1] {
                let original = matrix(rows: rows, columns: columns, zeros: zeros)
                let file = try file(encoded(original, rows: rows, columns: columns))
                #expect(file.hasWeight(named: "w") && !file.hasWeight(named: "v"))
                #expect(try file.shapeOfWeight(named: "w").shape == [rows, columns])
                #expect(try file.weight(named: "w").store.withBytes { Array($0) } == original)
            }
        }
    }

    @Test("A written file holds the tensor under its own name") func writer() throws {
        let original = matrix(rows: 6, columns: 64, zeros: 0.5)
        var writer = GGUFWriter()
        try writer.addBitmap(name: "a.weight", shape: [6, 64], store: WeightStore(original))
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "sparse.gguf").path
            try writer.write(to: path)
            let file = try GGUFFile(path: path)
            #expect(file.tensors.map(\.name) == ["a.weight.swiftlet_bitmap"])
            #expect(try file.weight(named: "a.weight").store.withBytes { Array($0) } == original)
            #expect(throws: SwiftletError.self) { try file.weight(named: "b.weight") }
        }
    }

    @Test("What is not such a matrix is refused") func encodeRefuses() {
        #expect(throws: SwiftletError.self) { try encoded([UInt8](repeating: 0, count: 33), rows: 1, columns: 32) }
        #expect(throws: SwiftletError.self) { try encoded([UInt8](repeating: 0, count: 34), rows: 1, columns: 31) }
        #expect(throws: SwiftletError.self) { try encoded([], rows: .max, columns: .max - 31) }
    }

    @Test("Every field of the header is held against the bytes") func hostile() throws {
        let good = try encoded(matrix(rows: 4, columns: 64, zeros: 0.5), rows: 4, columns: 64)
        _ = try file(good).weight(named: "w")
        for place in 0..<64 {
            for change in [UInt8(1), 0x80, 0xff] {
                var bytes = good
                bytes[place] ^= change
                #expect(throws: SwiftletError.self, "byte \(place) ^ \(change)") { try file(bytes).weight(named: "w") }
            }
        }
        // Masks that keep more or fewer than there are.
        for place in 64 + 16..<64 + 16 + 32 {
            var bytes = good
            bytes[place] ^= 4
            #expect(throws: SwiftletError.self, "mask byte \(place)") { try file(bytes).weight(named: "w") }
        }
        for length in 0..<good.count { #expect(throws: SwiftletError.self, "\(length) bytes") { try file(Array(good.prefix(length))).weight(named: "w") } }
        #expect(throws: SwiftletError.self) { try file(good + [0]).weight(named: "w") }
    }

    @Test("A tensor that is there twice, or of another type, is refused") func ambiguous() throws {
        let content = try encoded(matrix(rows: 1, columns: 32, zeros: 0.5), rows: 1, columns: 32)
        var raw = RawGGUF(tensors: 2, pairs: 0)
        raw.tensor("w", [32], type: 24)
        raw.tensor("w.swiftlet_bitmap", [UInt64(content.count)], type: 24, offset: 32)
        raw.data(32)
        let twice = try GGUFFile(bytes: raw.bytes + content, name: "twice")
        #expect(throws: SwiftletError.self) { try twice.weight(named: "w") }
        var floats = RawGGUF(tensors: 1, pairs: 0)
        floats.tensor("w.swiftlet_bitmap", [32], type: 0)
        floats.data(128)
        let other = try GGUFFile(bytes: floats.bytes, name: "floats")
        #expect(throws: SwiftletError.self) { try other.shapeOfWeight(named: "w") }
    }

    @Test("Damaged tensors only throw, or give a matrix of their size") func fuzz() throws {
        let good = try encoded(matrix(rows: 4, columns: 64, zeros: 0.5), rows: 4, columns: 64)
        var mutator = Mutator(seed: 5)
        let (opened, refused) = mutator.outcomes(of: good, headerBytes: 64 + 16 + 32, count: 10_000) { mutant in
            let file = try file(mutant)
            let shape = try file.shapeOfWeight(named: "w").shape
            #expect(try file.weight(named: "w").store.byteCount == shape[0] * shape[1] / 32 * 34)
        }
        #expect(opened > 200 && refused > 2000, "\(opened) opened, \(refused) refused")
    }
}
