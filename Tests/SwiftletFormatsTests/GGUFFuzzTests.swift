// Seeded mutations of small files: whatever comes, the reader returns a file whose every byte can be read, or throws SwiftletError.
import SwiftletFormats
import SwiftletTensor
import Testing

@Suite struct GGUFFuzzTests {
    @Test(arguments: ["all-types.gguf", "small"]) func mutatedFilesOnlyThrow(name: String) throws {
        let bytes = name == "small" ? small() : try vectorBytes(name)
        let header = name == "small" ? 250 : 2400
        var mutator = Mutator(seed: UInt64(bytes.count))
        let (opened, refused) = mutator.outcomes(of: bytes, headerBytes: header, count: 10_000) { mutant in
            try readEverything(GGUFFile(bytes: mutant, name: "mutant"))
        }
        // Changes in tensor data are harmless, changes in the structure are not: a useful mutator makes plenty of both.
        #expect(opened > 200 && refused > 2000, "\(opened) opened, \(refused) refused")
    }

    private func small() -> [UInt8] {
        var file = RawGGUF(tensors: 2, pairs: 1)
        file.text("k")
        file.u32(9)
        file.u32(8)
        file.u64(2)
        file.text("a")
        file.text("b")
        file.tensor("t", [32, 2], type: 8)
        file.tensor("u", [4], offset: 96)
        file.data(112)
        return file.bytes
    }

    private func readEverything(_ file: GGUFFile) throws {
        var bytes = 0
        for entry in file.metadata.entries {
            if let strings = entry.value.array?.strings { for string in strings { bytes += string.utf8.count } }
            bytes += entry.value.array?.floats?.count ?? 0
            _ = try? file.metadata.int(entry.key)
        }
        for tensor in file.tensors {
            #expect(tensor.store.byteCount == tensor.byteCount)
            bytes += try tensor.dequantized().count
        }
        #expect(bytes >= 0)
    }
}
