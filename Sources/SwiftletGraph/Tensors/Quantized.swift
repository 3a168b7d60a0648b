// Operations on numbers of eight bits that stand for others: what fused graphs of quantised networks compute, in integers.
//
// A number q of a tensor with scale s and zero point z stands for s·(q − z) (Jacob et al., 2018).

/// A convolution of 8-bit activations with 8-bit weights: exact sums in integers, then one factor an output channel.
///
/// `(x q8 [n, c, space…], weight i8 [m, c/groups, kernel…], bias i32 [m], factor f32 [m]) → q8 [n, m, out…]`:
/// `clamp(round(float(Σ (x − inputZero)·w + bias)·factor) + outputZero, range)`, ties to even. What lies outside x counts as `inputZero`.
public struct QuantizedConvolution: Sendable, Hashable {
    public var window: Window
    public var groups: Int
    public var inputZero: Int
    public var outputZero: Int
    /// What results are kept within: the range of the type, or less where an activation cuts.
    public var range: ClosedRange<Int>

    public init(window: Window, groups: Int, inputZero: Int, outputZero: Int, range: ClosedRange<Int>) {
        self.window = window
        self.groups = groups
        self.inputZero = inputZero
        self.outputZero = outputZero
        self.range = range
    }
}

/// A linear layer on 8-bit numbers: exact sums in integers, then one factor a feature.
///
/// `(x q8 […, k], weight i8 [n, k], bias i32 [n], factor f32 [n]) → q8 […, n]`:
/// `clamp(round(float(Σ (x − inputZero)·w + bias)·factor) + outputZero, range)`, ties to even.
public struct QuantizedLinear: Sendable, Hashable {
    public var inputZero: Int
    public var outputZero: Int
    /// What results are kept within.
    public var range: ClosedRange<Int>

    public init(inputZero: Int, outputZero: Int, range: ClosedRange<Int>) {
        self.inputZero = inputZero
        self.outputZero = outputZero
        self.range = range
    }
}

/// The mean over the space of an image: `(x q8 [n, c, space…]) → q8 [n, c, 1…]`:
/// `clamp(round(float(Σ (x − inputZero))·factor) + outputZero, range)`, ties to even. The sum is exact.
public struct QuantizedMean: Sendable, Hashable {
    public var inputZero: Int
    /// The operand's scale divided by the result's and by the number of elements of a mean.
    public var factor: Float
    public var outputZero: Int
    public var range: ClosedRange<Int>

    public init(inputZero: Int, factor: Float, outputZero: Int, range: ClosedRange<Int>) {
        self.inputZero = inputZero
        self.factor = factor
        self.outputZero = outputZero
        self.range = range
    }
}

/// A sum of two tensors of one shape: `clamp(round((a − zeroA)·factorA + (b − zeroB)·factorB) + zero, range)`, ties to even.
public struct QuantizedSum: Sendable, Hashable {
    public var zeroA, zeroB: Int
    /// The operand's scale divided by the result's.
    public var factorA, factorB: Float
    public var zero: Int
    public var range: ClosedRange<Int>

    public init(zeroA: Int, zeroB: Int, factorA: Float, factorB: Float, zero: Int, range: ClosedRange<Int>) {
        self.zeroA = zeroA
        self.zeroB = zeroB
        self.factorA = factorA
        self.factorB = factorB
        self.zero = zero
        self.range = range
    }
}

/// Where a constant of floats comes from, when it was made by taking the quantisation off another constant.
public struct QuantizedSource: Sendable, Hashable {
    public var values: ValueID
    public var scale: ValueID
    public var zeroPoint: ValueID?

    public init(values: ValueID, scale: ValueID, zeroPoint: ValueID?) {
        self.values = values
        self.scale = scale
        self.zeroPoint = zeroPoint
    }
}
