// Files that lie: each gives a typed error at the byte where the lie stands.
import SwiftletFormats
import SwiftletTensor
import Testing

@Suite struct GGUFHostileTests {
    /// Expects `.malformed` at `offset`, with `words` in the reason.
    private func expectMalformed(_ bytes: [UInt8], at offset: Int, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let error = #expect(throws: SwiftletError.self, sourceLocation: sourceLocation) { try GGUFFile(bytes: bytes, name: "hostile") }
        guard case .malformed(let file, let found, let reason, let remedy)? = error else {
            Issue.record("\(String(describing: error))", sourceLocation: sourceLocation)
            return
        }
        #expect(
            file == "hostile" && found == offset && reason.contains(words) && !remedy.isEmpty, "\(reason) at \(found)",
            sourceLocation: sourceLocation)
    }

    private func expectMalformed(_ file: RawGGUF, at offset: Int, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        expectMalformed(file.bytes, at: offset, words, sourceLocation: sourceLocation)
    }

    @Test func theHandMadeFilesAreRightToBeginWith() throws {
        #expect(try GGUFFile(bytes: RawGGUF.pair("k", 7).bytes, name: "ok").metadata.requiredInt("k") == 7)
        let two = RawGGUF.tensors([("a", [4], 0, 0), ("b", [4, 2], 0, 32)], data: 64)
        #expect(try GGUFFile(bytes: two.bytes, name: "ok").tensors.count == 2)
    }

    @Test func header() {
        expectMalformed([], at: 0, "ends inside the magic")
        expectMalformed(Array("GGML".utf8) + [UInt8](repeating: 0, count: 40), at: 0, "not a GGUF file")
        expectMalformed(RawGGUF(version: 1, tensors: 0, pairs: 0), at: 4, "version 1")
        expectMalformed(RawGGUF(version: 4, tensors: 0, pairs: 0), at: 4, "version 4")
        expectMalformed(RawGGUF(version: 0, tensors: 0, pairs: 0), at: 4, "version 0")
        let bigEndian = #expect(throws: SwiftletError.self) {
            try GGUFFile(bytes: RawGGUF(version: 3 << 24, tensors: 0, pairs: 0).bytes, name: "x")
        }
        #expect(bigEndian?.description.contains("big-endian") == true)
    }

    @Test func countsBeyondTheFile() {
        for count in [1, 1 << 31, UInt64(Int.max), .max] {
            expectMalformed(RawGGUF(tensors: count, pairs: 0), at: 8, "tensor count")
            expectMalformed(RawGGUF(tensors: 0, pairs: count), at: 16, "metadata count")
        }
    }

    @Test func keysAndStrings() {
        for length in [30, UInt64(Int.max), .max] {
            var file = RawGGUF(tensors: 0, pairs: 1)
            file.u64(length)
            file.u64(0)
            expectMalformed(file, at: 24, "the length of metadata key 0")
        }
        var invalid = RawGGUF(tensors: 0, pairs: 1)
        invalid.raw([0x61, 0xFF, 0xC0])
        invalid.u32(4)
        invalid.u32(0)
        expectMalformed(invalid, at: 32, "not valid UTF-8")
        var long = RawGGUF(tensors: 0, pairs: 1)
        long.text(String(repeating: "k", count: 65_536))
        long.u32(4)
        long.u32(0)
        expectMalformed(long, at: 24, "the limit is 65535")
        var twice = RawGGUF(tensors: 0, pairs: 2)
        for _ in 0..<2 {
            twice.text("k")
            twice.u32(4)
            twice.u32(1)
        }
        expectMalformed(twice, at: 24 + 17, "'k' appears twice")
        var value = RawGGUF(tensors: 0, pairs: 1)
        value.text("k")
        value.u32(8)
        value.raw([0x80])
        expectMalformed(value, at: 24 + 9 + 4 + 8, "not valid UTF-8")
    }

    @Test func valuesAndArrays() {
        func array(_ elementType: UInt32, count: UInt64, _ body: [UInt8] = []) -> RawGGUF {
            var file = RawGGUF(tensors: 0, pairs: 1)
            file.text("k")
            file.u32(9)
            file.u32(elementType)
            file.u64(count)
            for byte in body { file.u8(byte) }
            return file
        }
        var unknown = RawGGUF(tensors: 0, pairs: 1)
        unknown.text("k")
        unknown.u32(13)
        expectMalformed(unknown, at: 33, "unknown value type 13")
        expectMalformed(array(99, count: 0), at: 37, "unknown value type 99")
        var bool = RawGGUF(tensors: 0, pairs: 1)
        bool.text("k")
        bool.u32(7)
        bool.u8(2)
        expectMalformed(bool, at: 37, "not 0 or 1")
        expectMalformed(array(7, count: 2, [1, 3]), at: 50, "not 0 or 1")
        for type in [UInt32(0), 4, 6, 8, 9, 10, 12] {
            for count in [UInt64(9), 1 << 40, UInt64(Int.max), .max, .max / 8 + 2] {
                expectMalformed(array(type, count: count, [1, 2, 3, 4, 5, 6, 7, 8]), at: 41, "the length of 'k'")
            }
        }
        expectMalformed(array(8, count: 1, [255, 255, 255, 255, 255, 255, 255, 127]), at: 49, "the length of string 0")
        // Arrays in arrays in arrays ...: deeper than the limit, long before the stack feels it.
        var nested = array(9, count: 1)
        for _ in 0..<10_000 {
            nested.u32(9)
            nested.u64(1)
        }
        expectMalformed(nested, at: 41 + 8 + 3 * 12, "nested more than 4 deep")
    }

    @Test func alignment() {
        for value in [UInt32(0), 1, 4, 12, 33, .max] { expectMalformed(RawGGUF.pair("general.alignment", value), at: 24, "power of two") }
        var text = RawGGUF(tensors: 0, pairs: 1)
        text.text("general.alignment")
        text.u32(8)
        text.text("32")
        expectMalformed(text, at: 24, "power of two")
        // A huge alignment moves the data beyond the end: fine without tensors, an error with one.
        #expect(throws: Never.self) { try GGUFFile(bytes: RawGGUF.pair("general.alignment", 1 << 31).bytes, name: "ok") }
    }

    @Test func tensorShapesAndTypes() {
        expectMalformed(RawGGUF.tensors([("a", [4], 0, 0), ("a", [4], 0, 32)], data: 64), at: 24 + 33, "'a' appears twice")
        expectMalformed(RawGGUF.tensors([("a", [1, 1, 1, 1, 4], 0, 0)], data: 32), at: 33, "5 dimensions")
        var rank = RawGGUF.tensors([("a", [4], 0, 0)], data: 32).bytes
        rank[36] = 0xFF
        expectMalformed(rank, at: 33, "dimensions")
        expectMalformed(RawGGUF.tensors([("a", [.max], 0, 0)], data: 32), at: 37, "too large")
        expectMalformed(RawGGUF.tensors([("a", [1 << 62], 0, 0)], data: 32), at: 37, "does not fit")
        expectMalformed(RawGGUF.tensors([("a", [1 << 32, 1 << 31], 0, 0)], data: 32), at: 37, "does not fit")
        expectMalformed(RawGGUF.tensors([("a", [33], 2, 0)], data: 32), at: 37, "does not fit")
        expectMalformed(RawGGUF.tensors([("a", [], 2, 0)], data: 32), at: 37, "does not fit")
        for type in [UInt32(4), 5, 9, 15, 31, 40, .max] {  // removed, internal or unknown types
            let error = #expect(throws: SwiftletError.self) {
                try GGUFFile(bytes: RawGGUF.tensors([("a", [32], type, 0)], data: 64).bytes, name: "x")
            }
            guard case .unsupported(_, let place, let reason, _)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(place.contains("'a'") && reason.contains("\(type)"))
        }
    }

    @Test func tensorPlaces() {
        expectMalformed(RawGGUF.tensors([("a", [4], 0, 16)], data: 64), at: 49, "not a multiple of the alignment")
        expectMalformed(RawGGUF.tensors([("a", [4], 0, .max)], data: 64), at: 49, "not a multiple of the alignment")
        expectMalformed(RawGGUF.tensors([("a", [4], 0, UInt64(Int.max) - 31)], data: 64), at: 24, "leaves a hole")
        expectMalformed(RawGGUF.tensors([("a", [4], 0, 32)], data: 64), at: 24, "leaves a hole")
        expectMalformed(RawGGUF.tensors([("a", [16], 0, 0), ("b", [4], 0, 32)], data: 64), at: 57, "overlaps")
        expectMalformed(RawGGUF.tensors([("a", [4], 0, 0), ("b", [4], 0, 0)], data: 64), at: 57, "overlaps")
        expectMalformed(RawGGUF.tensors([("a", [17], 0, 0)], data: 64), at: 24, "needs 68 bytes")
        expectMalformed(RawGGUF.tensors([("a", [1 << 40], 0, 0)], data: 64), at: 24, "bytes at data offset 0")
        expectMalformed(RawGGUF.tensors([("a", [(1 << 61) - 1], 0, 0)], data: 64), at: 24, "bytes at data offset 0")
        // The same shape as a smaller type leaves bytes that belong to no tensor.
        expectMalformed(RawGGUF.tensors([("a", [16], 1, 0)], data: 64), at: 64 + 32, "belong to none")
        expectMalformed(RawGGUF.tensors([("a", [4], 0, 0), ("b", [4], 0, 64)], data: 96), at: 57, "leaves a hole")
    }

    /// Every prefix of a file with all value types fails, and says where within the prefix.
    @Test func truncatedAtEveryByte() throws {
        let whole = try vectorBytes("all-types.gguf")
        let last = try GGUFFile(bytes: whole, name: "whole").tensors.map { $0.fileOffset + $0.byteCount }.max() ?? 0
        for length in 0..<last {
            let error = #expect(throws: SwiftletError.self) { try GGUFFile(bytes: whole[..<length], name: "cut") }
            guard case .malformed(_, let offset, _, _)? = error, offset <= length else {
                Issue.record("\(length) bytes: \(String(describing: error))")
                return
            }
        }
        // The padding after the last tensor holds nothing.
        #expect(throws: Never.self) { try GGUFFile(bytes: whole[..<last], name: "whole") }
    }
}
