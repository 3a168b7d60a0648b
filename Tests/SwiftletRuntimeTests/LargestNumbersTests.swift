// The k-th largest number, beside sorting.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("The k-th largest") struct LargestNumbersTests {
    @Test(arguments: [1, 2, 3, 17, 100]) func asSorted(count: Int) {
        var random = SeededGenerator(seed: UInt64(count))
        for round in 0..<20 {
            // Some with many equals.
            let numbers = random.floats(count).map { round % 2 == 0 ? $0 : ($0 * 3).rounded() }
            let sorted = numbers.sorted(by: >)
            for k in 1...count {
                var heap = [Float](repeating: 0, count: k)
                #expect(LargestNumbers.kth(k, of: numbers, count: count, heap: &heap) == sorted[k - 1])
                #expect(heap.sorted(by: >) == Array(sorted.prefix(k)))
            }
        }
    }
}
