// safetensors against a file of the Python library (Tests/Vectors/make_file_vectors.py), and against files that lie.
import Foundation
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

@Suite struct SafetensorsTests {
    private static let types: [(String, DType)] = [
        ("float64", .f64), ("float32", .f32), ("float16", .f16), ("int64", .i64), ("int32", .i32), ("int16", .i16), ("int8", .i8),
        ("uint64", .u64), ("uint32", .u32), ("uint16", .u16), ("uint8", .u8),
    ]

    @Test func readsWhatTheLibraryWrote() throws {
        let file = try SafetensorsFile(path: vectorFolder.appending(path: "all-types.safetensors").path)
        #expect(file.metadata.map(\.key) == ["note"])
        #expect(file.metadata.first?.value == "Grüße \"quoted\"")
        for (name, type) in Self.types {
            let tensor = try file.requiredTensor(named: name)
            #expect(tensor.type == type && tensor.shape == [2, 3])
            #expect(try tensor.dequantized() == [0, 1, 2, 3, 4, 5], "\(name)")
        }
        #expect(try file.requiredTensor(named: "bool").dequantized() == [1, 0, 1, 0, 1, 0])
        #expect(try file.requiredTensor(named: "scalar").dequantized() == [2.5])
        #expect(try file.requiredTensor(named: "scalar").shape == [])
        #expect(try file.requiredTensor(named: "empty").shape == [0, 4])
        #expect(file.tensor(named: "none") == nil)
        #expect(throws: SwiftletError.self) { try file.requiredTensor(named: "none") }
    }

    @Test func writesTheSameBytesAsTheLibrary() throws {
        let source = try SafetensorsFile(path: vectorFolder.appending(path: "all-types.safetensors").path)
        var writer = SafetensorsWriter(metadata: source.metadata)
        for tensor in source.tensors.reversed() {
            try writer.add(name: tensor.name, shape: tensor.shape, type: tensor.type, store: tensor.store)
        }
        try withTemporaryFolder { (folder: URL) throws in
            let path = folder.appending(path: "x.safetensors")
            try writer.write(to: path.path)
            #expect([UInt8](try Data(contentsOf: path)) == (try vectorBytes("all-types.safetensors")))
        }
    }

    @Test func oddNamesAndEveryTypeRoundTrip() throws {
        let names = ["a\"b\\c", "tab\tnewline\n\u{1}", "世界 🌍", "", "plain"]
        for type in DType.allCases {
            var writer = SafetensorsWriter()
            for (index, name) in names.enumerated() {
                let bytes = (0..<3 * type.byteCount).map { UInt8(($0 + index) % 2) }
                try writer.add(name: name, shape: [3], type: type, store: WeightStore(bytes))
            }
            try withTemporaryFolder { (folder: URL) throws in
                let path = folder.appending(path: "x.safetensors").path
                try writer.write(to: path)
                let file = try SafetensorsFile(path: path)
                for (index, name) in names.enumerated() {
                    let tensor = try file.requiredTensor(named: name)
                    #expect(tensor.type == type)
                    #expect(tensor.store.withBytes { Array($0) } == (0..<3 * type.byteCount).map { UInt8(($0 + index) % 2) })
                }
            }
        }
    }

    @Test func writerRefusesWhatNoReaderTakes() throws {
        var writer = SafetensorsWriter()
        let store = try WeightStore([Float](repeating: 0, count: 4))
        try writer.add(name: "a", shape: [4], type: .f32, store: store)
        for (name, shape, type) in [
            ("a", Shape([4]), DType.f32), ("b", [5], .f32), ("b", [4], .f16), ("b", [-4], .f32), ("__metadata__", [4], .f32),
        ] {
            #expect(throws: SwiftletError.self) { try writer.add(name: name, shape: shape, type: type, store: store) }
        }
        writer.metadata = [("k", "1"), ("k", "2")]
        try withTemporaryFolder { (folder: URL) throws in
            #expect(throws: SwiftletError.self) { try writer.write(to: folder.appending(path: "x").path) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }
}

@Suite struct SafetensorsHostileTests {
    private func file(_ header: String, data: Int, length: UInt64? = nil) -> [UInt8] {
        withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Array($0) } + Array(header.utf8)
            + [UInt8](repeating: 0, count: data)
    }

    private func expectMalformed(_ bytes: [UInt8], at offset: Int, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let error = #expect(throws: SwiftletError.self, sourceLocation: sourceLocation) {
            try SafetensorsFile(bytes: bytes, name: "hostile")
        }
        guard case .malformed(let name, let found, let reason, _)? = error else {
            Issue.record("\(String(describing: error))", sourceLocation: sourceLocation)
            return
        }
        #expect(name == "hostile" && found == offset && reason.contains(words), "\(reason) at \(found)", sourceLocation: sourceLocation)
    }

    private let one = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#

    @Test func goodOnesOpen() throws {
        let tensor = try SafetensorsFile(bytes: file(one, data: 8), name: "ok").requiredTensor(named: "a")
        #expect(tensor.shape == [2] && tensor.byteCount == 8)
        let spaced = "{ \"\\u0061\\ud83c\\udf0d\" : { \"shape\" : [ 2 ] ,\n\"data_offsets\":[0, 8], \"dtype\":\"F32\" } }   "
        #expect(try SafetensorsFile(bytes: file(spaced, data: 8), name: "ok").tensors.first?.name == "a🌍")
        #expect(try SafetensorsFile(bytes: file("{}", data: 0), name: "ok").tensors.isEmpty)
        // A header of an odd length puts the floats at an odd address: they are copied, and right.
        let bytes = file(one + " ", data: 0) + [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40]
        #expect(try SafetensorsFile(bytes: bytes, name: "ok").tensors.first?.dequantized() == [1, 2])
    }

