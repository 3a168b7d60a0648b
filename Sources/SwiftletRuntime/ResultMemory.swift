// Memory of results that callers have let go of, taken again for later ones.
//
// A run copies each output out of the arena, and a large one into pages that the system makes and zeroes at the first touch: for the megabyte that text
// recognition gives, that takes as long as 2 % of the run. A caller mostly reads a result and drops it, or keeps the last one while the next is made, so
// two pieces of memory an output are enough to go on with.
import SwiftletTensor

/// Memory for the tensors that one output gives, run after run. Not thread-safe: it belongs to one plan.
struct ResultMemory {
    private var pieces: [AlignedMemory] = []
    private static let mostPieces = 2

    /// Memory that nobody reads: that of an earlier result nobody holds any more, or new one. Its content is undefined.
    ///
    /// Who holds a tensor made of it keeps it from being taken again. Throws `SwiftletError.outOfMemory`.
    mutating func take(byteCount: Int) throws -> AlignedMemory {
        for index in pieces.indices where pieces[index].bytes.count == byteCount && isKnownUniquelyReferenced(&pieces[index]) { return pieces[index] }
        let memory = try AlignedMemory(byteCount: byteCount, purpose: "a result")
        if pieces.count == Self.mostPieces { pieces.removeFirst() }
        pieces.append(memory)
        return memory
    }
}
