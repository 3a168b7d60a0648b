// Networks for images by name: the graph, with random or trained parameters.
import SwiftletGraph

/// The architectures this version builds. The raw value is the name on the command line, torchvision's where it has the architecture.
public enum VisionArchitecture: String, Sendable, CaseIterable {
    /// Howard et al., 2017. Parameters named as timm's `mobilenetv1_100`.
    case mobileNetV1 = "mobilenet_v1"
    /// Sandler et al., 2018.
    case mobileNetV2 = "mobilenet_v2"
    /// Howard et al., 2019.
    case mobileNetV3Large = "mobilenet_v3_large"
    case mobileNetV3Small = "mobilenet_v3_small"
    /// Ma et al., 2018; widths 0.5, 1, 1.5 and 2.
    case shuffleNetV2 = "shufflenet_v2"
    /// Iandola et al., 2016, in the authors' later form with fewer operations; width 1.
    case squeezeNet11 = "squeezenet1_1"
    /// Tan and Le, 2019.
    case efficientNetB0 = "efficientnet_b0"
    /// EfficientNet-B0 without gates, with ReLU6, its stem and head as they are at any width (2020). Parameters named as timm's
    /// `tf_efficientnet_lite0`.
    case efficientNetLite0 = "efficientnet_lite0"

    /// Builds the network: input `input` `[batch, 3, size, size]`, output `logits` `[batch, classes]`.
    ///
    /// Throws `SwiftletError.invalidArgument` for sizes the architecture does not have and for parameters of other shapes, `.malformed` when
    /// a parameter is missing, and `.invalidGraph` when the image is too small for the windows.
    public func build(_ shape: NetworkShape = NetworkShape(), parameters: NetworkParameters = .random(seed: 0)) throws -> VisionNetwork {
        try shape.check()
        return switch self {
        case .mobileNetV1: try MobileNetV1.build(shape, parameters)
        case .mobileNetV2: try MobileNetV2.build(shape, parameters)
        case .mobileNetV3Large: try MobileNetV3.build(shape, parameters, .large)
        case .mobileNetV3Small: try MobileNetV3.build(shape, parameters, .small)
        case .shuffleNetV2: try ShuffleNetV2.build(shape, parameters)
        case .squeezeNet11: try SqueezeNet.build(shape, parameters)
        case .efficientNetB0: try EfficientNet.build(shape, parameters, .b0)
        case .efficientNetLite0: try EfficientNet.build(shape, parameters, .lite0)
        }
    }
}

/// What may be chosen about a network.
public struct NetworkShape: Sendable, Hashable {
    /// Multiplies the channels.
    public var width: Double
    public var classes: Int
    /// Pixels on each side of the image.
    public var size: Int
    public var batch: Int

    public init(width: Double = 1, classes: Int = 1000, size: Int = 224, batch: Int = 1) {
        self.width = width
        self.classes = classes
        self.size = size
        self.batch = batch
    }

    func check() throws {
        func require(_ holds: Bool, _ name: String, _ value: String, _ remedy: String) throws {
            if !holds { throw SwiftletError.invalidArgument(name: name, reason: "\(value) is out of range", remedy: remedy) }
        }
        try require(width >= 0.05 && width <= 8, "width", "\(width)", "Give a factor from 0.05 to 8.")
        try require((1...1_000_000).contains(classes), "classes", "\(classes)", "Give 1 to 1000000 classes.")
        try require((1...8192).contains(size), "size", "\(size)", "Give 1 to 8192 pixels.")
        try require((1...4096).contains(batch), "batch", "\(batch)", "Give 1 to 4096 images.")
    }

    /// Throws unless the width is one of `widths`, the only ones the architecture has.
    func checkWidth(_ widths: [Double], _ architecture: String) throws {
        guard widths.contains(width) else {
            throw SwiftletError.invalidArgument(
                name: "width", reason: "\(architecture) has no form of width \(width)",
                remedy: "Give \(widths.map { "\($0)" }.joined(separator: ", ")).")
        }
    }
}

/// A network that has been built.
public struct VisionNetwork: Sendable {
    /// Ready to compile or to write. Batch normalisation is folded into kernels and biases.
    public let graph: Graph
    /// Parameters as publications count them: kernels, biases, and a scale and a shift a channel for each batch normalisation. The graph has fewer
    /// (`Graph.parameterCount`), since only the folded bias is left of those.
    public let parameterCount: Int
}
