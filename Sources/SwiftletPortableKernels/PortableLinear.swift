// Integer matrix products in Swift's vector types: rows for the panels of whole nibbles and of whole bytes (Q4, Q4M, Q8; layout and arithmetic: ckernels/linear.h and
// gemm/linear_scalar.c, whose bits these give). 16-byte vectors throughout, which every 64-bit machine has.
//
// A vector of 16 panel bytes is 4 output rows × 4 k. Seen as 8 numbers of 16 bits, the even k are its low bytes and the odd k its high bytes, so no byte
// is moved: each half is multiplied with the activations of the same k, 16 bits too (both terms of CK_ACT_Q15 in one number), and neighbours are added
// to 32 bits, which is one instruction on x86 (pmaddwd) and two on Arm. A nibble that stands 4 or 8 bits too high is not shifted either: its products
// go to a sum of their own, which is shifted once a block.
import CKernels

/// 8 × 16 bits.
typealias Halfwords = SIMD8<Int16>
/// 4 × 32 bits: one number for each of 4 output rows.
typealias Quad = SIMD4<Int32>

/// Σ of neighbouring products.
@_transparent
private func dot(_ weights: Halfwords, _ activations: Halfwords) -> Quad {
    let products = SIMD8<Int32>(truncatingIfNeeded: weights) &* SIMD8<Int32>(truncatingIfNeeded: activations)
    return products.evenHalf &+ products.oddHalf
}

/// One 32-block of one activation row: for each group of 4 k the pairs (k0, k2) and (k1, k3), each repeated for 4 output rows.
private struct Activations {
    // Tuples, because an array would be allocated.
    typealias Eight = (Halfwords, Halfwords, Halfwords, Halfwords, Halfwords, Halfwords, Halfwords, Halfwords)
    let even: Eight
    let odd: Eight

    @_transparent
    init(high: UnsafeRawPointer, low: UnsafeRawPointer, isTwoTerms: Bool) {
        /// The 4 numbers of a group of one term, repeated.
        @_transparent
        func group(_ term: UnsafeRawPointer, _ index: Int) -> Halfwords {
            unsafeBitCast(Quad(repeating: term.load(fromByteOffset: 4 * index, as: Int32.self)), to: Halfwords.self)
        }
        // Shifts within 16 bits pick the low or the high byte with its sign; one less to the right multiplies the first term by 128.
        @_transparent
        func even(_ index: Int) -> Halfwords {
            let top = group(high, index) &<< 8
            return isTwoTerms ? (top &>> 1) &+ ((group(low, index) &<< 8) &>> 8) : top &>> 8
        }
        @_transparent
        func odd(_ index: Int) -> Halfwords {
            let top = group(high, index)
            return isTwoTerms ? ((top &>> 8) &<< 7) &+ (group(low, index) &>> 8) : top &>> 8
        }
        self.even = (even(0), even(1), even(2), even(3), even(4), even(5), even(6), even(7))
        self.odd = (odd(0), odd(1), odd(2), odd(3), odd(4), odd(5), odd(6), odd(7))
    }

    /// Σ u · q of 4 output rows; `quants` is their first 16 bytes, lines are 64 bytes apart.
    @_transparent
    func nibbleSums(_ quants: UnsafeRawPointer, _ masks: Masks) -> Quad {
        var plain = Quad(), by16 = Quad(), by256 = Quad()
        @_transparent
        func line(_ index: Int, _ lowEven: Halfwords, _ lowOdd: Halfwords, _ highEven: Halfwords, _ highOdd: Halfwords) {
            let bytes = unsafeBitCast(quants.load(fromByteOffset: 64 * index, as: Quad.self), to: Halfwords.self)
            plain &+= dot(bytes & masks.low, lowEven)
            by16 &+= dot(bytes & masks.high, highEven)
            by256 &+= dot(bytes & 0x0f00, lowOdd)
            plain &+= dot(Halfwords(truncatingIfNeeded: SIMD8<UInt16>(truncatingIfNeeded: bytes) &>> 12), highOdd)
        }
        line(0, even.0, odd.0, even.4, odd.4)
        line(1, even.1, odd.1, even.5, odd.5)
        line(2, even.2, odd.2, even.6, odd.6)
        line(3, even.3, odd.3, even.7, odd.7)
        return plain &+ (by16 &>> 4) &+ (by256 &>> 8)
    }

