// The checksum of packed weights: a plain formulation of the same sum gives the same number, and no small change goes unseen.
import CKernels
import TestSupport
import Testing

@Suite("Checksums")
struct ChecksumTests {
    private static func mix(_ value: UInt64) -> UInt64 {
        var x = value
        x = (x ^ x >> 33) &* 0xFF51_AFD7_ED55_8CCD
        x = (x ^ x >> 33) &* 0xC4CE_B9FE_1A85_EC53
        return x ^ x >> 33
    }

    /// The definition of checksum.c, word by word.
    private static func naive(_ bytes: [UInt8], seed: UInt64) -> UInt64 {
        let start: [UInt64] = [
            0x6A09_E667_F3BC_C909, 0xBB67_AE85_84CA_A73B, 0x3C6E_F372_FE94_F82B, 0xA54F_F53A_5F1D_36F1,
            0x510E_527F_ADE6_82D1, 0x9B05_688C_2B3E_6C1F, 0x1F83_D9AB_FB41_BD6B, 0x5BE0_CD19_137E_2179,
        ]
        var padded = bytes
        while padded.count % 64 != 0 { padded.append(0) }
        var product = [UInt64](repeating: 0, count: 8), plain = product
        for index in 0..<padded.count / 8 {
            let word = (0..<8).reduce(UInt64(0)) { $0 | UInt64(padded[8 * index + $1]) << UInt64(8 * $1) }
            let lane = index % 8
            let key = (start[lane] ^ mix(seed &+ UInt64(lane))) &+ UInt64(index / 8) &* 0x9E37_79B9_7F4A_7C15
            let low = UInt32(truncatingIfNeeded: word) &+ UInt32(truncatingIfNeeded: key)
            let high = UInt32(truncatingIfNeeded: word >> 32) &+ UInt32(truncatingIfNeeded: key >> 32)
            product[lane] &+= UInt64(low) &* UInt64(high)
            plain[lane] &+= word
        }
        return zip(product, plain).reduce(mix(UInt64(bytes.count) ^ seed)) { mix(mix($0 ^ $1.0) &+ $1.1) }
    }

    private static func checksum(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 { bytes.withUnsafeBytes { ck_checksum($0.baseAddress, $0.count, seed) } }

    private static func bytes(_ count: Int) -> [UInt8] {
        var random = SeededGenerator(seed: UInt64(count))
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    @Test("It is the sum it is defined as", arguments: [0, 1, 7, 8, 63, 64, 65, 127, 128, 1_000, 65_536])
    func definition(_ count: Int) {
        let bytes = Self.bytes(count)
        for seed in [0, 1, UInt64.max] { #expect(Self.checksum(bytes, seed: seed) == Self.naive(bytes, seed: seed)) }
    }

    @Test("Every flipped bit, swapped line and added zero changes it") func damage() {
        let bytes = Self.bytes(1_000)
        var sums: Set<UInt64> = [Self.checksum(bytes)]
        var variants = 1
        for bit in 0..<8_000 {
            var changed = bytes
            changed[bit / 8] ^= 1 << (bit % 8)
            sums.insert(Self.checksum(changed))
            variants += 1
        }
        for line in 1..<15 {
            var swapped = bytes
            for i in 0..<64 { swapped.swapAt(i, 64 * line + i) }
            sums.insert(Self.checksum(swapped))
            variants += 1
        }
        for zeros in 1...130 {
            sums.insert(Self.checksum(bytes + [UInt8](repeating: 0, count: zeros)))
            variants += 1
        }
        for seed in 1...64 {
            sums.insert(Self.checksum(bytes, seed: UInt64(seed)))
            variants += 1
        }
        #expect(sums.count == variants)
    }
}
