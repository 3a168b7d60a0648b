// EfficientNet-B0 (Tan and Le, 2019, table 1), and its form for devices without gates and with ReLU6 (EfficientNet-Lite0). Parameter names: those of
// torchvision for B0, of timm for Lite0.
import SwiftletGraph

enum EfficientNet {
    enum Form { case b0, lite0 }

    /// A stage: expansion, kernel, stride of the first block, output channels, blocks.
    private static let stages = [
        (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
    ]

    static func build(_ shape: NetworkShape, _ parameters: NetworkParameters, _ form: Form) throws -> VisionNetwork {
        switch form {
        case .b0: try b0(shape, parameters)
        case .lite0: try lite0(shape, parameters)
        }
    }

    private static func b0(_ shape: NetworkShape, _ parameters: NetworkParameters) throws -> VisionNetwork {
        func scaled(_ count: Int) -> Int { BlockBuilder.scaled(count, shape.width) }
        var blocks = BlockBuilder("efficientnet_b0", parameters: parameters, epsilon: 1e-5)
        let image = blocks.image(shape)
        var x = try blocks.convolution(image, "features.0.0", norm: "features.0.1", to: scaled(32), kernel: 3, stride: 2, .silu)
        for (stage, (expansion, kernel, stride, features, count)) in stages.enumerated() {
            for block in 0..<count {
                let (name, input) = ("features.\(stage + 1).\(block).block", x)
                var layer = 0
                if expansion != 1 {
                    x = try blocks.convolution(x, "\(name).0.0", norm: "\(name).0.1", to: BlockBuilder.scaled(blocks.channels(x) * expansion, 1), .silu)
                    layer = 1
                }
                let step = block == 0 ? stride : 1
                x = try blocks.depthwise(x, "\(name).\(layer).0", norm: "\(name).\(layer).1", kernel: kernel, stride: step, .silu)
                // A quarter of what comes into the block, not of what it is expanded to.
                let squeezed = max(1, blocks.channels(input) / 4)
                x = try blocks.squeezeExcitation(x, "\(name).\(layer + 1)", squeezed: squeezed, .silu, gate: .sigmoid)
                x = try blocks.convolution(x, "\(name).\(layer + 2).0", norm: "\(name).\(layer + 2).1", to: scaled(features))
                if step == 1, blocks.channels(input) == blocks.channels(x) { x = try blocks.sum(input, x, "features.\(stage + 1).\(block).sum") }
            }
        }
        x = try blocks.convolution(x, "features.8.0", norm: "features.8.1", to: 4 * blocks.channels(x), .silu)
        let pooled = try blocks.globalMean(x, "mean")
        return try blocks.finish(try blocks.linear(pooled, "classifier.1", to: shape.classes, node: "logits"))
    }

    private static func lite0(_ shape: NetworkShape, _ parameters: NetworkParameters) throws -> VisionNetwork {
        let relu6 = Unary.clip(0, 6)
        var blocks = BlockBuilder("efficientnet_lite0", parameters: parameters, epsilon: 1e-3)
        blocks.padding = .same
        let image = blocks.image(shape)
        var x = try blocks.convolution(image, "conv_stem", norm: "bn1", to: 32, kernel: 3, stride: 2, relu6)
        for (stage, (expansion, kernel, stride, features, count)) in stages.enumerated() {
            let features = BlockBuilder.scaled(features, shape.width)
            for block in 0..<count {
                let (name, input) = ("blocks.\(stage).\(block)", x)
                let step = block == 0 ? stride : 1
                if expansion == 1 {
                    x = try blocks.depthwise(x, "\(name).conv_dw", norm: "\(name).bn1", kernel: kernel, stride: step, relu6)
                    x = try blocks.convolution(x, "\(name).conv_pw", norm: "\(name).bn2", to: features)
                } else {
                    x = try blocks.convolution(x, "\(name).conv_pw", norm: "\(name).bn1", to: blocks.channels(x) * expansion, relu6)
                    x = try blocks.depthwise(x, "\(name).conv_dw", norm: "\(name).bn2", kernel: kernel, stride: step, relu6)
                    x = try blocks.convolution(x, "\(name).conv_pwl", norm: "\(name).bn3", to: features)
                }
                if step == 1, blocks.channels(input) == blocks.channels(x) { x = try blocks.sum(input, x, "\(name).sum") }
            }
        }
        x = try blocks.convolution(x, "conv_head", norm: "bn2", to: 1280, relu6)
        let pooled = try blocks.globalMean(x, "mean")
        return try blocks.finish(try blocks.linear(pooled, "classifier", to: shape.classes, node: "logits"))
    }
}
