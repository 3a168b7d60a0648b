// The writer: byte for byte what the `gguf` Python package writes, and whatever is written reads back the same.
import Foundation
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

@Suite struct GGUFWriterTests {
    @Test func bytesEqualThoseOfTheOracle() throws {
        let source = try GGUFFile(path: vectorFolder.appending(path: "all-types.gguf").path)
        var writer = GGUFWriter()
        for entry in source.metadata.entries { writer.set(entry.key, entry.value) }
        for tensor in source.tensors { try writer.add(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store) }
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "copy.gguf")
            try writer.write(to: path.path)
            #expect([UInt8](try Data(contentsOf: path)) == (try vectorBytes("all-types.gguf")))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["copy.gguf"], "no temporary file is left")
        }
    }

    @Test func splitEqualsThatOfTheOracle() throws {
        let source = try GGUFFile(path: vectorFolder.appending(path: "split-00001-of-00003.gguf").path)
        var writer = GGUFWriter(copying: source.metadata)
        for tensor in source.tensors { try writer.add(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store) }
        try withTemporaryFolder { (folder: URL) throws in
            let names = try writer.write(to: folder.appending(path: "split.gguf").path, tensorsPerPart: 2)
            #expect(names.count == 3)
            for name in names {
                let last = URL(filePath: name).lastPathComponent
                #expect([UInt8](try Data(contentsOf: URL(filePath: name))) == (try vectorBytes(last)), "\(last)")
            }
        }
    }

    @Test(arguments: BlockFormat.allCases) func everyBlockFormatRoundTrips(format: BlockFormat) throws {
        var random = SeededGenerator(seed: UInt64(format.rawValue))
        let bytes = (0..<format.blockBytes * 6).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let shape = Shape([3, 2 * format.blockElements])
        var writer = GGUFWriter()
        try writer.add(name: "a", shape: shape, format: .block(format)) { $0.copyBytes(from: bytes) }
        try writer.add(name: "b", shape: [1], format: .dense(.f32), store: WeightStore([Float(1)]))
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.gguf").path
            try writer.write(to: path)
            let tensor = try GGUFFile(path: path).requiredTensor(named: "a")
            #expect(tensor.shape == shape && tensor.format == .block(format) && tensor.store.withBytes { $0.elementsEqual(bytes) })
        }
    }

    @Test func emptyThingsRoundTrip() throws {
        var writer = GGUFWriter()
        writer.set("empty.strings", .array(.string(GGUFStrings([]))))
        writer.set("empty.ints", .array(.int32([])))
        writer.set("empty.nested", .array(.array([])))
        writer.set("empty.text", .string(""))
        writer.set("replaced", .uint8(1))
        writer.set("replaced", .uint8(2))
        writer.set("removed", .uint8(1))
        writer.remove("removed")
        try writer.add(name: "scalar", shape: [], format: .dense(.f32), store: WeightStore([Float(3)]))
        try writer.add(name: "none", shape: [0, 4], format: .dense(.f32), store: WeightStore([Float]()))
        try writer.add(name: "after", shape: [1], format: .dense(.f32), store: WeightStore([Float(4)]))
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.gguf").path
            try writer.write(to: path)
            let file = try GGUFFile(path: path)
            #expect(file["empty.strings"] == .array(.string(GGUFStrings([]))))
            #expect(file["empty.ints"] == .array(.int32([])))
            #expect(file["empty.nested"] == .array(.array([])))
            #expect(file["empty.text"] == .string(""))
            #expect(file["replaced"] == .uint8(2) && file["removed"] == nil)
            #expect(file.tensor(named: "scalar")?.shape == [])
            #expect(file.tensor(named: "none")?.byteCount == 0)
            #expect(try file.requiredTensor(named: "after").dequantized() == [4])
        }
    }

    @Test func badTensorsAreRefusedAndLeaveNothing() throws {
        var writer = GGUFWriter()
        try writer.add(name: "a", shape: [1], format: .dense(.f32), store: WeightStore([Float(1)]))
        let store = try WeightStore([Float](repeating: 0, count: 32))
        for (name, shape, format) in [
            ("a", Shape([32]), WeightFormat.dense(.f32)), ("b", [31], .dense(.f32)), ("b", [33], .block(.q8_0)),
            ("b", [1, 1, 1, 1, 32], .dense(.f32)),
            ("b", [32], .dense(.u32)), ("b", [Int.max, 4], .dense(.f32)), ("b", [-1], .dense(.f32)),
        ] {
            #expect(throws: SwiftletError.self, "\(name) \(shape) \(format)") {
                try writer.add(name: name, shape: shape, format: format, store: store)
            }
        }
        struct Stop: Error {}
        try writer.add(name: "c", shape: [1], format: .dense(.f32)) { _ in throw Stop() }
        try withTemporaryFolder { (folder: URL) throws in
            #expect(throws: Stop.self) { try writer.write(to: folder.appending(path: "x.gguf").path) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
            writer.set("general.alignment", .uint32(33))
            #expect(throws: SwiftletError.self) { try writer.write(to: folder.appending(path: "x.gguf").path) }
            #expect(throws: SwiftletError.self) { try writer.write(to: folder.appending(path: "no/such/folder/x.gguf").path) }
        }
    }
}