    @Test func headerLength() {
        expectMalformed([], at: 0, "header length")
        expectMalformed([1, 2, 3], at: 0, "header length")
        for length in [UInt64(63), 1 << 40, UInt64(Int.max), .max] {
            expectMalformed(file(one, data: 8, length: length), at: 0, "header length")
        }
        expectMalformed(file("", data: 0), at: 8, "start with '{'")
        expectMalformed(file(" " + one, data: 8), at: 8, "start with '{'")
        expectMalformed(file(one, data: 8, length: 20), at: 28, "was expected")
        expectMalformed(file(one + "x", data: 8), at: 62, "after its closing brace")
    }

    @Test func headerJSON() {
        let b = #","b":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}"#
        #expect(throws: Never.self) { try SafetensorsFile(bytes: file(String(one.dropLast()) + b, data: 12), name: "ok") }
        expectMalformed(file(String(one.dropLast()) + "," + String(one.dropFirst()), data: 8), at: 62, "appears twice")
        expectMalformed(file(#"{"__metadata__":{"k":"1","k":"2"}}"#, data: 0), at: 33, "appears twice")
        expectMalformed(file(#"{"__metadata__":{"k":1}}"#, data: 0), at: 29, "'\"' was expected")
        expectMalformed(file(#"{"a":[]}"#, data: 0), at: 13, "'{' was expected")
        expectMalformed(
            file(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, data: 8), at: 61, "unknown or repeated key 'x'")
        expectMalformed(file(#"{"a":{"dtype":"F32","dtype":"F32"}}"#, data: 8), at: 28, "unknown or repeated key 'dtype'")
        for missing in [
            #"{"a":{}}"#, #"{"a":{"dtype":"F32","shape":[2]}}"#, #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}"#,
        ] {
            expectMalformed(file(missing, data: 8), at: 9, "needs a dtype")
        }
        for (shape, words) in [
            ("-1", "not negative"), ("2.0", "']' was expected"), ("02", "starts with 0"), ("1e3", "']' was expected"),
            ("99999999999999999999", "too large"), ("\"2\"", "not negative"), ("[2]", "not negative"),
        ] {
            let error = #expect(throws: SwiftletError.self) {
                try SafetensorsFile(bytes: file(#"{"a":{"dtype":"F32","shape":[\#(shape)],"data_offsets":[0,8]}}"#, data: 8), name: "x")
            }
            #expect(error?.description.contains(words) == true, "\(shape): \(String(describing: error))")
        }
        for name in [#"\x"#, #"\u12"#, #"\ud800"#, #"\ud800\u0041"#, "\u{1}"] {
            #expect(throws: SwiftletError.self, "\(name)") {
                try SafetensorsFile(bytes: file(#"{"\#(name)":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: 8), name: "x")
            }
        }
        var invalid = file(one, data: 8)
        invalid[10] = 0xFF
        expectMalformed(invalid, at: 10, "not valid UTF-8")
    }

    @Test func tensors() {
        func two(_ first: String, _ second: String) -> String {
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[\#(first)]},"b":{"dtype":"F32","shape":[2],"data_offsets":[\#(second)]}}"#
        }
        #expect(throws: Never.self) { try SafetensorsFile(bytes: file(two("8,16", "0,8"), data: 16), name: "ok") }
        expectMalformed(file(two("0,8", "4,12"), data: 12), at: 62, "overlaps")
        expectMalformed(file(two("0,8", "9,17"), data: 17), at: 62, "leaves a hole")
        expectMalformed(file(two("0,8", "8,16"), data: 15), at: 62, "the file has 15 bytes")
        expectMalformed(file(two("0,8", "8,16"), data: 17), at: 8 + two("0,8", "8,16").utf8.count + 16, "belong to none")
        expectMalformed(file(#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, data: 8), at: 9, "does not take 8 bytes")
        expectMalformed(file(#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}}"#, data: 8), at: 9, "does not take 8 bytes")
        let huge = #"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#
        expectMalformed(file(huge, data: 8), at: 9, "does not take 8 bytes")
        let error = #expect(throws: SwiftletError.self) {
            try SafetensorsFile(bytes: file(one.replacing("F32", with: "F8_E4M3"), data: 8), name: "x")
        }
        guard case .unsupported(_, let place, let reason, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(place.contains("'a'") && reason.contains("F8_E4M3"))
    }

    @Test func truncatedAtEveryByte() throws {
        let whole = try vectorBytes("all-types.safetensors")
        for length in 0..<whole.count {
            let error = #expect(throws: SwiftletError.self) { try SafetensorsFile(bytes: whole[..<length], name: "cut") }
            guard case .malformed(_, let offset, _, _)? = error, offset <= length else {
                Issue.record("\(length) bytes: \(String(describing: error))")
                return
            }
        }
    }

    @Test func mutatedFilesOnlyThrow() throws {
        let bytes = try vectorBytes("all-types.safetensors")
        var mutator = Mutator(seed: 99)
        let (opened, refused) = mutator.outcomes(of: bytes, headerBytes: 960, count: 20_000) { mutant in
            let file = try SafetensorsFile(bytes: mutant, name: "mutant")
            for tensor in file.tensors { #expect(try tensor.dequantized().count == tensor.shape.elementCount) }
        }
        #expect(opened > 500 && refused > 5000, "\(opened) opened, \(refused) refused")
    }
}
