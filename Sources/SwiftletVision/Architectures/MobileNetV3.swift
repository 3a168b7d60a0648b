// MobileNetV3 (Howard et al., 2019, tables 1 and 2): inverted residuals, some gated, with hard-swish where the image is small. Parameter names:
// torchvision.
import SwiftletGraph

enum MobileNetV3 {
    /// One inverted residual.
    fileprivate struct Block {
        let kernel, expanded, features: Int
        let isGated: Bool
        let function: Unary
        let stride: Int

        init(_ kernel: Int, _ expanded: Int, _ features: Int, gated: Bool = false, _ function: Unary, _ stride: Int) {
            (self.kernel, self.expanded, self.features) = (kernel, expanded, features)
            (isGated, self.function, self.stride) = (gated, function, stride)
        }
    }

    struct Form {
        fileprivate let name: String
        fileprivate let blocks: [Block]
        /// Features of the first layer of the classifier.
        fileprivate let hidden: Int

        static let large = Form(
            name: "mobilenet_v3_large",
            blocks: [
                Block(3, 16, 16, .relu, 1), Block(3, 64, 24, .relu, 2), Block(3, 72, 24, .relu, 1), Block(5, 72, 40, gated: true, .relu, 2),
                Block(5, 120, 40, gated: true, .relu, 1), Block(5, 120, 40, gated: true, .relu, 1), Block(3, 240, 80, .hardSwish, 2),
                Block(3, 200, 80, .hardSwish, 1), Block(3, 184, 80, .hardSwish, 1), Block(3, 184, 80, .hardSwish, 1),
                Block(3, 480, 112, gated: true, .hardSwish, 1), Block(3, 672, 112, gated: true, .hardSwish, 1),
                Block(5, 672, 160, gated: true, .hardSwish, 2), Block(5, 960, 160, gated: true, .hardSwish, 1),
                Block(5, 960, 160, gated: true, .hardSwish, 1),
            ], hidden: 1280)

        static let small = Form(
            name: "mobilenet_v3_small",
            blocks: [
                Block(3, 16, 16, gated: true, .relu, 2), Block(3, 72, 24, .relu, 2), Block(3, 88, 24, .relu, 1),
                Block(5, 96, 40, gated: true, .hardSwish, 2), Block(5, 240, 40, gated: true, .hardSwish, 1),
                Block(5, 240, 40, gated: true, .hardSwish, 1), Block(5, 120, 48, gated: true, .hardSwish, 1),
                Block(5, 144, 48, gated: true, .hardSwish, 1), Block(5, 288, 96, gated: true, .hardSwish, 2),
                Block(5, 576, 96, gated: true, .hardSwish, 1), Block(5, 576, 96, gated: true, .hardSwish, 1),
            ], hidden: 1024)
    }

    static func build(_ shape: NetworkShape, _ parameters: NetworkParameters, _ form: Form) throws -> VisionNetwork {
        let gate = Unary.hardSigmoid(alpha: 1 / 6, beta: 0.5)
        func scaled(_ count: Int) -> Int { BlockBuilder.scaled(count, shape.width) }
        var blocks = BlockBuilder(form.name, parameters: parameters, epsilon: 1e-3)
        let image = blocks.image(shape)
        var x = try blocks.convolution(image, "features.0.0", norm: "features.0.1", to: scaled(16), kernel: 3, stride: 2, .hardSwish)
        for (index, block) in form.blocks.enumerated() {
            let (name, input) = ("features.\(index + 1).block", x)
            var layer = 0
            if scaled(block.expanded) != blocks.channels(x) {
                x = try blocks.convolution(x, "\(name).0.0", norm: "\(name).0.1", to: scaled(block.expanded), block.function)
                layer += 1
            }
            x = try blocks.depthwise(x, "\(name).\(layer).0", norm: "\(name).\(layer).1", kernel: block.kernel, stride: block.stride, block.function)
            layer += 1
            if block.isGated {
                let squeezed = BlockBuilder.scaled(blocks.channels(x) / 4, 1)
                x = try blocks.squeezeExcitation(x, "\(name).\(layer)", squeezed: squeezed, .relu, gate: gate)
                layer += 1
            }
            x = try blocks.convolution(x, "\(name).\(layer).0", norm: "\(name).\(layer).1", to: scaled(block.features))
            if block.stride == 1, blocks.channels(input) == blocks.channels(x) { x = try blocks.sum(input, x, "features.\(index + 1).sum") }
        }
        let last = "features.\(form.blocks.count + 1)"
        x = try blocks.convolution(x, "\(last).0", norm: "\(last).1", to: 6 * blocks.channels(x), .hardSwish)
        let pooled = try blocks.globalMean(x, "mean")
        let hidden = try blocks.linear(pooled, "classifier.0", to: scaled(form.hidden), gain: 2)
        let active = try blocks.graph.unary(.hardSwish, hidden, name: "classifier.0.function")
        return try blocks.finish(try blocks.linear(active, "classifier.3", to: shape.classes, node: "logits"))
    }
}
