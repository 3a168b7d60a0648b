// Operations that slide a window over space: convolutions and pooling. One description of the window serves them all.

/// A window over the axes of space: one entry an axis everywhere. Space is what comes after `[n, c]`.
public struct Window: Sendable, Hashable {
    public var kernel: [Int]
    public var strides: [Int]
    public var dilations: [Int]
    /// Elements added before and after each axis of space. May be negative, which cuts.
    public var low: [Int]
    public var high: [Int]

    public init(kernel: [Int], strides: [Int]? = nil, dilations: [Int]? = nil, low: [Int]? = nil, high: [Int]? = nil) {
        self.kernel = kernel
        self.strides = strides ?? kernel.map { _ in 1 }
        self.dilations = dilations ?? kernel.map { _ in 1 }
        self.low = low ?? kernel.map { _ in 0 }
        self.high = high ?? kernel.map { _ in 0 }
    }

    public var rank: Int { kernel.count }

    /// Elements from the first to the last that the window reads along an axis.
    public func extent(_ axis: Int) -> Int { (kernel[axis] - 1) * dilations[axis] + 1 }

    /// How often the window fits along an axis of `size` elements; nil when it does not fit at all or numbers overflow.
    /// `roundsUp`: a last window may hang over the high end (but not begin behind the low padding and the elements).
    public func outputSize(_ axis: Int, of size: Int, roundsUp: Bool = false) -> Int? {
        let (reach, overflowReach) = (kernel[axis] - 1).multipliedReportingOverflow(by: dilations[axis])
        let (padded, overflowLow) = size.addingReportingOverflow(low[axis])
        let (whole, overflowHigh) = padded.addingReportingOverflow(high[axis])
        guard !overflowReach, !overflowLow, !overflowHigh, reach < Int.max / 4, abs(whole) < Int.max / 4 else { return nil }
        let room = whole - reach - 1
        let stride = strides[axis]
        guard room >= 0 else { return roundsUp && whole > 0 && room > -stride ? 1 : nil }
        let count = room / stride + 1
        // A window more, if it begins inside what there is.
        if roundsUp, room % stride != 0, count * stride < padded { return count + 1 }
        return count
    }
}

/// A convolution (cross-correlation, as networks mean it) and what rides on it.
public struct Convolution: Sendable, Hashable {
    public var window: Window
    /// Groups of channels that do not see each other; as many as channels is a depthwise convolution.
    public var groups: Int
    public var hasBias: Bool
    /// Whether a last operand of the output's shape is added.
    public var hasResidual: Bool
    /// Comes after the bias, and after or before the residual.
    public var activation: Unary?
    public var addsResidualFirst: Bool

    public init(
        window: Window, groups: Int = 1, hasBias: Bool = false, hasResidual: Bool = false, activation: Unary? = nil, addsResidualFirst: Bool = true
    ) {
        self.window = window
        self.groups = groups
        self.hasBias = hasBias
        self.hasResidual = hasResidual
        self.activation = activation
        self.addsResidualFirst = addsResidualFirst
    }

    public var inputCount: Int { 2 + (hasBias ? 1 : 0) + (hasResidual ? 1 : 0) }
}

/// A convolution run backwards: each element of x adds a kernel to the output.
public struct TransposedConvolution: Sendable, Hashable {
    /// `low` and `high` cut the output.
    public var window: Window
    public var groups: Int
    public var hasBias: Bool
    /// Elements more at the high end of each axis.
    public var outputPadding: [Int]
    /// Comes after the bias.
    public var activation: Unary?

    public init(window: Window, groups: Int = 1, hasBias: Bool = false, outputPadding: [Int]? = nil, activation: Unary? = nil) {
        self.activation = activation
        self.window = window
        self.groups = groups
        self.hasBias = hasBias
        self.outputPadding = outputPadding ?? window.kernel.map { _ in 0 }
    }

    /// The size of an axis of the output; nil when it is negative or overflows.
    public func outputSize(_ axis: Int, of size: Int) -> Int? {
        let (steps, overflow) = max(0, size - 1).multipliedReportingOverflow(by: window.strides[axis])
        guard !overflow, steps < Int.max / 4 else { return nil }
        let result = steps + window.extent(axis) + outputPadding[axis] - window.low[axis] - window.high[axis]
        return result >= 0 ? result : nil
    }
}

/// A convolution with learned places of its taps.
public struct DeformableConvolution: Sendable, Hashable {
    public var window: Window
    public var groups: Int
    public var offsetGroups: Int
    public var hasBias: Bool
    public var hasMask: Bool

    public init(window: Window, groups: Int, offsetGroups: Int, hasBias: Bool, hasMask: Bool) {
        self.window = window
        self.groups = groups
        self.offsetGroups = offsetGroups
        self.hasBias = hasBias
        self.hasMask = hasMask
    }
}

/// The largest, the mean or the norm of a window.
public struct Pool: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Padding never wins. `indices`: a second output, the flat place of each maximum in the whole of x.
        case maximum(indices: Bool)
        /// Whether padding counts in the divisor.
        case average(countsPadding: Bool)
        /// `(Σ|x|^p)^(1/p)`
        case norm(p: Int)
    }

    public var kind: Kind
    public var window: Window
    /// Whether a last window may hang over the high end.
    public var roundsUp: Bool

    public init(kind: Kind, window: Window, roundsUp: Bool = false) {
        self.kind = kind
        self.window = window
        self.roundsUp = roundsUp
    }
}
