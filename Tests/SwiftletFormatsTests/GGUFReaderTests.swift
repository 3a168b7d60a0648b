// The reader against a file of the `gguf` Python package that holds every metadata type (Tests/Vectors/make_file_vectors.py).
import Foundation
import SwiftletFormats
import SwiftletTensor
import Testing

@Suite struct GGUFReaderTests {
    private let file: GGUFFile

    init() throws { file = try GGUFFile(path: vectorFolder.appending(path: "all-types.gguf").path) }

    @Test func scalarsOfEveryType() {
        #expect(file.version == 3)
        #expect(file.alignment == 64)
        #expect(file["general.architecture"] == .string("test"))
        #expect(file["a.u8"] == .uint8(200))
        #expect(file["a.i8"] == .int8(-100))
        #expect(file["a.u16"] == .uint16(60000))
        #expect(file["a.i16"] == .int16(-30000))
        #expect(file["a.u32"] == .uint32(4_000_000_000))
        #expect(file["a.i32"] == .int32(-2_000_000_000))
        #expect(file["a.f32"] == .float32(0.1))
        #expect(file["a.true"] == .bool(true))
        #expect(file["a.false"] == .bool(false))
        #expect(file["a.string"] == .string("Grüße, 世界 🌍"))
        #expect(file["a.u64"] == .uint64(.max))
        #expect(file["a.i64"] == .int64(.min))
        #expect(file["a.f64"] == .float64(0.1))
        #expect(file["missing"] == nil)
        #expect(file.metadata.entries.prefix(3).map(\.key) == ["general.architecture", "general.alignment", "a.u8"])
    }

    @Test func arraysOfEveryType() {
        #expect(file["array.u8"] == .array(.uint8([0, 255])))
        #expect(file["array.i8"] == .array(.int8([-128, 127])))
        #expect(file["array.u16"] == .array(.uint16([0, 65535])))
        #expect(file["array.i16"] == .array(.int16([-32768, 32767])))
        #expect(file["array.u32"] == .array(.uint32([0, .max])))
        #expect(file["array.i32"] == .array(.int32([.min, .max])))
        #expect(file["array.f32"] == .array(.float32([0.5, -1e30])))
        #expect(file["array.bool"] == .array(.bool([true, false, true])))
        #expect(file["array.string"] == .array(.string(GGUFStrings(["", "one", "zwei ü", "<|end|>"]))))
        #expect(file["array.u64"] == .array(.uint64([0, .max])))
        #expect(file["array.i64"] == .array(.int64([.min, .max])))
        #expect(file["array.f64"] == .array(.float64([0.1, -1e300])))
        #expect(file["array.nested"] == .array(.array([.int32([1, 2, 3]), .int32([4])])))
    }

    @Test func stringsDecodeOnDemand() throws {
        let strings = try file.metadata.requiredStrings("array.string")
        #expect(Array(strings) == ["", "one", "zwei ü", "<|end|>"])
        #expect(strings.withBytes(at: 2) { Array($0) } == Array("zwei ü".utf8))
        #expect(strings.bytes(at: 0).isEmpty)
        #expect(strings.firstIndex(of: "<|end|>") == 3)
    }

    @Test func accessorsConvertAndNameWhatIsWrong() throws {
        let metadata = file.metadata
        #expect(try metadata.requiredInt("a.i16") == -30000)
        #expect(try metadata.int("missing") == nil)
        #expect(try metadata.int("missing", default: 7) == 7)
        #expect(try metadata.requiredFloat("a.f64") == 0.1)
        #expect(try metadata.float("a.u8") == 200)
        #expect(try metadata.bool("a.true", default: false))
        #expect(try metadata.requiredInts("array.i8") == [-128, 127])
        #expect(try metadata.floats("array.f32") == [0.5, -1e30])
        #expect(try metadata.bools("array.bool") == [true, false, true])
        #expect(try metadata.ints("a.u8", perLayer: 3) == [200, 200, 200])
        #expect(try metadata.ints("array.u16", perLayer: 2) == [0, 65535])
        for wrong in [
            { _ = try metadata.requiredInt("a.string") }, { _ = try metadata.int("a.u64") }, { _ = try metadata.int("a.f32", default: 1) },
            { _ = try metadata.strings("a.string") }, { _ = try metadata.ints("array.u64") },
            { _ = try metadata.ints("array.u16", perLayer: 3) },
            { _ = try metadata.bool("a.u8") }, { _ = try metadata.string("a.u8", default: "") },
        ] as [() throws -> Void] {
            let error = #expect(throws: SwiftletError.self) { try wrong() }
            guard case .malformed(let path, let offset, let reason, _) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(path == file.path && offset > 24 && reason.contains("metadata key 'a"))
        }
        let missing = #expect(throws: SwiftletError.self) { try metadata.requiredString("no.such.key") }
        #expect(missing?.description.contains("'no.such.key'") == true)
    }

