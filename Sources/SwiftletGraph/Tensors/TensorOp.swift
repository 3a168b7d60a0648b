// The operations that imported networks add: products of tensors, windows, moves, reductions, look-ups. Import dialects with hundreds of
// operators come down to these and to the ones of `Op`.
//
// Shapes are row-major, channels before space (`[n, c, h, w]`), as ONNX has them; what lies how in memory is a backend's business.
// Axes are counted from the front. Indices are i32 or i64; negative ones count from the end, as NumPy has it.

/// What a node of an imported network computes. Operand order is written beside each case.
public enum TensorOp: Sendable, Hashable {
    // MARK: Products

    /// `(a […, m, k], b […, k, n]) → […, m, n]`: leading axes broadcast. Floats, i32 and u32 (sums wrap).
    case matmul

    /// `(x [n, c, space…], weight [m, c/groups, kernel…], bias [m]?, residual [n, m, out…]?) → [n, m, out…]`
    case convolution(Convolution)

    /// `(x [n, c, space…], weight [c, m/groups, kernel…], bias [m]?) → [n, m, out…]`: the gradient of a convolution by its input.
    case transposedConvolution(TransposedConvolution)

    /// `(x [n, c, h, w], weight [m, c/groups, kh, kw], offsets [n, offsetGroups·kh·kw·2, oh, ow], bias [m]?, mask [n, offsetGroups·kh·kw, oh, ow]?)
    /// → [n, m, oh, ow]`: a convolution whose taps are moved by offsets (Dai et al., 2017), read by bilinear interpolation.
    case deformableConvolution(DeformableConvolution)

    /// `(x [t, n, i], input weights [d, g·h, i], recurrent weights [d, g·h, h], bias [d, 2·g·h]?, lengths i32 [n]?, initial h [d, n, h]?,
    /// initial c [d, n, h]?, peepholes [d, 3·h]?) → (y [t, d, n, h], last h [d, n, h], last c [d, n, h] for an LSTM)`.
    case recurrent(Recurrent)

    // MARK: Windows and sampling

    /// `(x [n, c, space…]) → [n, c, out…]`, and the flat index of each maximum (i64) when asked for.
    case pool(Pool)

    /// `(x) → resized`: ONNX Resize, with sizes known.
    case resize(Resize)

    /// `(x [n, c, space…], grid [n, out…, axes]) → [n, c, out…]`: x read at the places of the grid.
    case gridSample(GridSample)

    /// `(x [n, c, h, w], boxes [r, 4], batch indices [r]) → [r, c, height, width]` (He et al., 2017).
    case roiAlign(RoiAlign)

    // MARK: Elements

    /// `(condition bool, a, b) → broadcast shape`: a where the condition holds, else b.
    case select

    /// `(x) → same shape` in another type. To integers: cut towards zero, wrapped. To 8-bit floats and below: to nearest even, kept in range
    /// when `saturates`.
    case cast(DType, saturates: Bool)

    /// `(x) → same shape`: the same bits read as another type of the same width.
    case bitcast(DType)

    /// `(x f, scale f, zeroPoint?) → same shape`: `saturate(round(x / scale) + zeroPoint)`, ties to even; scale and zero point broadcast.
    case quantize(DType)

    /// `(q, scale f, zeroPoint?) → same shape` in the type: `(q − zeroPoint)·scale`; scale and zero point broadcast.
    case dequantize(DType)

    /// See the types: what fusion makes of float operations between dequantize and quantize.
    case quantizedConvolution(QuantizedConvolution)
    case quantizedLinear(QuantizedLinear)
    case quantizedMean(QuantizedMean)
    case quantizedSum(QuantizedSum)

    // MARK: Moves

    /// `(x) → x with axis i of the result the axis permutation[i] of x`.
    case transpose([Int])

    /// `(x) → every steps[i]-th element from starts[i] on, sizes[i] of them`; a negative step walks back.
    case slice(Slice)

    /// `(x₀, x₁, …) → joined along the axis`.
    case concat(axis: Int)

    /// `(x, value [1]?) → low[i] elements more before and high[i] after each axis`; negative numbers cut.
    case pad(Pad)

    /// `(x) → the shape`, axes of length 1 and missing leading axes repeated.
    case expand([Dimension])

    // MARK: Look-ups

    /// `(x, indices) → x.shape[..<axis] + indices.shape + x.shape[(axis+1)...]`
    case gather(axis: Int)
    /// `(x, indices of x's rank) → indices.shape`: along the axis each element picks its own.
    case gatherElements(axis: Int)
    /// `(x, indices […, k]) → indices.shape.dropLast + x.shape[(batchAxes + k)...]`
    case gatherND(batchAxes: Int)
    /// `(x, indices, updates of indices' shape) → x` with the updates combined in, in order.
    case scatterElements(axis: Int, ScatterReduction)
    /// `(x, indices […, k], updates) → x` with slices replaced or combined, in order.
    case scatterND(ScatterReduction)

    // MARK: Along axes

    /// `(x) → reduced`; the axes stay as length 1 when kept. Over nothing: the neutral element (−∞ for a maximum).
    case reduce(Reduction, axes: [Int], keepsAxes: Bool)
    /// `(x) → i64`: where the largest (smallest) element along the axis is; of equals the first, or the last.
    case argument(Extreme, axis: Int, keepsAxis: Bool, takesLast: Bool)
    /// `(x) → (values, i64 indices)`: the k largest (smallest) along the axis, in order; of equals the first comes first.
    case topK(k: Int, axis: Int, Extreme)
    /// `(x) → same shape`: running sums or products.
    case cumulative(Cumulative)
}

/// Which end of an order.
public enum Extreme: String, Sendable, Hashable { case largest, smallest }

/// How several updates of one element combine.
public enum ScatterReduction: String, Sendable, Hashable { case replace, add, multiply, maximum, minimum }

/// What becomes of the elements along reduced axes.
public enum Reduction: String, Sendable, Hashable { case sum, mean, product, maximum, minimum, sumOfSquares, sumOfMagnitudes }

/// Running sums and products.
public struct Cumulative: Sendable, Hashable {
    public var isProduct: Bool
    public var axis: Int
    /// An element does not include itself.
    public var isExclusive: Bool
    public var isReversed: Bool

    public init(isProduct: Bool = false, axis: Int, isExclusive: Bool = false, isReversed: Bool = false) {
        self.isProduct = isProduct
        self.axis = axis
        self.isExclusive = isExclusive
        self.isReversed = isReversed
    }
}

/// A part of a tensor, one entry an axis.
public struct Slice: Sendable, Hashable {
    /// The first element taken, inside the axis (anything where the size is 0).
    public var starts: [Int]
    public var sizes: [Int]
    /// Never 0.
    public var steps: [Int]

    public init(starts: [Int], sizes: [Int], steps: [Int]) {
        self.starts = starts
        self.sizes = sizes
        self.steps = steps
    }
}

/// More elements around a tensor.
public struct Pad: Sendable, Hashable {
    public enum Mode: String, Sendable, Hashable {
        /// The value of the second operand, 0 without one.
        case constant
        /// The nearest element.
        case edge
        /// Mirrored at the outermost elements, which are not repeated.
        case reflect
        /// From the other end.
        case wrap
    }

    public var low: [Int]
    public var high: [Int]
    public var mode: Mode

    public init(low: [Int], high: [Int], mode: Mode) {
        self.low = low
        self.high = high
        self.mode = mode
    }
}
