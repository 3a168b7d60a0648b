// Integer products of one activation row and a panel: what a token costs. No row shares the unpacking, so it goes no further than bytes; the even and the
// odd ones become 16 bits on the way to the multiplication.
import CKernels

/// One 32-block of the activation row: for each group of 4 k the pairs (k0, k2) and (k1, k3), each repeated for 4 output rows.
private struct Activations {
    // Tuples, because an array would be allocated.
    typealias Eight = (Halfwords, Halfwords, Halfwords, Halfwords, Halfwords, Halfwords, Halfwords, Halfwords)
    let even: Eight
    let odd: Eight

    @_transparent
    init<Terms: ActivationTerms>(_ terms: Terms.Type, high: UnsafeRawPointer, low: UnsafeRawPointer) {
        let first = SixteenActivations(terms, high: high, low: low)
        let second = SixteenActivations(terms, high: high + 16, low: low + 16)
        @_transparent
        func repeated(_ first: Halfwords, _ second: Halfwords) -> Eight {
            (
                SixteenActivations.repeated(first, 0), SixteenActivations.repeated(first, 1), SixteenActivations.repeated(first, 2),
                SixteenActivations.repeated(first, 3), SixteenActivations.repeated(second, 0), SixteenActivations.repeated(second, 1),
                SixteenActivations.repeated(second, 2), SixteenActivations.repeated(second, 3)
            )
        }
        even = repeated(first.even, second.even)
        odd = repeated(first.odd, second.odd)
    }

    /// Σ u · q of 4 output rows; `bytes` is their first 16, groups are 64 bytes apart.
    @_transparent
    func sums(_ bytes: UnsafeRawPointer, _ mask: Quad) -> Quad {
        var sum = Quad()
        @_transparent
        func line(_ index: Int, _ even: Halfwords, _ odd: Halfwords) {
            let numbers = bytes.load(fromByteOffset: 64 * index, as: Quad.self)
            sum &+= dot(unsafeBitCast(numbers & mask, to: Halfwords.self), even)
            sum &+= dot(unsafeBitCast((numbers &>> 8) & mask, to: Halfwords.self), odd)
        }
        line(0, even.0, odd.0)
        line(1, even.1, odd.1)
        line(2, even.2, odd.2)
        line(3, even.3, odd.3)
        line(4, even.4, odd.4)
        line(5, even.5, odd.5)
        line(6, even.6, odd.6)
        line(7, even.7, odd.7)
        return sum
    }
}

/// The nibbles of a block as bytes, in the order of a panel of bytes.
///
/// Never inlined: LLVM would see through the memory between this and its reader, and take each nibble from the panel in halves of a vector.
@inline(never)
private func expand(_ quants: UnsafeRawPointer, _ bytes: UnsafeMutableRawPointer) {
    for offset in stride(from: 0, to: 256, by: 16) {
        let both = quants.load(fromByteOffset: offset, as: Halfwords.self)
        bytes.storeBytes(of: both & 0x0f0f, toByteOffset: offset, as: Halfwords.self)
        bytes.storeBytes(of: shiftedDown(both, 4) & 0x0f0f, toByteOffset: offset + 256, as: Halfwords.self)
    }
}

/// One activation row × one panel of whole nibbles or bytes: 16 outputs. `scratch` is 512 bytes.
@_transparent
func row<Panel: IntegerPanel, Terms: ActivationTerms>(
    _ type: Panel.Type, _ terms: Terms.Type, panel: UnsafeRawPointer, activation: UnsafeRawPointer, k: Int64, records: Int,
    scratch: UnsafeMutableRawPointer, output: UnsafeMutablePointer<Float>, valid: Int
) {
    var a = SIMD4<Float>(), b = SIMD4<Float>(), c = SIMD4<Float>(), d = SIMD4<Float>()
    var block = panel + 64, high = activation, low = activation + ck_activation_low_offset(k)
    var record = UnsafePointer((activation + records).assumingMemoryBound(to: ck_activation_block.self))
    // The low byte of 16 bits, twice a lane. Not a constant to the compiler, which would see that 8 bits are enough for what it leaves and pack and unpack
    // every vector: k is a multiple of 32, so it is shifted by nothing, but only we know.
    let mask = Quad(repeating: 0x00ff_00ff &<< Int32(truncatingIfNeeded: k & 31))
    for _ in 0..<k / Int64(CK_BLOCK) {
        let values = Activations(terms, high: high, low: low)
        let offset = Quad(repeating: record.pointee.sum &* Panel.zero)
        let scale = record.pointee.scale, scaledSum = SIMD4<Float>(repeating: record.pointee.scaled_sum)
        if Panel.lowBits == 4 { expand(block + Panel.quantOffset, scratch) }
        let bytes = Panel.lowBits == 4 ? UnsafeRawPointer(scratch) : block + Panel.quantOffset
        @_transparent
        func add(_ total: inout SIMD4<Float>, _ index: Int) {
            let sum = values.sums(bytes + 16 * index, mask)
            total = multiplyAdd(total, SIMD4<Float>(Panel.zero == 0 ? sum : sum &- offset), floats(block + 8 * index) * scale)
            if Panel.hasMinimum { total = multiplyAdd(total, floats(block + 32 + 8 * index), scaledSum) }
        }
        add(&a, 0)
        add(&b, 1)
        add(&c, 2)
        add(&d, 3)
        block += Panel.blockBytes
        high += Int(CK_BLOCK)
        low += Int(CK_BLOCK)
        record += 1
    }
    store(a, panel, output, valid)
    store(b, panel + 16, output + 4, valid - 4)
    store(c, panel + 32, output + 8, valid - 8)
    store(d, panel + 48, output + 12, valid - 12)
}
