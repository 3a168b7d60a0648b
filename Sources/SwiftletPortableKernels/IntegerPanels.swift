// The integer panels the portable kernels multiply (ckernels/linear.h): what is known of a layout where a kernel is specialised, and their numbers as
// 16 bits.
//
// A vector of 16 panel bytes is 4 output rows × 4 k. Seen as 8 numbers of 16 bits, the even k are its low bytes and the odd k its high bytes, so no byte
// is moved: each half is multiplied with the activations of the same k.
import CKernels

/// 8 × 16 bits.
typealias Halfwords = SIMD8<Int16>
/// 4 × 32 bits: one number for each of 4 output rows.
typealias Quad = SIMD4<Int32>

/// What the layout of a format is.
protocol IntegerPanel {
    /// Bits of a stored number in the plane of low bits (8, 4 or 2) and in the one that follows (2, 1 or 0).
    static var lowBits: Int { get }
    static var highBits: Int { get }
    /// Scales of an output row in a block.
    static var parts: Int { get }
    static var hasMinimum: Bool { get }
    /// What is taken from a stored number.
    static var zero: Int32 { get }
    /// The numbers that stored numbers index, where they do.
    static var codeBook: SIMD16<Int8>? { get }
}

extension IntegerPanel {
    @_transparent static var highBits: Int { 0 }
    @_transparent static var parts: Int { 1 }
    @_transparent static var hasMinimum: Bool { false }
    @_transparent static var zero: Int32 { 0 }
    @_transparent static var codeBook: SIMD16<Int8>? { nil }
    @_transparent static var quantOffset: Int { parts * (hasMinimum ? 64 : 32) }
    @_transparent static var highOffset: Int { 64 * lowBits }
    @_transparent static var blockBytes: Int { quantOffset + 64 * (lowBits + highBits) }
}

enum Q4: IntegerPanel {
    @_transparent static var lowBits: Int { 4 }
    @_transparent static var zero: Int32 { 8 }
}
enum Q4M: IntegerPanel {
    @_transparent static var lowBits: Int { 4 }
    @_transparent static var hasMinimum: Bool { true }
}
enum Q5: IntegerPanel {
    @_transparent static var lowBits: Int { 4 }
    @_transparent static var highBits: Int { 1 }
    @_transparent static var zero: Int32 { 16 }
}
enum Q5M: IntegerPanel {
    @_transparent static var lowBits: Int { 4 }
    @_transparent static var highBits: Int { 1 }
    @_transparent static var hasMinimum: Bool { true }
}
enum Q8: IntegerPanel {
    @_transparent static var lowBits: Int { 8 }
    @_transparent static var zero: Int32 { 128 }
}
enum Q6S16: IntegerPanel {
    @_transparent static var lowBits: Int { 4 }
    @_transparent static var highBits: Int { 2 }
    @_transparent static var parts: Int { 2 }
    @_transparent static var zero: Int32 { 32 }
}
enum Q3S16: IntegerPanel {
    @_transparent static var lowBits: Int { 2 }
    @_transparent static var highBits: Int { 1 }
    @_transparent static var parts: Int { 2 }
    @_transparent static var zero: Int32 { 4 }
}
enum Q2S16M: IntegerPanel {
    @_transparent static var lowBits: Int { 2 }
    @_transparent static var parts: Int { 2 }
    @_transparent static var hasMinimum: Bool { true }
}
enum Q2: IntegerPanel {
    @_transparent static var lowBits: Int { 2 }
    @_transparent static var zero: Int32 { 1 }
}
enum IQ4: IntegerPanel {
    @_transparent static var lowBits: Int { 4 }
    @_transparent static var codeBook: SIMD16<Int8>? { unsafeBitCast(ck_iq4_values, to: SIMD16<Int8>.self) }
}
enum MXFP4: IntegerPanel {
    @_transparent static var lowBits: Int { 4 }
    @_transparent static var codeBook: SIMD16<Int8>? { unsafeBitCast(ck_mxfp4_values, to: SIMD16<Int8>.self) }
}

/// How many terms an activation has, known where a kernel is specialised: a branch between them would split the code in which products are recognised.
protocol ActivationTerms {
    static var isTwoTerms: Bool { get }
    static var format: ck_activation_format { get }
}

enum OneTerm: ActivationTerms {
    @_transparent static var isTwoTerms: Bool { false }
    @_transparent static var format: ck_activation_format { CK_ACT_Q8 }
}
enum TwoTerms: ActivationTerms {
    @_transparent static var isTwoTerms: Bool { true }
    @_transparent static var format: ck_activation_format { CK_ACT_Q15 }
}

/// Σ of neighbouring products: one instruction on x86 (pmaddwd), two on Arm.
@_transparent
func dot(_ weights: Halfwords, _ activations: Halfwords) -> Quad {
    let products = SIMD8<Int32>(truncatingIfNeeded: weights) &* SIMD8<Int32>(truncatingIfNeeded: activations)
    return products.evenHalf &+ products.oddHalf
}

/// 8 numbers of 16 bits without sign, `count` bits further to the right.
@_transparent
func shiftedDown(_ numbers: Halfwords, _ count: UInt16) -> Halfwords {
    Halfwords(truncatingIfNeeded: SIMD8<UInt16>(truncatingIfNeeded: numbers) &>> count)
}

/// The activations of 16 k as 16 bits: those of even k and those of odd k. Both terms of CK_ACT_Q15 are one number here.
struct SixteenActivations {
    let even: Halfwords
    let odd: Halfwords

    // Shifts within 16 bits pick the low or the high byte with its sign; one less to the right multiplies the first term by 128.
    @_transparent
    init<Terms: ActivationTerms>(_: Terms.Type, high: UnsafeRawPointer, low: UnsafeRawPointer) {
        let top = high.load(as: Halfwords.self)
        if Terms.isTwoTerms {
            let bottom = low.load(as: Halfwords.self)
            even = ((top &<< 8) &>> 1) &+ ((bottom &<< 8) &>> 8)
            odd = ((top & Int16(bitPattern: 0xff00)) &>> 1) &+ (bottom &>> 8)
        } else {
            even = (top &<< 8) &>> 8
            odd = top &>> 8
        }
    }

    /// The pair of group `group` (4 k, 0 to 3) repeated for 4 output rows.
    @_transparent
    static func repeated(_ numbers: Halfwords, _ group: Int) -> Halfwords {
        unsafeBitCast(Quad(repeating: unsafeBitCast(numbers, to: Quad.self)[group]), to: Halfwords.self)
    }
}
