// Operations that read between elements: resizing, sampling at a grid, aligned regions.

/// Resizing along some axes, with the options of ONNX Resize.
public struct Resize: Sendable, Hashable {
    public enum Interpolation: Sendable, Hashable {
        case nearest(NearestRounding)
        case linear
        /// Keys' cubic with this coefficient (−0.75 in ONNX and PyTorch).
        case cubic(coefficient: Float)
    }

    /// How a place between two elements becomes one of them.
    public enum NearestRounding: String, Sendable, Hashable { case preferFloor, preferCeil, floor, ceil }

    /// From a place in the output to one in the input.
    public enum Coordinates: Sendable, Hashable {
        case halfPixel
        /// Half pixels, moved so that the centres stay when the output size was rounded.
        case halfPixelSymmetric
        /// Half pixels, but 0 for an output of one element.
        case pytorchHalfPixel
        case alignCorners
        case asymmetric
        /// A region of the input, starts and ends an axis of x relative to its size; outside it `extrapolation`.
        case cropAndResize(starts: [Float], ends: [Float], extrapolation: Float)
    }

    public var interpolation: Interpolation
    public var coordinates: Coordinates
    /// Output elements an input element, an axis of x; 1 where nothing is resized.
    public var scales: [Float]
    /// The sizes of the output, an axis of x.
    public var sizes: [Int]
    /// Whether kernels widen when shrinking, so that every element counts.
    public var antialiases: Bool
    /// Whether weights that fall outside the input are left out instead of repeating the border (cubic).
    public var excludesOutside: Bool

    public init(
        interpolation: Interpolation, coordinates: Coordinates, scales: [Float], sizes: [Int], antialiases: Bool = false,
        excludesOutside: Bool = false
    ) {
        self.interpolation = interpolation
        self.coordinates = coordinates
        self.scales = scales
        self.sizes = sizes
        self.antialiases = antialiases
        self.excludesOutside = excludesOutside
    }
}

/// Reading x at the places of a grid (Jaderberg et al., 2015), places from −1 to 1 along each axis.
public struct GridSample: Sendable, Hashable {
    public enum Interpolation: String, Sendable, Hashable { case nearest, linear, cubic }
    public enum Padding: String, Sendable, Hashable { case zeros, border, reflection }

    public var interpolation: Interpolation
    public var padding: Padding
    /// Whether −1 and 1 are the centres of the outermost elements, not their edges.
    public var alignsCorners: Bool

    public init(interpolation: Interpolation, padding: Padding, alignsCorners: Bool) {
        self.interpolation = interpolation
        self.padding = padding
        self.alignsCorners = alignsCorners
    }
}

/// Regions of x, each sampled to the same size.
public struct RoiAlign: Sendable, Hashable {
    public var height: Int
    public var width: Int
    /// Samples a bin and axis; 0 takes as many as the bin has elements.
    public var samples: Int
    /// Multiplies the corners of the boxes.
    public var scale: Float
    /// The largest of the samples instead of their mean.
    public var takesMaximum: Bool
    /// Whether boxes are moved by half an element, so that pixels are areas.
    public var isHalfPixel: Bool

    public init(height: Int, width: Int, samples: Int, scale: Float, takesMaximum: Bool, isHalfPixel: Bool) {
        self.height = height
        self.width = width
        self.samples = samples
        self.scale = scale
        self.takesMaximum = takesMaximum
        self.isHalfPixel = isHalfPixel
    }
}
