// SqueezeNet 1.1 (Iandola et al., 2016; version 1.1 of the authors' repository): fire modules, no normalisation. Parameter names: torchvision.
import SwiftletGraph

enum SqueezeNet {
    /// A layer of `features`: its place among torchvision's, and for a fire module the channels it squeezes to and expands to, twice.
    private enum Layer {
        case pool
        case fire(squeezed: Int, expanded: Int)
    }

    private static let layers: [(index: Int, layer: Layer)] = [
        (2, .pool), (3, .fire(squeezed: 16, expanded: 64)), (4, .fire(squeezed: 16, expanded: 64)),
        (5, .pool), (6, .fire(squeezed: 32, expanded: 128)), (7, .fire(squeezed: 32, expanded: 128)),
        (8, .pool), (9, .fire(squeezed: 48, expanded: 192)), (10, .fire(squeezed: 48, expanded: 192)),
        (11, .fire(squeezed: 64, expanded: 256)), (12, .fire(squeezed: 64, expanded: 256)),
    ]

    static func build(_ shape: NetworkShape, _ parameters: NetworkParameters) throws -> VisionNetwork {
        try shape.checkWidth([1], "SqueezeNet 1.1")
        var blocks = BlockBuilder("squeezenet1_1", parameters: parameters, epsilon: 0)
        let image = blocks.image(shape)
        blocks.padding = .none
        var x = try blocks.convolution(image, "features.0", norm: nil, to: 64, kernel: 3, stride: 2, .relu)
        blocks.padding = .symmetric
        for (index, layer) in layers {
            let name = "features.\(index)"
            switch layer {
            case .pool: x = try blocks.maxPool(x, name, padding: 0, roundsUp: true)
            case .fire(let squeezed, let expanded):
                let narrow = try blocks.convolution(x, "\(name).squeeze", norm: nil, to: squeezed, .relu)
                let small = try blocks.convolution(narrow, "\(name).expand1x1", norm: nil, to: expanded, .relu)
                let large = try blocks.convolution(narrow, "\(name).expand3x3", norm: nil, to: expanded, kernel: 3, .relu)
                x = try blocks.concatenated([small, large], "\(name).concat")
            }
        }
        x = try blocks.convolution(x, "classifier.1", norm: nil, to: shape.classes, .relu)
        return try blocks.finish(try blocks.globalMean(x, "logits"))
    }
}
