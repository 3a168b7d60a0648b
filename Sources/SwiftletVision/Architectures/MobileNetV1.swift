// MobileNet (Howard et al., 2017, table 1): a convolution, then 13 depthwise-separable ones.
import SwiftletGraph

enum MobileNetV1 {
    /// A stage: output channels, blocks, stride of the first.
    private static let stages = [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)]

    static func build(_ shape: NetworkShape, _ parameters: NetworkParameters) throws -> VisionNetwork {
        let relu6 = Unary.clip(0, 6)
        var blocks = BlockBuilder("mobilenet_v1", parameters: parameters, epsilon: 1e-5)
        let image = blocks.image(shape)
        var x = try blocks.convolution(image, "conv_stem", norm: "bn1", to: BlockBuilder.scaled(32, shape.width), kernel: 3, stride: 2, relu6)
        for (stage, (features, count, stride)) in stages.enumerated() {
            for block in 0..<count {
                let name = "blocks.\(stage).\(block)"
                x = try blocks.depthwise(x, "\(name).conv_dw", norm: "\(name).bn1", kernel: 3, stride: block == 0 ? stride : 1, relu6)
                x = try blocks.convolution(x, "\(name).conv_pw", norm: "\(name).bn2", to: BlockBuilder.scaled(features, shape.width), relu6)
            }
        }
        let pooled = try blocks.globalMean(x, "mean")
        return try blocks.finish(try blocks.linear(pooled, "classifier", to: shape.classes, node: "logits"))
    }
}
