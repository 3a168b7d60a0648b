// What pre-tokenizers ask about a scalar: is it a letter, a number, white space ...?
//
// Two-stage table: the page of a scalar (scalar >> 8) gives a block, the block and the low byte give the class. Pages of one class
// share a block, so 1.1 million scalars take about 200 KB; it is built once, from the runs in UnicodeTables.swift.

/// The general categories of Unicode, grouped as the published pre-tokenizer patterns use them. A scalar has exactly one class
/// (and `newline` beside it for CR and LF); patterns test for sets of them.
struct UnicodeClasses: OptionSet {
    let rawValue: UInt16

    /// Controls, formats, private use: `\p{C}` without white space and unassigned scalars.
    static let other = UnicodeClasses(rawValue: 1 << 0)
    /// `\p{Lu}\p{Lt}`
    static let upper = UnicodeClasses(rawValue: 1 << 1)
    /// `\p{Ll}`
    static let lower = UnicodeClasses(rawValue: 1 << 2)
    /// `\p{Lm}\p{Lo}`
    static let uncased = UnicodeClasses(rawValue: 1 << 3)
    /// `\p{Mn}`
    static let nonspacingMark = UnicodeClasses(rawValue: 1 << 4)
    /// `\p{Mc}\p{Me}`
    static let otherMark = UnicodeClasses(rawValue: 1 << 5)
    /// `\p{N}`
    static let number = UnicodeClasses(rawValue: 1 << 6)
    /// `\p{P}`
    static let punctuation = UnicodeClasses(rawValue: 1 << 7)
    /// `\p{S}`
    static let symbol = UnicodeClasses(rawValue: 1 << 8)
    /// `\s`: the property White_Space
    static let whitespace = UnicodeClasses(rawValue: 1 << 9)
    /// CR and LF, which are white space too.
    static let newline = UnicodeClasses(rawValue: 1 << 10)
    /// `\p{Cn}`
    static let unassigned = UnicodeClasses(rawValue: 1 << 11)

    static let letter: UnicodeClasses = [.upper, .lower, .uncased]
    static let mark: UnicodeClasses = [.nonspacingMark, .otherMark]
    static let any = UnicodeClasses(rawValue: (1 << 12) - 1)
}

/// The classes of all scalars.
///
/// `@unchecked Sendable`: the memory is written in `init` only and lives as long as the process.
final class UnicodeClassTable: @unchecked Sendable {
    static let shared = UnicodeClassTable()

    private static let classCount = 11
    private static let pageCount = 0x1100

    /// For each page of 256 scalars, where its block starts in `classes`.
    let blocks: UnsafePointer<UInt32>
    let classes: UnsafePointer<UnicodeClasses>

    private init() {
        let runs = UnicodeTables.classRuns
        var classes: [UnicodeClasses] = []
        for number in 0..<Self.classCount { classes.append(contentsOf: repeatElement(Self.classes(number), count: 256)) }
        let blocks = UnsafeMutablePointer<UInt32>.allocate(capacity: Self.pageCount)
        var run = 0
        for page in 0..<Self.pageCount {
            let first = UInt32(page << 8)
            while run + 1 < runs.count, runs[run + 1] >> 4 <= first { run += 1 }
            if run + 1 == runs.count || runs[run + 1] >> 4 >= first + 256, page != 0 {
                blocks[page] = UInt32(runs[run] & 15) << 8
                continue
            }
            blocks[page] = UInt32(classes.count)
            var inner = run
            for scalar in first..<first + 256 {
                while inner + 1 < runs.count, runs[inner + 1] >> 4 <= scalar { inner += 1 }
                classes.append(Self.classes(Int(runs[inner] & 15)))
            }
        }
        let firstBlock = Int(blocks[0])
        for newline in [0x0A, 0x0D] { classes[firstBlock + newline].insert(.newline) }
        let memory = UnsafeMutablePointer<UnicodeClasses>.allocate(capacity: classes.count)
        memory.initialize(from: classes, count: classes.count)
        self.blocks = UnsafePointer(blocks)
        self.classes = UnsafePointer(memory)
    }

    /// The class with a number of UnicodeTables.swift: its bit, but for unassigned scalars, which have number 10.
    private static func classes(_ number: Int) -> UnicodeClasses {
        number == 10 ? .unassigned : UnicodeClasses(rawValue: 1 << UInt16(number))
    }

    /// The classes of the 128 ASCII scalars, for scanners.
    var ascii: UnsafePointer<UnicodeClasses> { classes + Int(blocks[0]) }

    /// The class of `scalar`, a value below 0x110000.
    @inline(__always)
    func classes(of scalar: UInt32) -> UnicodeClasses {
        classes[Int(blocks[Int(scalar >> 8)]) + Int(scalar & 0xFF)]
    }
}

/// Reads scalars from UTF-8 that may be broken.
enum UTF8Reader {
    /// The scalar at `index` and its length in bytes. A byte that starts no valid sequence within `end` reads as U+FFFD of length 1.
    @inline(__always)
    static func scalar(_ base: UnsafePointer<UInt8>, at index: Int, end: Int) -> (scalar: UInt32, length: Int) {
        let first = UInt32(base[index])
        if first < 0x80 { return (first, 1) }
        let left = end - index
        if first >= 0xC2, first < 0xE0, left >= 2 {
            let second = UInt32(base[index + 1])
            if second & 0xC0 == 0x80 { return ((first & 0x1F) << 6 | second & 0x3F, 2) }
        } else if first >= 0xE0, first < 0xF0, left >= 3 {
            let second = UInt32(base[index + 1])
            let third = UInt32(base[index + 2])
            let value = (first & 0x0F) << 12 | (second & 0x3F) << 6 | third & 0x3F
            if second & 0xC0 == 0x80, third & 0xC0 == 0x80, value >= 0x800, value & 0xF800 != 0xD800 { return (value, 3) }
        } else if first >= 0xF0, first < 0xF5, left >= 4 {
            let second = UInt32(base[index + 1])
            let third = UInt32(base[index + 2])
            let fourth = UInt32(base[index + 3])
            let value = (first & 0x07) << 18 | (second & 0x3F) << 12 | (third & 0x3F) << 6 | fourth & 0x3F
            if second & 0xC0 == 0x80, third & 0xC0 == 0x80, fourth & 0xC0 == 0x80, value >= 0x10000, value < 0x110000 {
                return (value, 4)
            }
        }
        return (0xFFFD, 1)
    }

    /// Appends the UTF-8 of `scalar`, a valid one.
    static func append(_ scalar: UInt32, to bytes: inout [UInt8]) {
        if scalar < 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: scalar))
        } else if scalar < 0x800 {
            bytes.append(UInt8(truncatingIfNeeded: 0xC0 | scalar >> 6))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
        } else if scalar < 0x10000 {
            bytes.append(UInt8(truncatingIfNeeded: 0xE0 | scalar >> 12))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 6 & 0x3F))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
        } else {
            bytes.append(UInt8(truncatingIfNeeded: 0xF0 | scalar >> 18))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 12 & 0x3F))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 6 & 0x3F))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
        }
    }
}
