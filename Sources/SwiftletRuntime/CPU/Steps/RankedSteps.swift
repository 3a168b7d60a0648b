// The largest products of a split matrix, made whole: which coarse sums may belong to them, and the fine sums of those.
//
// Three steps behind the coarse product. The maxima of blocks of coarse sums come first. Then, a row of activations at a time, the largest sum of each of the
// `best` best blocks is made whole on the side: the least of these is a number that `best` products reach, the threshold. Last, every sum that could reach
// it with its fine part, which is at most the norm of its fine row times that of the activations, gets that part. What stays coarse is below the
// threshold, so the `best` largest come out as if all had been made whole, to the bit. Of a vocabulary of 262,144 tokens a hundred fine rows are read for
// the best, some thousands for the best forty (Gemma 3 270M on English text); where a model has no idea what comes next, half of them may be.
import CKernels

/// One of the three steps. All share the same data.
struct RankedStep {
    enum Stage {
        case maxima, threshold, refinement
    }

    /// Rows of activations up to which the coarse part is multiplied alone: with more, whole weights cost less.
    static let mostRows = 16
    /// The most of the largest that are looked for; more are as good as all.
    static let mostBest = 1_024
    private static let blockLength = 128
    /// Blocks of one task: making them all whole takes 100 µs, finding that none counts 1.
    private static let taskBlocks = 32

    /// What is known of a row of activations.
    struct Reach {
        /// At least its norm.
        var norm: Float
        var threshold: Float
    }

    let stage: Stage
    /// [rows, features]: in coarse sums.
    let sums: UnsafeMutablePointer<Float>
    let fine: FineRows
    let refine: ck_split_function
    let reductions: RowReductions
    /// [rows, columns], and as kernels read it.
    let x: UnsafePointer<Float>
    let activations: UnsafeRawPointer
    let activationRowBytes: Int
    let activation: ck_activation_format
    let best: UnsafePointer<Int32>
    let rows: Int
    /// [rows, blocks]
    let maxima: UnsafeMutablePointer<Float>
    /// [rows, mostBest]
    let heaps: UnsafeMutablePointer<Float>
    /// [rows]
    let reaches: UnsafeMutablePointer<Reach>

    static func blockCount(_ features: Int) -> Int { (features + blockLength - 1) / blockLength }

    private var blocks: Int { Self.blockCount(fine.count) }
    private var tasksPerRow: Int { (blocks + Self.taskBlocks - 1) / Self.taskBlocks }

    var taskCount: Int { stage == .threshold ? rows : rows * tasksPerRow }

    /// How many of the largest are looked for; nil when all sums are to be whole.
    private var wanted: Int? {
        let best = Int(best.pointee)
        return best > 0 && best <= min(Self.mostBest, blocks) ? best : nil
    }

    func execute(_ task: Int) {
        guard stage != .threshold else { return findThreshold(task) }
        let (row, part) = task.quotientAndRemainder(dividingBy: tasksPerRow)
        let taken = part * Self.taskBlocks..<min(blocks, (part + 1) * Self.taskBlocks)
        if stage == .refinement {
            let first = taken.lowerBound * Self.blockLength, end = min(fine.count, taken.upperBound * Self.blockLength)
            refine(row, sums + row * fine.count + first, first: first, count: end - first, reaches[row])
        } else if wanted != nil {
            for block in taken { maxima[row * blocks + block] = reductions.max(UnsafeBufferPointer(rebasing: numbers(row, of: block))) }
        }
    }

    /// The sums of a block with a row of activations.
    private func numbers(_ row: Int, of block: Int) -> Swift.Slice<UnsafeBufferPointer<Float>> {
        UnsafeBufferPointer(start: sums + row * fine.count, count: fine.count)[block * Self.blockLength..<min(fine.count, (block + 1) * Self.blockLength)]
    }

    /// Makes those of `sums`, of the rows of weights from `first` on, whole that may reach the threshold.
    private func refine(_ row: Int, _ sums: UnsafeMutablePointer<Float>, first: Int, count: Int, _ reach: Reach) {
        var arguments = ck_split_args(
            sums: sums, norms: fine.norms + first, count: Int64(count), fine: fine[first], k: Int64(fine.columns),
            activations: activations + row * activationRowBytes, activation: activation, reach: reach.norm, threshold: reach.threshold)
        refine(&arguments)
    }

    private func findThreshold(_ row: Int) {
        let maxima = maxima + row * blocks
        var squares = 0.0
        for column in 0..<fine.columns {
            let number = Double(x[row * fine.columns + column])
            squares += number * number
        }
        let whole = Reach(norm: Float(squares.squareRoot()) * activation.mostGrowth, threshold: -.infinity)
        reaches[row] = whole
        guard let wanted else { return }
        let least = LargestNumbers.kth(wanted, of: maxima, count: blocks, heap: heaps + row * Self.mostBest)
        var (found, threshold) = (0, Float.infinity)
        for block in 0..<blocks where maxima[block] >= least && found < wanted {
            guard let place = numbers(row, of: block).firstIndex(of: maxima[block]) else { continue }
            var sum = maxima[block]
            refine(row, &sum, first: place, count: 1, whole)
            threshold = min(threshold, sum)
            found += 1
        }
        // Numbers that are none leave fewer than are wanted: then every sum is made whole, and whoever reads them sees what they are.
        if found == wanted { reaches[row].threshold = threshold }
    }
}

extension ck_activation_format {
    /// How much larger the norm of a rounded row may be than that of the row. A number is off by half a unit at most, and the largest of a block of 32 has
    /// 127 or 16,256 units: a norm grows by √32/2 of these at most.
    fileprivate var mostGrowth: Float { self == CK_ACT_Q8 ? 1.023 : 1.001 }
}
