// The elements of tensors in every way a file can store them: raw, typed arrays, external files; and every lie about them.
import Foundation
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

@Suite struct ONNXTensorTests {
    /// The bytes of the one initialiser of a model.
    private func bytes(_ tensor: RawMessage) throws -> [UInt8] {
        let model = RawONNX.model(RawONNX.graph(outputs: [RawONNX.untyped("w")], initializers: [tensor]))
        let read = try #require(try ONNXFile(bytes: model, name: "model").graph.initializers.first)
        guard case .elements(let store) = read.content else { return [] }
        #expect(store.byteCount == read.byteCount && read.type.byteCount(elements: read.shape.elementCount) == read.byteCount)
        return store.withBytes { Array($0) }
    }

    private func expectError(_ tensor: RawMessage, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let error = #expect(throws: SwiftletError.self, sourceLocation: sourceLocation) { _ = try bytes(tensor) }
        #expect(
            error?.description.contains(words) == true && error?.description.contains("model") == true, "\(String(describing: error))",
            sourceLocation: sourceLocation)
    }

    @Test func typedArraysBecomeTheLayoutOfRawData() throws {
        func w(_ type: Int, _ dimensions: [Int], _ data: (inout RawMessage) -> Void) throws -> [UInt8] {
            try bytes(RawONNX.tensor("w", dimensions, type: type, data))
        }
        #expect(try w(1, [2]) { $0.packed(4, fixed: [Float(1.5), -0]) } == rawBytes([Float(1.5), -0]))
        // Writers that pack nothing put each element in a field of its own.
        #expect(
            try w(1, [2]) {
                $0.float(4, 1.5)
                $0.float(4, 2)
            } == rawBytes([Float(1.5), 2]))
        #expect(try w(14, [1]) { $0.packed(4, fixed: [Float(1), 2]) } == rawBytes([Float(1), 2]))
        #expect(try w(11, [1]) { $0.packed(10, fixed: [-2.5]) } == rawBytes([-2.5]))
        #expect(try w(15, [1]) { $0.packed(10, fixed: [1.0, 2]) } == rawBytes([1.0, 2]))
        #expect(try w(7, [2]) { $0.packed(7, [.min, 1 << 40]) } == rawBytes([Int64.min, 1 << 40]))
        #expect(try w(6, [2]) { $0.packed(5, [-5, 1 << 30]) } == rawBytes([Int32(-5), 1 << 30]))
        #expect(try w(5, [2]) { $0.packed(5, [-32768, 32767]) } == rawBytes([Int16.min, .max]))
        #expect(try w(4, [2]) { $0.packed(5, [0, 65535]) } == rawBytes([UInt16(0), .max]))
        #expect(try w(3, [2]) { $0.packed(5, [-128, 127]) } == [0x80, 0x7F])
        #expect(try w(2, [2]) { $0.packed(5, [0, 255]) } == [0, 255])
        #expect(try w(9, [3]) { $0.packed(5, [0, 1, 1]) } == [0, 1, 1])
        #expect(try w(10, [2]) { $0.packed(5, [0x3C00, 0xBC00]) } == rawBytes([UInt16(0x3C00), 0xBC00]))
        #expect(try w(16, [1]) { $0.packed(5, [0x3F80]) } == [0x80, 0x3F])
        #expect(try w(12, [2]) { $0.packed(11, [1, 0xFFFF_FFFF]) } == rawBytes([UInt32(1), .max]))
        #expect(try w(13, [1]) { $0.packed(11, [-1]) } == rawBytes([UInt64.max]))
        for float8 in [17, 18, 19, 20, 24] { #expect(try w(float8, [2]) { $0.packed(5, [0x7E, 0x81]) } == [0x7E, 0x81]) }
        // Elements of four and two bits are packed in the array already: three of four bits are two bytes.
        for half in [21, 22, 23] { #expect(try w(half, [3]) { $0.packed(5, [0x21, 0x0F]) } == [0x21, 0x0F]) }
        for quarter in [25, 26] { #expect(try w(quarter, [5]) { $0.packed(5, [0xE4, 0x03]) } == [0xE4, 0x03]) }
        // Six bits come one by one, and are packed low bits first: 1 | 2 << 6 | 3 << 12 | 63 << 18, then 5.
        for sixBits in [27, 28] { #expect(try w(sixBits, [5]) { $0.packed(5, [1, 2, 3, 63, 5]) } == [0x81, 0x30, 0xFC, 0x05]) }
    }

    @Test func scalarsAndEmptyTensors() throws {
        #expect(try bytes(RawONNX.tensor("w", [], raw: [2])) == rawBytes([Float(2)]))
        #expect(try bytes(RawONNX.tensor("w", [0, 5])).isEmpty)
        #expect(try bytes(RawONNX.tensor("w", [3, 0]) { $0.raw(9, []) }).isEmpty)
        // Some writers leave an empty raw_data beside the array that counts.
        #expect(
            try bytes(
                RawONNX.tensor("w", [1]) {
                    $0.raw(9, [])
                    $0.packed(4, fixed: [Float(2)])
                }) == rawBytes([Float(2)]))
    }

    @Test func sizesThatDoNotAgree() {
        expectError(RawONNX.tensor("w", [3], raw: [1, 2]), "'w' has 8 bytes where f32 [3] takes 12")
        expectError(RawONNX.tensor("w", [3], raw: [1, 2, 3, 4]), "takes 12")
        expectError(RawONNX.tensor("w", [3]), "float_data has 0 elements where the shape takes 3")
        expectError(RawONNX.tensor("w", [3]) { $0.packed(4, fixed: [Float(1)]) }, "has 4 bytes where")
        expectError(RawONNX.tensor("w", [0]) { $0.packed(4, fixed: [Float(1)]) }, "has 4 bytes where")
        expectError(RawONNX.tensor("w", [3], type: 21) { $0.packed(5, [1, 2, 3]) }, "int32_data has 3 elements where the shape takes 2")
        expectError(RawONNX.tensor("w", [1], type: 14) { $0.packed(4, fixed: [Float(1)]) }, "has 4 bytes where c64 [1] takes 8")
        expectError(RawONNX.tensor("w", [2], type: 8) { $0.text(6, "one") }, "has 1 of them")
        expectError(RawONNX.tensor("w", [1], type: 8) { $0.raw(9, [65]) }, "has 0 of them")
    }

    @Test func absurdShapesAreErrorsBeforeAnythingIsReserved() {
        expectError(RawONNX.tensor("w", [1 << 62, 4]), "absurdly large")
        expectError(RawONNX.tensor("w", [.max]), "absurdly large")
        expectError(RawONNX.tensor("w", [1 << 40]), "where the shape takes")
        expectError(RawONNX.tensor("w", [1 << 40]) { $0.raw(9, [0]) }, "takes 4398046511104")
        expectError(RawONNX.tensor("w", [1 << 58], type: 15), "absurdly large")
        expectError(RawONNX.tensor("w", [1 << 60], type: 8), "has 0 of them")
        expectError(RawONNX.tensor("w", [-1]), "dimension -1")
        expectError(RawONNX.external("w", [1 << 40], [("location", "x")]), "in memory has no folder")
    }

    @Test func typesAndArraysThatDoNotGoTogether() {
        for type in [0, 29, -1, 1 << 20] {
            expectError(RawONNX.tensor("w", [1], type: type) { $0.raw(9, [0]) }, "element type \(type) is unknown")
        }
        expectError(RawONNX.tensor("w", [1]) { $0.packed(7, [1]) }, "in int64_data; float_data is their place")
        expectError(RawONNX.tensor("w", [1], type: 7) { $0.packed(4, fixed: [Float(1)]) }, "in float_data; int64_data is their place")
        expectError(RawONNX.tensor("w", [1], type: 7) { $0.text(6, "1") }, "in string_data; int64_data is their place")
        expectError(
            RawONNX.tensor("w", [1]) {
                $0.raw(9, [0, 0, 0, 0])
                $0.packed(4, fixed: [Float(1)])
            }, "more than one way")
        expectError(
            RawONNX.tensor("w", [1]) {
                $0.packed(7, [1])
                $0.packed(4, fixed: [Float(1)])
            }, "more than one way")
        expectError(RawONNX.tensor("w", [1]) { $0.message(3, RawMessage { $0.int(1, 0) }) }, "segments")
        for (type, value) in [
            (9, 2), (3, 128), (2, 256), (2, -1), (4, 65536), (10, 65536), (10, -1), (21, 256), (17, 256), (27, 64), (5, 1 << 20),
        ] {
            expectError(RawONNX.tensor("w", [1], type: type) { $0.packed(5, [value]) }, "out of the range")
        }
        expectError(RawONNX.tensor("w", [1], type: 12) { $0.packed(11, [1 << 32]) }, "out of the range")
        // Arrays that end within an element.
        expectError(RawONNX.tensor("w", [1]) { $0.raw(4, [0, 0, 0]) }, "has 3 bytes")
        expectError(RawONNX.tensor("w", [1], type: 7) { $0.raw(7, [0x80]) }, "cannot be decoded")
        // Elements one by one beside a packed array.
        expectError(
            RawONNX.tensor("w", [1]) {
                $0.float(4, 1)
                $0.packed(4, fixed: [Float(1)])
            }, "more than one way")
    }
}

@Suite struct ONNXExternalDataTests {
    private func model(_ pairs: [(String, String)], _ dimensions: [Int] = [2]) -> [UInt8] {
        RawONNX.model(RawONNX.graph(outputs: [RawONNX.untyped("w")], initializers: [RawONNX.external("w", dimensions, pairs)]))
    }

    /// A folder `outer` with a secret, and in it the folder `model` with data files; the model is written and opened there.
    private func open(_ pairs: [(String, String)], _ dimensions: [Int] = [2], prepare: (URL) throws -> Void = { _ in }) throws -> ONNXFile {
        try withTemporaryFolder { outer in
            let folder = outer.appending(path: "model")
            try FileManager.default.createDirectory(at: folder.appending(path: "data"), withIntermediateDirectories: true)
            let values = Data(rawBytes([Float(1), 2, 3, 4]))
            try values.write(to: folder.appending(path: "weights.bin"))
            try values.write(to: folder.appending(path: "data/more"))
            try values.write(to: outer.appending(path: "secret"))
            try prepare(folder)
            let path = folder.appending(path: "m.onnx").path
            try Data(model(pairs, dimensions)).write(to: URL(filePath: path))
            return try ONNXFile(path: path)
        }
    }

    private func expectError(
        _ pairs: [(String, String)], _ words: String, dimensions: [Int] = [2], sourceLocation: SourceLocation = #_sourceLocation,
        prepare: (URL) throws -> Void = { _ in }
    ) {
        let error = #expect(throws: SwiftletError.self, sourceLocation: sourceLocation) { try open(pairs, dimensions, prepare: prepare) }
        #expect(
            error?.description.contains(words) == true && error?.description.contains("'w'") == true, "\(String(describing: error))",
            sourceLocation: sourceLocation)
    }

    @Test func tensorsAreRangesOfTheDataFiles() throws {
        for (pairs, expected) in [
            ([("location", "weights.bin")], [Float(1), 2]), ([("location", "./weights.bin"), ("offset", "8"), ("length", "8")], [3, 4]),
            ([("location", "data/more"), ("offset", "4"), ("checksum", "unread")], [2, 3]),
        ] {
            let file = try open(pairs)
            let tensor = try #require(file.graph.initializers.first)
            #expect(tensor.elements(as: Float.self) == expected)
            #expect(file.files.count == 2)
            guard case .elements(let store) = tensor.content else { return }
            #expect(store.source?.file === file.files.last)
            #expect(tensor.place?.offset == store.source?.range.lowerBound)
        }
    }

    @Test func locationsThatLeaveTheFolderAreErrors() throws {
        let plain = "is not a plain path"
        for location in [
            "../secret", "data/../../secret", "/etc/passwd", "data/../weights.bin", "..", ".", "data//more", "weights.bin/", "a\\b",
            "..\\secret",
            "weights.bin\0", "/", "./../secret",
        ] {
            expectError([("location", location)], plain)
        }
        expectError([("location", "link")], "outside the model's folder") { folder in
            try FileManager.default.createSymbolicLink(
                at: folder.appending(path: "link"), withDestinationURL: folder.deletingLastPathComponent().appending(path: "secret"))
        }
        expectError([("location", "up/secret")], "outside the model's folder") { folder in
            try FileManager.default.createSymbolicLink(
                at: folder.appending(path: "up"), withDestinationURL: folder.deletingLastPathComponent())
        }
        // The neighbour's name begins with the folder's.
        expectError([("location", "neighbour")], "outside the model's folder") { folder in
            let other = folder.deletingLastPathComponent().appending(path: "model2")
            try FileManager.default.createDirectory(at: other, withIntermediateDirectories: true)
            try Data(rawBytes([Float(1), 2])).write(to: other.appending(path: "f"))
            try FileManager.default.createSymbolicLink(
                at: folder.appending(path: "neighbour"), withDestinationURL: other.appending(path: "f"))
        }
        // A link that stays inside is fine.
        let inside = try open([("location", "alias")]) { folder in
            try FileManager.default.createSymbolicLink(
                at: folder.appending(path: "alias"), withDestinationURL: folder.appending(path: "data/more"))
        }
        #expect(inside.graph.initializers[0].elements(as: Float.self) == [1, 2])
    }

    /// Model caches link both the model and its data into a folder of blobs.
    @Test func aLinkedModelFindsItsDataBesideTheRealOne() throws {
        try withTemporaryFolder { outer in
            let blobs = outer.appending(path: "blobs"), snapshot = outer.appending(path: "snapshot")
            for folder in [blobs, snapshot] { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
            try Data(model([("location", "m.data")])).write(to: blobs.appending(path: "1234"))
            try Data(rawBytes([Float(5), 6])).write(to: blobs.appending(path: "5678"))
            for (name, blob) in [("m.onnx", "1234"), ("m.data", "5678")] {
                try FileManager.default.createSymbolicLink(
                    atPath: snapshot.appending(path: name).path, withDestinationPath: "../blobs/" + blob)
            }
            let file = try ONNXFile(path: snapshot.appending(path: "m.onnx").path)
            #expect(file.graph.initializers[0].elements(as: Float.self) == [5, 6])
        }
    }

    @Test func placesOutsideTheDataFileAreErrors() throws {
        expectError([("location", "weights.bin"), ("offset", "9")], "needs 8 bytes from byte 9; the file has 16")
        expectError([("location", "weights.bin"), ("offset", "9223372036854775807")], "needs 8 bytes")
        expectError([("location", "weights.bin"), ("length", "4")], "4 bytes where type and shape take 8")
        expectError([("location", "weights.bin")], "needs 4398046511104 bytes", dimensions: [1 << 40])
        for text in ["-1", "x", "", "1e3", "9223372036854775808"] {
            expectError([("location", "weights.bin"), ("offset", text)], "offset '\(text)'")
            expectError([("location", "weights.bin"), ("length", text)], "length '\(text)'")
        }
        expectError([("offset", "0")], "no location")
        expectError([("location", "")], "no location")
        expectError([("location", "weights.bin"), ("location", "../secret")], "'location' twice")
        expectError([("location", "absent.bin")], "the tensor 'w' lies there")
        let folder = #expect(throws: SwiftletError.self) { try open([("location", "data")]) }
        #expect(folder?.description.contains("not a regular file") == true)
    }
}
