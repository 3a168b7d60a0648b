// .npy against files of NumPy (Tests/Vectors/make_npy_vectors.py), and against files that lie.
import Foundation
import SwiftletFormats
import SwiftletTensor
import Testing

@Suite struct NPYTests {
    private static let types: [(String, DType)] = [
        ("float64", .f64), ("float32", .f32), ("float16", .f16), ("int64", .i64), ("int32", .i32), ("int16", .i16), ("int8", .i8),
        ("uint64", .u64), ("uint32", .u32), ("uint16", .u16), ("uint8", .u8),
    ]

    private static func path(_ name: String) -> String {
        vectorFolder.deletingLastPathComponent().appending(path: "npy/\(name).npy").path
    }

    private static func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path(name)))) }

    @Test func readsWhatNumPyWrote() throws {
        for (name, type) in Self.types {
            let tensor = try NPYFile.read(path: Self.path(name))
            #expect(tensor.type == type && tensor.shape == [2, 3])
            #expect(try tensor.floats() == [0, 1, 2, 3, 4, 5], "\(name)")
            if type.byteCount > 1 { #expect(try NPYFile.read(path: Self.path("big-\(name)")) == tensor, "\(name), big-endian") }
        }
        let truths = try NPYFile.read(path: Self.path("bool"))
        #expect(truths.type == .bool)
        #expect(try truths.elements(as: Bool.self) == [true, false, true, false, true, false])
        let scalar = try NPYFile.read(path: Self.path("scalar"))
        #expect(try scalar.shape == [] && scalar.elements(as: Float.self) == [2.5])
        let empty = try NPYFile.read(path: Self.path("empty"))
        #expect(empty.shape == [0, 4] && empty.type == .i64 && empty.byteCount == 0)
        for name in ["row", "version2", "version3"] {
            #expect(try NPYFile.read(path: Self.path(name)).elements(as: Float.self) == [0.5, -1, 2, 3, 1e30])
        }
    }

    @Test func fortranOrderIsTransposed() throws {
        let cube = try NPYFile.read(path: Self.path("fortran"))
        #expect(cube.shape == [2, 3, 4])
        #expect(try cube.elements(as: Float.self) == (0..<24).map(Float.init))
        let swapped = try NPYFile.read(path: Self.path("fortran-big"))
        #expect(try swapped.elements(as: Int16.self) == (0..<24).map(Int16.init))
    }

    @Test func writesTheSameBytesAsNumPy() throws {
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.npy").path
            for name in Self.types.map(\.0) + ["bool", "scalar", "row", "empty"] {
                try NPYFile.write(NPYFile.read(path: Self.path(name)), to: path)
                #expect(try [UInt8](Data(contentsOf: URL(filePath: path))) == Self.bytes(name), "\(name)")
            }
            let many = try Tensor(scalar: Float(1)).reshaped(to: Shape([Int](repeating: 1, count: 30_000)))
            try NPYFile.write(many, to: path)
            #expect(try NPYFile.read(path: path) == many)
        }
    }

    @Test func bfloatsHaveNoPlaceInNumPy() throws {
        let tensor = try Tensor(zeros: .bf16, shape: [2])
        try withTemporaryFolder { (folder: URL) throws in
            #expect(throws: SwiftletError.self) { try NPYFile.write(tensor, to: folder.appending(path: "x.npy").path) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }

    /// A file with a header of its own words.
    private static func file(_ header: String, data: Int, version: UInt8 = 1) -> [UInt8] {
        let text = Array(header.utf8)
        let length = (0..<(version == 1 ? 2 : 4)).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + text + [UInt8](repeating: 1, count: data)
    }

    @Test func readsHeadersOfOtherWriters() throws {
        for header in [
            #"{"shape": (2L, 2), "fortran_order":False,"descr":"|u1"}"#, "{'descr': '=u1', 'fortran_order': True, 'shape': (2, 2,)}\n",
            "{'descr':'<u1','fortran_order':False,'shape':( 2 ,2 )}",
        ] {
            #expect(try NPYFile.read(bytes: Self.file(header, data: 4), name: "x").shape == [2, 2], "\(header)")
        }
        let nothing = "{'descr': '<f4', 'fortran_order': True, 'shape': (0, 4611686018427387904, 2), }"
        #expect(try NPYFile.read(bytes: Self.file(nothing, data: 0), name: "x").elementCount == 0)
    }

    @Test(arguments: [
        "", "{", "{}", "[]", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "{'descr': '<f4', 'fortran_order': False, 'shape': ()} \u{0}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (4611686018427387904, 4611686018427387904)}",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (0, 4611686018427387904, 4611686018427387904)}x",
    ]) func refusesHeadersThatLie(header: String) {
        #expect(throws: SwiftletError.self) { try NPYFile.read(bytes: Self.file(header, data: 4), name: "x") }
    }

    @Test(arguments: [
        "[('a', '<f4'), ('b', '<i4')]", "'<c8'", "'|O'", "'<U4'", "'<M8[s]'", "'|S4'", "'<f3'", "'<V2'", "'|f4'", "'f4'", "''", "'?'",
    ]) func namesTypesItDoesNotRead(descr: String) {
        let bytes = Self.file("{'descr': \(descr), 'fortran_order': False, 'shape': (1,)}", data: 4)
        do {
            _ = try NPYFile.read(bytes: bytes, name: "x")
            Issue.record("\(descr) was read")
        } catch SwiftletError.unsupported {
        } catch {
            Issue.record("\(descr): \(error)")
        }
    }

    @Test func refusesWrongEnvelopes() throws {
        let whole = try Self.bytes("float32")
        for count in 0..<whole.count {
            #expect(throws: SwiftletError.self) { try NPYFile.read(bytes: whole.prefix(count), name: "x") }
        }
        #expect(throws: SwiftletError.self) { try NPYFile.read(bytes: whole + [0], name: "x") }
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}"
        #expect(throws: SwiftletError.self) { try NPYFile.read(bytes: Self.file(header, data: 4, version: 4), name: "x") }
        #expect(throws: SwiftletError.self) { try NPYFile.read(path: Self.path("none")) }
    }

    @Test(arguments: ["float32", "fortran", "big-uint16", "version3"]) func mutatedFilesOnlyThrow(name: String) throws {
        let bytes = try Self.bytes(name)
        var mutator = Mutator(seed: UInt64(name.utf8.count))
        var opened = 0, refused = 0
        for index in 0..<10_000 {
            do {
                let tensor = try NPYFile.read(bytes: mutator.mutated(bytes, headerBytes: 80), name: "mutant")
                #expect(try tensor.floats().count == tensor.elementCount)
                opened += 1
            } catch is SwiftletError {
                refused += 1
            } catch {
                Issue.record("case \(index): \(error)")
            }
        }
        #expect(opened > 50 && refused > 2000, "\(opened) opened, \(refused) refused")
    }
}
