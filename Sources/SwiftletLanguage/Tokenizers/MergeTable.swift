// The merges of a BPE vocabulary: a pair of token ids gives the rank of its merge and the id it makes.
//
// Open addressing over 8-byte slots: left id 21 bits | right id 21 bits | rank + 1 22 bits. Zero is free. What a merge makes is
// kept by rank, so a look-up that fails, the common case, touches one cache line.

/// `@unchecked Sendable`: all memory is written while the table is built by one thread and only read afterwards.
final class MergeTable: @unchecked Sendable {
    static let maximumTokens = 1 << 21
    static let maximumMerges = 1 << 22 - 1
    /// Above every rank: there is no such merge.
    static let noRank = UInt32.max

    private let slots: UnsafeMutablePointer<UInt64>
    private let slotMask: Int
    /// Random for each table, so a vocabulary cannot be made to collide on purpose.
    private let seed = UInt64.random(in: .min ... .max)
    private let made: UnsafeMutablePointer<Int32>

    /// A table for at most `count` merges, at most `maximumMerges`, of ids below `maximumTokens`.
    init(count: Int) {
        var bits = 4
        while 1 << bits < count * 2 { bits += 1 }
        slots = .allocate(capacity: 1 << bits)
        slots.initialize(repeating: 0, count: 1 << bits)
        slotMask = 1 << bits - 1
        made = .allocate(capacity: max(1, count))
        made.initialize(repeating: 0, count: max(1, count))
    }

    deinit {
        slots.deallocate()
        made.deallocate()
    }

    @inline(__always)
    private func firstSlot(_ pair: UInt64) -> Int { Int(truncatingIfNeeded: ByteHash.mix(pair ^ seed, 0x9E37_79B9_7F4A_7C15)) & slotMask }

    /// Adds the merge of rank `rank`; a pair that is there already keeps its lower rank.
    func insert(_ left: Int32, _ right: Int32, rank: Int, makes id: Int32) {
        let pair = UInt64(UInt32(bitPattern: left)) << 43 | UInt64(UInt32(bitPattern: right)) << 22
        var slot = firstSlot(pair)
        while slots[slot] != 0 {
            if slots[slot] & ~0x3F_FFFF == pair { return }
            slot = (slot + 1) & slotMask
        }
        slots[slot] = pair | UInt64(rank + 1)
        made[rank] = id
    }

    /// The rank of the merge of two ids, or `noRank`. An id may be `TokenTable.missing`.
    @inline(__always)
    func rank(_ left: Int32, _ right: Int32) -> UInt32 {
        guard left | right >= 0 else { return Self.noRank }
        let pair = UInt64(UInt32(bitPattern: left)) << 43 | UInt64(UInt32(bitPattern: right)) << 22
        var slot = firstSlot(pair)
        while slots[slot] != 0 {
            if slots[slot] & ~0x3F_FFFF == pair { return UInt32(truncatingIfNeeded: slots[slot] & 0x3F_FFFF) - 1 }
            slot = (slot + 1) & slotMask
        }
        return Self.noRank
    }

    /// The token that the merge of rank `rank` makes.
    @inline(__always)
    func token(madeBy rank: UInt32) -> Int32 { made[Int(rank)] }
}
