import Foundation
import SwiftletModels
import Testing

@Suite struct SHA256Tests {
    private static func sum(_ bytes: [UInt8], pieces: Int) -> String {
        var sum = SHA256()
        for start in stride(from: 0, to: bytes.count, by: pieces) {
            Array(bytes[start..<min(start + pieces, bytes.count)]).withUnsafeBytes { sum.update($0) }
        }
        return sum.finish()
    }

    /// Messages and digests of NIST's examples for FIPS 180-4, and the million letters a.
    private static let published: [([UInt8], String)] = [
        ([], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (Array("abc".utf8), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        ([UInt8](repeating: 0x61, count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ]

    @Test(arguments: published) func publishedDigests(message: [UInt8], digest: String) {
        for pieces in [1, 63, 64, 65, 4096] where message.count < 1000 || pieces > 1 {
            #expect(Self.sum(message, pieces: pieces) == digest)
        }
    }

    /// Digests of 0, 1, 2 ... bytes with the values 0, 1, 2 ..., each hashed in turn: every length of the last block, in one digest that
    /// Python's hashlib gave.
    @Test func everyLengthOfTheLastBlock() {
        var digests = SHA256()
        for length in 0..<200 {
            let digest = Self.sum((0..<length).map { UInt8($0) }, pieces: 50)
            Array(digest.utf8).withUnsafeBytes { digests.update($0) }
        }
        #expect(digests.finish() == "7a38a844c9e159de39f0862ee2e28569a8250831150a3fbf0a59c001129b2fb2")
    }
}
