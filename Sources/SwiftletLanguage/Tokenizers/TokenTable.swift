// The tokens of a vocabulary as bytes: one arena, offsets, and an open-addressing hash from bytes to id. No object per token.
import CKernels

/// Hashes short byte strings, 8 bytes a step, by folded 64 × 64 → 128-bit products (the scheme of wyhash).
///
/// The seed is random for each table, so a vocabulary cannot be made to collide on purpose.
struct ByteHash {
    let seed: UInt64

    @inline(__always)
    func callAsFunction(_ base: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
        var state = seed ^ UInt64(truncatingIfNeeded: count) &* 0xA076_1D64_78BD_642F
        let raw = UnsafeRawPointer(base)
        var offset = 0
        while count - offset >= 8 {
            state = Self.mix(state ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self), 0xE703_7ED1_A0B4_28DB)
            offset += 8
        }
        let left = count - offset
        var tail: UInt64 = 0
        if left >= 4 {
            tail =
                UInt64(raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                | UInt64(raw.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)) << 32
        } else if left > 0 {
            tail = UInt64(base[offset]) | UInt64(base[offset + left / 2]) << 8 | UInt64(base[count - 1]) << 16
        }
        return Self.mix(state ^ tail, 0x8EBC_6AF0_9C88_C6E3)
    }

    @inline(__always)
    static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}

/// Token bytes by id, and ids by token bytes.
///
/// `@unchecked Sendable`: all memory is written while the table is built by one thread and only read afterwards.
final class TokenTable: @unchecked Sendable {
    static let missing: Int32 = -1

    let count: Int
    /// The longest token that can be looked up, in bytes.
    private(set) var longest = 0
    private let bytes: UnsafeMutablePointer<UInt8>
    /// Token `i` is `offsets[i] ..< offsets[i + 1]` of `bytes`.
    private let offsets: UnsafeMutablePointer<UInt32>
    /// Upper half: upper half of the hash; lower half: id + 1. Zero is free. A power of two of them, at most half full.
    private let slots: UnsafeMutablePointer<UInt64>
    private let slotMask: Int
    private let hash: ByteHash
    private var written = 0
    /// Tokens that are hashed but not in a slot yet, a ring: a slot is a cache miss, and asking for it some tokens ahead hides most of that
    /// (a vocabulary of 262,144 tokens spent half of its time waiting there).
    private let waiting: UnsafeMutablePointer<(hash: UInt64, id: Int)>
    private var waitingEnd = 0
    private static let waitingRoom = 16

    /// A table to which `count` tokens will be appended, of at most `byteCapacity` (below 2³²) bytes together.
    init(count: Int, byteCapacity: Int) {
        self.count = count
        bytes = .allocate(capacity: max(1, byteCapacity))
        offsets = .allocate(capacity: count + 1)
        offsets.initialize(repeating: 0, count: count + 1)
        var capacity = 16
        while capacity < count * 2 { capacity *= 2 }
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: 0, count: capacity)
        slotMask = capacity - 1
        hash = ByteHash(seed: .random(in: .min ... .max))
        waiting = .allocate(capacity: Self.waitingRoom)
        waiting.initialize(repeating: (0, 0), count: Self.waitingRoom)
    }

    deinit {
        waiting.deallocate()
        bytes.deallocate()
        offsets.deallocate()
        slots.deallocate()
    }

    /// Where the bytes of the next token go, before `append(count:searchable:)`.
    @inline(__always)
    var nextBytes: UnsafeMutablePointer<UInt8> { bytes + Int(offsets[written]) }

    /// Appends the token whose `count` bytes lie at `nextBytes`. Only searchable tokens are found by `id(of:)`, once `finish()` was called;
    /// of two with the same bytes the first one is.
    @inline(__always)
    func append(count byteCount: Int, searchable: Bool) {
        let start = Int(offsets[written])
        let id = written
        offsets[id + 1] = UInt32(start + byteCount)
        written += 1
        guard searchable, byteCount > 0 else { return }
        longest = max(longest, byteCount)
        let value = hash(bytes + start, byteCount)
        ck_prefetch(slots + (Int(truncatingIfNeeded: value) & slotMask))
        let place = waitingEnd % Self.waitingRoom
        if waitingEnd >= Self.waitingRoom { insert(waiting[place].hash, waiting[place].id) }
        waiting[place] = (value, id)
        waitingEnd += 1
    }

    /// Makes the tokens appended last searchable too. To be called once, after the last `append`.
    func finish() {
        for index in max(0, waitingEnd - Self.waitingRoom)..<waitingEnd {
            let token = waiting[index % Self.waitingRoom]
            insert(token.hash, token.id)
        }
        waitingEnd = 0
    }

    @inline(__always)
    private func insert(_ value: UInt64, _ id: Int) {
        let start = Int(offsets[id]), byteCount = Int(offsets[id + 1]) - start
        var slot = Int(truncatingIfNeeded: value) & slotMask
        while slots[slot] != 0 {
            if slots[slot] >> 32 == value >> 32, matches(Int32(truncatingIfNeeded: slots[slot] & 0xFFFF_FFFF) - 1, bytes + start, byteCount)
            {
                return
            }
            slot = (slot + 1) & slotMask
        }
        slots[slot] = value & 0xFFFF_FFFF_0000_0000 | UInt64(id + 1)
    }

    @inline(__always)
    private func matches(_ id: Int32, _ base: UnsafePointer<UInt8>, _ byteCount: Int) -> Bool {
        let start = Int(offsets[Int(id)])
        guard Int(offsets[Int(id) + 1]) - start == byteCount else { return false }
        let mine = UnsafeRawPointer(bytes + start)
        let other = UnsafeRawPointer(base)
        var offset = 0
        while byteCount - offset >= 8 {
            if mine.loadUnaligned(fromByteOffset: offset, as: UInt64.self) != other.loadUnaligned(fromByteOffset: offset, as: UInt64.self) {
                return false
            }
            offset += 8
        }
        while offset < byteCount {
            if mine.load(fromByteOffset: offset, as: UInt8.self) != other.load(fromByteOffset: offset, as: UInt8.self) { return false }
            offset += 1
        }
        return true
    }

    /// The id of the token with exactly these bytes, or `missing`.
    @inline(__always)
    func id(of base: UnsafePointer<UInt8>, count byteCount: Int) -> Int32 {
        guard byteCount > 0, byteCount <= longest else { return Self.missing }
        let value = hash(base, byteCount)
        var slot = Int(truncatingIfNeeded: value) & slotMask
        while slots[slot] != 0 {
            let id = Int32(truncatingIfNeeded: slots[slot] & 0xFFFF_FFFF) - 1
            if slots[slot] >> 32 == value >> 32, matches(id, base, byteCount) { return id }
            slot = (slot + 1) & slotMask
        }
        return Self.missing
    }

    /// The bytes of token `id`, which is below `count`. Valid while the table lives.
    @inline(__always)
    func bytes(of id: Int) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: bytes + Int(offsets[id]), count: Int(offsets[id + 1] - offsets[id]))
    }
}
