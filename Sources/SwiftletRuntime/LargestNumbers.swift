// The k-th largest of many numbers, by a heap of k: one pass in which nearly every number is only compared.

package enum LargestNumbers {
    /// The k-th largest of `count` numbers, `1 ≤ k ≤ count`. `heap` has room for k numbers and keeps the k largest, in no order.
    package static func kth(_ k: Int, of numbers: UnsafePointer<Float>, count: Int, heap: UnsafeMutablePointer<Float>) -> Float {
        heap.update(from: numbers, count: k)
        // The root is the smallest of the k largest so far.
        for index in stride(from: k / 2 - 1, through: 0, by: -1) { sink(heap, k, index) }
        for index in k..<count where numbers[index] > heap[0] {
            heap[0] = numbers[index]
            sink(heap, k, 0)
        }
        return heap[0]
    }

    @inline(__always)
    private static func sink(_ heap: UnsafeMutablePointer<Float>, _ count: Int, _ start: Int) {
        var hole = start
        while true {
            var child = 2 * hole + 1
            guard child < count else { return }
            if child + 1 < count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < heap[hole] else { return }
            (heap[hole], heap[child]) = (heap[child], heap[hole])
            hole = child
        }
    }
}