    /// The same for panels of 8 bits.
    @_transparent
    func byteSums(_ quants: UnsafeRawPointer) -> Quad {
        var sum = Quad()
        @_transparent
        func line(_ index: Int, _ even: Halfwords, _ odd: Halfwords) {
            let bytes = unsafeBitCast(quants.load(fromByteOffset: 64 * index, as: Quad.self), to: SIMD8<UInt16>.self)
            sum &+= dot(Halfwords(truncatingIfNeeded: bytes & 0x00ff), even)
            sum &+= dot(Halfwords(truncatingIfNeeded: bytes &>> 8), odd)
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

/// Four halves as floats.
@_transparent
private func floats(_ halves: UnsafeRawPointer) -> SIMD4<Float> {
    let bits = SIMD4<Int32>(truncatingIfNeeded: halves.load(as: SIMD4<Int16>.self))
    // Exponent and fraction in place, the sign's copies above the exponent taken out; the product with 2^112 corrects the exponent's bias, and makes normal
    // numbers of subnormal ones. The largest exponent stands for infinities and NaNs in both formats.
    let shifted = (bits &<< 13) & Int32(bitPattern: 0x8fff_e000)
    let isSpecial = (bits & 0x7c00) .== SIMD4(repeating: 0x7c00)
    let value = unsafeBitCast(shifted, to: SIMD4<Float>.self) * 0x1p112
    if !any(isSpecial) { return value }
    return value.replacing(with: unsafeBitCast(shifted | 0x7f80_0000, to: SIMD4<Float>.self), where: isSpecial)
}

/// The nibbles of the low byte in 16 bits.
///
/// Not constants to the compiler, which would see that 8 bits are enough for what they leave and pack and unpack every vector: a block is 32 long, so k
/// shifted by 11 has nothing left in 16 bits, but only we know.
private struct Masks {
    let low: Halfwords
    let high: Halfwords

    @_transparent
    init(k: Int64) {
        let nothing = Int16(truncatingIfNeeded: k &<< 11)
        low = Halfwords(repeating: 0x000f | nothing)
        high = Halfwords(repeating: 0x00f0 | nothing)
    }
}

/// What the layout of a format is, known where a kernel is specialised.
private protocol IntegerPanel {
    static var isNibble: Bool { get }
    static var hasMinimum: Bool { get }
}

extension IntegerPanel {
    @_transparent static var quantOffset: Int { hasMinimum ? 64 : 32 }
    @_transparent static var blockBytes: Int { quantOffset + (isNibble ? 256 : 512) }
    @_transparent static var zero: Int32 { isNibble ? 8 : 128 }
}

private enum Q4: IntegerPanel { static let isNibble = true, hasMinimum = false }
private enum Q4M: IntegerPanel { static let isNibble = true, hasMinimum = true }
private enum Q8: IntegerPanel { static let isNibble = false, hasMinimum = false }

/// Σ over one block of 4 output rows, less the zero point.
@_transparent
private func blockSums<Panel: IntegerPanel>(_: Panel.Type, _ values: borrowing Activations, _ block: UnsafeRawPointer, _ index: Int, _ offset: Quad, _ masks: Masks) -> SIMD4<Float> {
    let quants = block + Panel.quantOffset + 16 * index
    let sum = Panel.isNibble ? values.nibbleSums(quants, masks) : values.byteSums(quants)
    return SIMD4<Float>(Panel.hasMinimum ? sum : sum &- offset)
}

/// The sums of 4 output rows with one block added.
@_transparent
private func added<Panel: IntegerPanel>(
    _: Panel.Type, _ total: FusedSum, _ sums: SIMD4<Float>, _ block: UnsafeRawPointer, _ index: Int, _ scale: Float, _ scaledSum: Float,
    _ doubt: inout SIMD4<UInt32>
) -> FusedSum {
    let scaled = fused(total, sums, floats(block + 8 * index) * scale, &doubt)
    return Panel.hasMinimum ? fused(scaled, floats(block + 32 + 8 * index), SIMD4(repeating: scaledSum), &doubt) : scaled
}

/// The same, where rounding is in doubt.
@inline(never)
private func addedExactly<Panel: IntegerPanel>(
    _: Panel.Type, _ total: FusedSum, _ sums: SIMD4<Float>, _ block: UnsafeRawPointer, _ index: Int, _ scale: Float, _ scaledSum: Float
) -> FusedSum {
    let scaled = fusedExactly(total, sums, floats(block + 8 * index) * scale)
    return Panel.hasMinimum ? fusedExactly(scaled, floats(block + 32 + 8 * index), SIMD4(repeating: scaledSum)) : scaled
}

/// Writes 4 outputs, or the `valid` first of them.
@_transparent
private func store(_ total: FusedSum, _ factors: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>, _ valid: Int) {
    let result = SIMD4<Float>(total) * factors.load(as: SIMD4<Float>.self)
    if valid >= 4 { return UnsafeMutableRawPointer(output).storeBytes(of: result, as: SIMD4<Float>.self) }
    for lane in 0..<max(valid, 0) { output[lane] = result[lane] }
}

/// One activation row × one panel: 16 outputs.
@_transparent
private func row<Panel: IntegerPanel>(
    _ type: Panel.Type, isTwoTerms: Bool, panel: UnsafeRawPointer, activation: UnsafeRawPointer, k: Int64, records: Int,
    output: UnsafeMutablePointer<Float>, valid: Int
) {
    var a = FusedSum(), b = FusedSum(), c = FusedSum(), d = FusedSum()
    var block = panel + 64, high = activation, low = activation + ck_activation_low_offset(k)
    var record = UnsafePointer((activation + records).assumingMemoryBound(to: ck_activation_block.self))
    let masks = Masks(k: k)
    for _ in 0..<k / Int64(CK_BLOCK) {
        let values = Activations(high: high, low: low, isTwoTerms: isTwoTerms)
        let offset = Quad(repeating: record.pointee.sum &* Panel.zero)
        let first = blockSums(type, values, block, 0, offset, masks), second = blockSums(type, values, block, 1, offset, masks)
        let third = blockSums(type, values, block, 2, offset, masks), fourth = blockSums(type, values, block, 3, offset, masks)
        let scale = record.pointee.scale, scaledSum = record.pointee.scaled_sum
        var doubt = SIMD4<UInt32>()
        let nextA = added(type, a, first, block, 0, scale, scaledSum, &doubt), nextB = added(type, b, second, block, 1, scale, scaledSum, &doubt)
        let nextC = added(type, c, third, block, 2, scale, scaledSum, &doubt), nextD = added(type, d, fourth, block, 3, scale, scaledSum, &doubt)
        if any(doubt .!= SIMD4<UInt32>()) {
            a = addedExactly(type, a, first, block, 0, scale, scaledSum)
            b = addedExactly(type, b, second, block, 1, scale, scaledSum)
            c = addedExactly(type, c, third, block, 2, scale, scaledSum)
            d = addedExactly(type, d, fourth, block, 3, scale, scaledSum)
        } else {
            (a, b, c, d) = (nextA, nextB, nextC, nextD)
        }
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

/// All rows × all panels: a panel is read from memory once.
@_transparent
private func product<Panel: IntegerPanel>(_ type: Panel.Type, _ format: ck_activation_format, _ pointer: UnsafePointer<ck_linear_args>?) {
    guard let args = pointer?.pointee, let panels = args.panels, let activations = args.activations, let output = args.output else { return }
    let records = ck_activation_block_offset(format, args.k), isTwoTerms = format == CK_ACT_Q15
    for index in 0..<Int(args.panel_count) {
        let column = index * Int(CK_PANEL_ROWS)
        for m in 0..<Int(args.rows) {
            row(
                type, isTwoTerms: isTwoTerms, panel: panels + index * args.panel_stride_bytes, activation: activations + m * args.activation_stride_bytes,
                k: args.k, records: records, output: output + m * Int(args.output_stride) + column, valid: Int(args.columns) - column)
        }
    }
}

extension PortableKernels {
    /// The rows, correct for any number of activation rows.
    ///
    /// `nonisolated(unsafe)`: constants; the pointers in them lead to static strings.
    package nonisolated(unsafe) static let linear: [ck_linear_row] = [
        row("linear_q4_q8_portable", CK_PANEL_Q4, CK_ACT_Q8) { product(Q4.self, CK_ACT_Q8, $0) },
        row("linear_q4_q15_portable", CK_PANEL_Q4, CK_ACT_Q15) { product(Q4.self, CK_ACT_Q15, $0) },
        row("linear_q4m_q8_portable", CK_PANEL_Q4M, CK_ACT_Q8) { product(Q4M.self, CK_ACT_Q8, $0) },
        row("linear_q4m_q15_portable", CK_PANEL_Q4M, CK_ACT_Q15) { product(Q4M.self, CK_ACT_Q15, $0) },
        row("linear_q8_q8_portable", CK_PANEL_Q8, CK_ACT_Q8) { product(Q8.self, CK_ACT_Q8, $0) },
        row("linear_q8_q15_portable", CK_PANEL_Q8, CK_ACT_Q15) { product(Q8.self, CK_ACT_Q15, $0) },
    ]

    private static func row(
        _ name: StaticString, _ panel: ck_panel_format, _ activation: ck_activation_format, _ function: @escaping ck_linear_function
    ) -> ck_linear_row {
        ck_linear_row(
            name: UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self), isa: isa, panel: panel, activation: activation, row_tile: 1,
            maximum_rows: Int64(Int32.max), function: function, minimum_rows: 1, tolerance: 0)
    }
}