    @Test func tensorsHaveRowMajorShapesAndTheirBytes() throws {
        let ramp: [Float] = [0, 1, 2, 3, 4, 5]
        for name in ["f32", "f16", "f64"] {
            let tensor = try file.requiredTensor(named: name)
            #expect(tensor.shape == [2, 3])
            #expect(try tensor.dequantized() == ramp)
            #expect(tensor.fileOffset % 64 == 0)
        }
        let i8 = try file.requiredTensor(named: "i8")
        #expect(i8.shape == [2, 2, 2])
        #expect(try i8.dequantized() == [-4, -3, -2, -1, 0, 1, 2, 3])
        let i16 = try file.requiredTensor(named: "i16")
        #expect(try i16.dequantized() == [0, 1, 2, 3, 4])
        #expect(try file.requiredTensor(named: "i32").shape == [1, 2, 3, 4])
        #expect(try file.requiredTensor(named: "i64").store.withBytes { $0.loadUnaligned(as: Int64.self) } == 1 << 40)
        for (name, tolerance) in [("BF16", Float(0.004)), ("Q8_0", 0.005), ("Q4_1", 0.01), ("TQ1_0", 0.51)] {
            let tensor = try file.requiredTensor(named: name)
            #expect(tensor.shape == [2, 256])
            #expect(tensor.format.description == name)
            let values = try tensor.dequantized()
            for (index, value) in values.enumerated() {
                let expected = -1 + 2 * Float(index) / 511
                #expect(abs(value - expected) <= tolerance, "\(name)[\(index)]")
            }
        }
        #expect(file.tensor(named: "nothing") == nil)
        #expect(throws: SwiftletError.self) { try file.requiredTensor(named: "nothing") }
        #expect(file.tensors.map(\.name).prefix(3) == ["f32", "f16", "f64"])
    }

    @Test func versionTwoIsTheSameLayout() throws {
        var bytes = try vectorBytes("all-types.gguf")
        bytes[4] = 2
        let file = try GGUFFile(bytes: bytes, name: "v2")
        #expect(file.version == 2)
        #expect(file.metadata.entries == self.file.metadata.entries)
    }
}

@Suite struct GGUFSplitTests {
    @Test(arguments: 1...3) func anyPartOpensAll(part: Int) throws {
        let file = try GGUFFile(path: vectorFolder.appending(path: "split-0000\(part)-of-00003.gguf").path)
        #expect(file.tensors.map(\.name) == (0..<5).map { "tensor.\($0)" })
        #expect(file.parts.count == 3)
        #expect(try file.metadata.requiredString("general.name") == "split")
        for (index, tensor) in file.tensors.enumerated() {
            #expect(tensor.shape == Shape([index + 1, 4]))
            let values = try tensor.dequantized()
            #expect(values.allSatisfy { $0 == Float(index) })
        }
    }

    /// Copies the parts, lets `damage` change them, and returns the error of opening the first.
    private func errorAfter(_ damage: (URL) throws -> Void) throws -> SwiftletError? {
        try withTemporaryFolder { (folder: URL) throws in
            for part in 1...3 {
                let name = "split-0000\(part)-of-00003.gguf"
                try FileManager.default.copyItem(at: vectorFolder.appending(path: name), to: folder.appending(path: name))
            }
            try damage(folder)
            return #expect(throws: SwiftletError.self) { try GGUFFile(path: folder.appending(path: "split-00001-of-00003.gguf").path) }
        }
    }

    @Test func missingPartIsNamed() throws {
        let error = try errorAfter { try FileManager.default.removeItem(at: $0.appending(path: "split-00002-of-00003.gguf")) }
        guard case .io(let path, let reason, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(path.hasSuffix("split-00002-of-00003.gguf") && reason.contains("part 2 of 3"))
    }

    @Test func foreignPartIsRefused() throws {
        for source in ["split-00003-of-00003.gguf", "all-types.gguf"] {
            let error = try errorAfter { folder in
                let second = folder.appending(path: "split-00002-of-00003.gguf")
                try FileManager.default.removeItem(at: second)
                try FileManager.default.copyItem(at: vectorFolder.appending(path: source), to: second)
            }
            guard case .malformed = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test func partUnderAnotherNameIsRefused() throws {
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "model.gguf")
            try FileManager.default.copyItem(at: vectorFolder.appending(path: "split-00001-of-00003.gguf"), to: path)
            let error = #expect(throws: SwiftletError.self) { try GGUFFile(path: path.path) }
            #expect(error?.description.contains("-00001-of-00003.gguf") == true)
        }
    }
}

@Suite struct GGUFVocabularyTests {
    /// The largest vocabularies hold 262,144 strings: opening keeps where they start, and makes none of them.
    @Test func largeVocabulariesAreReadInPlace() throws {
        let count = 262_144
        var writer = GGUFWriter()
        writer.set("tokens", .array(.string(GGUFStrings((0..<count).map { "token \($0)" }))))
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "vocabulary.gguf").path
            try writer.write(to: path)
            let tokens = try GGUFFile(path: path).metadata.requiredStrings("tokens")
            #expect(tokens.count == count && tokens[count - 1] == "token \(count - 1)" && tokens[77] == "token 77")
        }
    }
}
