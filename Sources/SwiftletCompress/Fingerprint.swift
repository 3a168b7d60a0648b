// A short text that differs for different contents: what says that a kept layer, or measured importance, is of this very compression.
// FNV-1a in 64 bits (Fowler, Noll and Vo), a word at a time. Not against forgery.

struct Fingerprint {
    private var hash: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ word: UInt64) { hash = (hash ^ word) &* 0x100_0000_01b3 }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while index + 8 <= bytes.count {
            add(bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            index += 8
        }
        while index < bytes.count {
            add(UInt64(bytes[index]))
            index += 1
        }
    }

    var text: String { String(hash, radix: 16) }
}
