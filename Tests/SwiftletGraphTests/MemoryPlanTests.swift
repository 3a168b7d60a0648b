import SwiftletGraph
import TestSupport
import Testing

@Suite struct MemoryPlanTests {
    static func aligned(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

    /// Random uses like those of a network: mostly short lives, some long ones, take-overs where an operand dies.
    static func randomUses(count: Int, seed: UInt64) -> [BufferUse] {
        var generator = SeededGenerator(seed: seed)
        var uses: [BufferUse] = []
        for step in 0..<count {
            let life =
                Int.random(in: 0..<8, using: &generator) == 0
                ? Int.random(in: 0..<count, using: &generator) : Int.random(in: 0...3, using: &generator)
            let bytes = Int.random(in: 0..<6, using: &generator) == 0 ? 0 : Int.random(in: 1...5000, using: &generator)
            let dying = uses.indices.filter { uses[$0].last == step && uses[$0].first < step }
            uses.append(
                BufferUse(
                    bytes: bytes, first: step, last: step + life,
                    reuses: Bool.random(using: &generator) ? dying.randomElement(using: &generator) : nil))
        }
        return uses.shuffledKeepingReferences(using: &generator)
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func liveBuffersNeverOverlap(seed: UInt64) throws {
        let uses = Self.randomUses(count: 120, seed: seed)
        let plan = try MemoryPlan(uses: uses)
        #expect(plan.offsets.count == uses.count)
        #expect(plan.offsets.allSatisfy { $0 >= 0 && $0 % MemoryPlan.alignment == 0 })
        for a in uses.indices {
            #expect(uses[a].bytes == 0 || plan.offsets[a] + uses[a].bytes <= plan.peakBytes)
            for b in uses.indices where b < a && uses[a].bytes > 0 && uses[b].bytes > 0 {
                guard uses[a].first <= uses[b].last, uses[b].first <= uses[a].last else { continue }
                let tookOver = (uses[a].reuses == b || uses[b].reuses == a) && plan.offsets[a] == plan.offsets[b]
                let apart = plan.offsets[a] + uses[a].bytes <= plan.offsets[b] || plan.offsets[b] + uses[b].bytes <= plan.offsets[a]
                #expect(tookOver || apart, "buffers \(a) and \(b)")
            }
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func peakLiesBetweenTheLargestLiveSetAndTheSum(seed: UInt64) throws {
        let uses = Self.randomUses(count: 120, seed: seed).map { BufferUse(bytes: $0.bytes, first: $0.first, last: $0.last) }
        let plan = try MemoryPlan(uses: uses)
        let steps = 0...(uses.map(\.last).max() ?? 0)
        let floor =
            steps.map { step in
                uses.filter { $0.first <= step && step <= $0.last }.reduce(0) { $0 + Self.aligned($1.bytes) }
            }.max() ?? 0
        #expect(plan.naiveBytes == uses.reduce(0) { $0 + Self.aligned($1.bytes) })
        #expect(plan.peakBytes >= floor)
        #expect(plan.peakBytes <= plan.naiveBytes)
        #expect(Double(plan.peakBytes) <= 1.25 * Double(floor), "greedy by size is close to the optimum")
    }

    @Test func aChainNeedsTwoBuffers() throws {
        let plan = try MemoryPlan(uses: (0..<50).map { BufferUse(bytes: 1000, first: $0, last: $0 + 1) })
        #expect(plan.peakBytes == 2 * 1024)
        #expect(plan.naiveBytes == 50 * 1024)
    }

    @Test func aChainInPlaceNeedsOne() throws {
        let plan = try MemoryPlan(uses: (0..<50).map { BufferUse(bytes: 1000, first: $0, last: $0 + 1, reuses: $0 == 0 ? nil : $0 - 1) })
        #expect(plan.peakBytes == 1024)
        #expect(Set(plan.offsets) == [0])
    }

    /// A step of several operations: what one of them makes and the next overwrites is born and dies in it.
    @Test func aChainInOneStepNeedsOne() throws {
        let plan = try MemoryPlan(uses: [
            BufferUse(bytes: 1000, first: 0, last: 1), BufferUse(bytes: 1000, first: 1, last: 1, reuses: 0),
            BufferUse(bytes: 1000, first: 1, last: 1, reuses: 1), BufferUse(bytes: 1000, first: 1, last: 2, reuses: 2),
        ])
        #expect(plan.peakBytes == 1024)
    }

    @Test func aSmallHeirFreesTheRestOfItsAncestor() throws {
        // 0 (large) is replaced by 1 (small), which lives on; 2 (large) fits above 1 in the space that 0 left.
        let plan = try MemoryPlan(uses: [
            BufferUse(bytes: 640, first: 0, last: 1), BufferUse(bytes: 64, first: 1, last: 9, reuses: 0),
            BufferUse(bytes: 576, first: 2, last: 9),
        ])
        #expect(plan.offsets == [0, 0, 64])
        #expect(plan.peakBytes == 640)
    }

    @Test func aLargerHeirGetsAPlaceOfItsOwn() throws {
        let plan = try MemoryPlan(uses: [BufferUse(bytes: 64, first: 0, last: 1), BufferUse(bytes: 128, first: 1, last: 2, reuses: 0)])
        #expect(plan.offsets[0] >= plan.offsets[1] + 128)
    }

    @Test func onlyOneHeirTakesThePlace() throws {
        let plan = try MemoryPlan(uses: [
            BufferUse(bytes: 64, first: 0, last: 1), BufferUse(bytes: 64, first: 1, last: 2, reuses: 0),
            BufferUse(bytes: 64, first: 1, last: 2, reuses: 0),
        ])
        #expect(plan.offsets[1] == plan.offsets[0])
        #expect(plan.offsets[2] != plan.offsets[1])
        #expect(plan.peakBytes == 128)
    }

    @Test func theTightestGapIsTaken() throws {
        // At steps 4…5 there are gaps of 320 and of 192 bytes between long-lived buffers; 128 bytes go into the second.
        let plan = try MemoryPlan(uses: [
            BufferUse(bytes: 640, first: 0, last: 9), BufferUse(bytes: 320, first: 0, last: 2), BufferUse(bytes: 256, first: 0, last: 9),
            BufferUse(bytes: 192, first: 0, last: 2), BufferUse(bytes: 128, first: 0, last: 9), BufferUse(bytes: 128, first: 4, last: 5),
        ])
        #expect(plan.offsets == [0, 640, 960, 1216, 1408, 1216])
    }

    @Test func nothingNeedsNothing() throws {
        #expect(try MemoryPlan(uses: []).peakBytes == 0)
        let plan = try MemoryPlan(uses: [BufferUse(bytes: 0, first: 0, last: 5), BufferUse(bytes: 0, first: 0, last: 5)])
        #expect(plan.peakBytes == 0)
        #expect(plan.naiveBytes == 0)
    }

    @Test func sizesThatOverflowAreATypedError() {
        let tooLarge = SwiftletError.outOfMemory(bytes: Int.max, purpose: "intermediate results")
        #expect(throws: tooLarge) { try MemoryPlan(uses: [BufferUse(bytes: Int.max, first: 0, last: 0)]) }
        #expect(throws: tooLarge) {
            try MemoryPlan(uses: [
                BufferUse(bytes: Int.max / 2 + 1, first: 0, last: 0), BufferUse(bytes: Int.max / 2 + 1, first: 1, last: 1),
            ])
        }
    }

    @Test(arguments: [
        [BufferUse(bytes: -1, first: 0, last: 0)],
        [BufferUse(bytes: 1, first: 2, last: 1)],
        [BufferUse(bytes: 1, first: -1, last: 1)],
        [BufferUse(bytes: 1, first: 0, last: 0, reuses: 0)],
        [BufferUse(bytes: 1, first: 1, last: 1, reuses: 7)],
        [BufferUse(bytes: 1, first: 0, last: 0, reuses: 1), BufferUse(bytes: 1, first: 0, last: 0)],
        [BufferUse(bytes: 1, first: 0, last: 3), BufferUse(bytes: 1, first: 1, last: 1, reuses: 0)],
    ]) func wrongUsesAreATypedError(uses: [BufferUse]) throws {
        let error = try #require(throws: SwiftletError.self) { try MemoryPlan(uses: uses) }
        guard case .invalidArgument = error else { Issue.record("\(error)"); return }
    }
}

extension [BufferUse] {
    /// The same uses in another order: a plan must not depend on uses being sorted by step.
    fileprivate func shuffledKeepingReferences(using generator: inout SeededGenerator) -> [BufferUse] {
        let order = indices.shuffled(using: &generator)
        var position = [Int](repeating: 0, count: count)
        for (new, old) in order.enumerated() { position[old] = new }
        return order.map { old in
            var use = self[old]
            use.reuses = use.reuses.map { position[$0] }
            return use
        }
    }
}
