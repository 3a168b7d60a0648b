import SwiftletTensor
import Testing
import TestSupport

/// Damages bytes the way files get damaged, and worse: the same seed damages the same way.
struct Mutator {
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    /// Gives `count` mutants of `bytes` to `read`, and says how many it read and how many it refused with a SwiftletError. Any other error is an issue.
    mutating func outcomes(of bytes: [UInt8], headerBytes: Int, count: Int, _ read: ([UInt8]) throws -> Void) -> (opened: Int, refused: Int) {
        var (opened, refused) = (0, 0)
        for index in 0..<count {
            let mutant = mutated(bytes, headerBytes: headerBytes)
            do {
                try read(mutant)
                opened += 1
            } catch is SwiftletError {
                refused += 1
            } catch {
                Issue.record("case \(index): \(error)")
            }
        }
        return (opened, refused)
    }

    /// One to four changes to a copy of `bytes`; half of them among the first `headerBytes`, where the structure is.
    mutating func mutated(_ bytes: [UInt8], headerBytes: Int) -> [UInt8] {
        var result = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) where !result.isEmpty { mutate(&result, headerBytes) }
        return result
    }

    private mutating func mutate(_ bytes: inout [UInt8], _ headerBytes: Int) {
        let limit = Bool.random(using: &random) ? min(bytes.count, headerBytes) : bytes.count
        let place = Int.random(in: 0..<max(1, limit), using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0, 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 3: bytes[place] = [0x00, 0x01, 0x7F, 0x80, 0xFF, 0x22, 0x5C, 0x7B].randomElement(using: &random) ?? 0
        case 4, 5: write(&bytes, place, 8)
        case 6: write(&bytes, place, 4)
        case 7: bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
        case 8: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...32, using: &random)))
        default:
            let piece = Array(bytes[place..<min(bytes.count, place + Int.random(in: 1...64, using: &random))])
            bytes.insert(contentsOf: piece, at: Int.random(in: 0...bytes.count, using: &random))
        }
    }

    /// Overwrites an integer with one that provokes overflow, or with a random one.
    private mutating func write(_ bytes: inout [UInt8], _ place: Int, _ width: Int) {
        let length = UInt64(bytes.count)
        let interesting: [UInt64] = [
            0, 1, 2, 3, 4, 8, 9, 32, length, length - 1, length + 1, length &- UInt64(place), 1 << 31, (1 << 31) - 1, 1 << 32,
            (1 << 32) - 1,
            1 << 62, 1 << 61, UInt64(Int.max), 1 << 63, .max, .max - 7, .max / 8, UInt64.random(in: .min ... .max, using: &random),
        ]
        var value = interesting.randomElement(using: &random) ?? 0
        for offset in 0..<width where place + offset < bytes.count {
            bytes[place + offset] = UInt8(truncatingIfNeeded: value)
            value >>= 8
        }
    }
}
