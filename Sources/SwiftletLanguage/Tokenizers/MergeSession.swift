// Turns the pieces of one text into ids: first from a cache of words, else by merging. One session belongs to one `encode` call.

/// The tokens of short words, direct-mapped by the bytes of the word.
///
/// Text repeats its words; a hit costs one cache line. A word is at most 15 bytes (kept inline, with its length) and at most 4 tokens.
struct WordCache {
    static let longestWord = 15
    static let mostTokens = 4

    struct Slot {
        /// The bytes of the word, zero beyond its end, and its length in the uppermost byte. All zero: free.
        var low: UInt64 = 0
        var high: UInt64 = 0
        /// Its tokens; those not used are `TokenTable.missing`.
        var tokens: (Int32, Int32, Int32, Int32) = (-1, -1, -1, -1)
    }

    let slots: UnsafeMutablePointer<Slot>
    private let mask: Int

    /// A cache that suits a text of `byteCount` bytes: from 256 slots (8 KB) to 16,384 (512 KB).
    init(byteCount: Int) {
        var capacity = 256
        while capacity < 16_384, capacity * 16 < byteCount { capacity *= 2 }
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: Slot(), count: capacity)
        mask = capacity - 1
    }

    func deallocate() { slots.deallocate() }

    /// The key of the word at `start..<end`, 1 to 15 bytes, in a text that ends at `textEnd`.
    @inline(__always)
    static func key(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, textEnd: Int) -> (low: UInt64, high: UInt64) {
        let count = end - start
        var low: UInt64 = 0
        var high: UInt64 = 0
        if start + 16 <= textEnd {
            let raw = UnsafeRawPointer(base + start)
            low = raw.loadUnaligned(as: UInt64.self)
            if count < 8 {
                low &= (1 << UInt64(count * 8)) - 1
            } else {
                high = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self) & ((1 << UInt64((count - 8) * 8)) - 1)
            }
        } else {
            for index in 0..<min(count, 8) { low |= UInt64(base[start + index]) << UInt64(index * 8) }
            for index in 8..<max(count, 8) { high |= UInt64(base[start + index]) << UInt64((index - 8) * 8) }
        }
        return (low, high | UInt64(count) << 56)
    }

    @inline(__always)
    func slot(_ key: (low: UInt64, high: UInt64)) -> UnsafeMutablePointer<Slot> {
        let value = ByteHash.mix(key.low ^ 0x9E37_79B9_7F4A_7C15, key.high ^ 0xA076_1D64_78BD_642F)
        return slots + (Int(truncatingIfNeeded: value) & mask)
    }
}

/// Encodes pieces of one text with one model.
struct MergeSession<Model: MergeModel>: PieceSink {
    /// Longer pieces are merged in parts: the limit of 32-bit positions is far, but the memory of one merge is 40 times its bytes.
    static var longestPiece: Int { 1 << 24 }

    private let model: Model
    private let base: UnsafePointer<UInt8>
    private let textEnd: Int
    private let cache: WordCache
    private let scratch = MergeScratch()
    private(set) var output: [Int32]

    /// A session over the bytes `0..<textEnd` of `base`. Call `deallocate()` at its end.
    init(_ model: Model, base: UnsafePointer<UInt8>, textEnd: Int, output: [Int32]) {
        self.model = model
        self.base = base
        self.textEnd = textEnd
        self.output = output
        cache = WordCache(byteCount: textEnd)
    }

    func deallocate() { cache.deallocate() }

    /// Appends a token that needs no encoding.
    mutating func append(_ token: Int32) { output.append(token) }

    @inline(__always)
    mutating func take(from start: Int, to end: Int) {
        let count = end - start
        if count <= WordCache.longestWord {
            let key = WordCache.key(base, start, end, textEnd: textEnd)
            let slot = cache.slot(key)
            if slot.pointee.low == key.low, slot.pointee.high == key.high {
                let tokens = slot.pointee.tokens
                output.append(tokens.0)
                if tokens.1 >= 0 {
                    output.append(tokens.1)
                    if tokens.2 >= 0 {
                        output.append(tokens.2)
                        if tokens.3 >= 0 { output.append(tokens.3) }
                    }
                }
                return
            }
            let before = output.count
            merge(start, end)
            remember(slot, key, from: before)
        } else if count <= Self.longestPiece {
            merge(start, end)
        } else {
            takeParts(start, end)
        }
    }

    /// Cuts a very long piece into parts, at the start of a character.
    private mutating func takeParts(_ start: Int, _ end: Int) {
        var index = start
        while index < end {
            var stop = min(end, index + Self.longestPiece)
            if stop < end {
                for _ in 0..<3 where base[stop] & 0xC0 == 0x80 { stop -= 1 }
            }
            merge(index, stop)
            index = stop
        }
    }

    private mutating func remember(_ slot: UnsafeMutablePointer<WordCache.Slot>, _ key: (low: UInt64, high: UInt64), from before: Int) {
        let made = output.count - before
        guard made > 0, made <= WordCache.mostTokens else { return }
        slot.pointee = WordCache.Slot(
            low: key.low, high: key.high,
            tokens: (
                output[before], made > 1 ? output[before + 1] : -1, made > 2 ? output[before + 2] : -1, made > 3 ? output[before + 3] : -1
            ))
    }

    private mutating func merge(_ start: Int, _ end: Int) {
        let whole = model.whole(base, start, end)
        if whole >= 0 {
            output.append(whole)
            return
        }
        scratch.reserve(end - start)
        // Positions are kept as 32 bits, from the start of the piece.
        let piece = base + start
        let begun = model.begin(piece, 0, end - start, ids: scratch.ids, starts: scratch.starts)
        let count = scratch.merge(model, piece, count: begun)
        for index in 0..<count {
            let id = scratch.ids[index]
            if id >= 0 {
                output.append(id)
            } else {
                model.appendUnknown(piece, Int(scratch.starts[index]), Int(scratch.starts[index + 1]), to: &output)
            }
        }
    }
}
