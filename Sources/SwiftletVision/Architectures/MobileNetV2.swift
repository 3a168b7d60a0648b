// MobileNetV2 (Sandler et al., 2018, table 2): inverted residuals with linear bottlenecks. Parameter names: torchvision.
import SwiftletGraph

enum MobileNetV2 {
    /// A stage: expansion, output channels, blocks, stride of the first.
    private static let stages = [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ]

    static func build(_ shape: NetworkShape, _ parameters: NetworkParameters) throws -> VisionNetwork {
        let relu6 = Unary.clip(0, 6)
        var blocks = BlockBuilder("mobilenet_v2", parameters: parameters, epsilon: 1e-5)
        let image = blocks.image(shape)
        var x = try blocks.convolution(
            image, "features.0.0", norm: "features.0.1", to: BlockBuilder.scaled(32, shape.width), kernel: 3, stride: 2, relu6)
        var index = 1
        for (expansion, features, count, stride) in stages {
            for block in 0..<count {
                let (name, input) = ("features.\(index).conv", x)
                var layer = 0
                if expansion != 1 {
                    x = try blocks.convolution(x, "\(name).0.0", norm: "\(name).0.1", to: blocks.channels(x) * expansion, relu6)
                    layer = 1
                }
                let step = block == 0 ? stride : 1
                x = try blocks.depthwise(x, "\(name).\(layer).0", norm: "\(name).\(layer).1", kernel: 3, stride: step, relu6)
                x = try blocks.convolution(x, "\(name).\(layer + 1)", norm: "\(name).\(layer + 2)", to: BlockBuilder.scaled(features, shape.width))
                if step == 1, blocks.channels(input) == blocks.channels(x) { x = try blocks.sum(input, x, "features.\(index).sum") }
                index += 1
            }
        }
        let last = BlockBuilder.scaled(1280, max(1, shape.width))
        x = try blocks.convolution(x, "features.\(index).0", norm: "features.\(index).1", to: last, relu6)
        let pooled = try blocks.globalMean(x, "mean")
        return try blocks.finish(try blocks.linear(pooled, "classifier.1", to: shape.classes, node: "logits"))
    }
}
