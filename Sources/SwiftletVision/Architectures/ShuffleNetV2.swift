// ShuffleNetV2 (Ma et al., 2018, table 5): half of the channels pass by, then channels are shuffled. Parameter names: torchvision.
import SwiftletGraph

enum ShuffleNetV2 {
    /// Channels of the three stages and of the last convolution, by width.
    private static let features: [Double: [Int]] = [
        0.5: [48, 96, 192, 1024], 1: [116, 232, 464, 1024], 1.5: [176, 352, 704, 1024], 2: [244, 488, 976, 2048],
    ]
    private static let counts = [4, 8, 4]

    static func build(_ shape: NetworkShape, _ parameters: NetworkParameters) throws -> VisionNetwork {
        try shape.checkWidth(features.keys.sorted(), "ShuffleNetV2")
        let widths = features[shape.width] ?? []
        var blocks = BlockBuilder("shufflenet_v2", parameters: parameters, epsilon: 1e-5)
        let image = blocks.image(shape)
        var x = try blocks.convolution(image, "conv1.0", norm: "conv1.1", to: 24, kernel: 3, stride: 2, .relu)
        x = try blocks.maxPool(x, "maxpool", padding: 1, roundsUp: false)
        for (stage, (count, width)) in zip(counts, widths).enumerated() {
            for block in 0..<count {
                let name = "stage\(stage + 2).\(block)"
                x = block == 0 ? try halving(&blocks, x, name, width / 2) : try passing(&blocks, x, name, width / 2)
                x = try blocks.shuffle(x, groups: 2, "\(name).shuffle")
            }
        }
        x = try blocks.convolution(x, "conv5.0", norm: "conv5.1", to: widths.last ?? 0, .relu)
        let pooled = try blocks.globalMean(x, "mean")
        return try blocks.finish(try blocks.linear(pooled, "fc", to: shape.classes, node: "logits"))
    }

    /// Half the size: both branches see all channels.
    private static func halving(_ blocks: inout BlockBuilder, _ x: ValueID, _ name: String, _ features: Int) throws -> ValueID {
        var left = try blocks.depthwise(x, "\(name).branch1.0", norm: "\(name).branch1.1", kernel: 3, stride: 2, nil)
        left = try blocks.convolution(left, "\(name).branch1.2", norm: "\(name).branch1.3", to: features, .relu)
        return try blocks.concatenated([left, branch(&blocks, x, name, features, stride: 2)], "\(name).concat")
    }

    /// The first half of the channels passes by.
    private static func passing(_ blocks: inout BlockBuilder, _ x: ValueID, _ name: String, _ features: Int) throws -> ValueID {
        let left = try blocks.slice(x, 0..<features, "\(name).left")
        let right = try blocks.slice(x, features..<2 * features, "\(name).right")
        return try blocks.concatenated([left, branch(&blocks, right, name, features, stride: 1)], "\(name).concat")
    }

    private static func branch(_ blocks: inout BlockBuilder, _ x: ValueID, _ name: String, _ features: Int, stride: Int) throws -> ValueID {
        var x = try blocks.convolution(x, "\(name).branch2.0", norm: "\(name).branch2.1", to: features, .relu)
        x = try blocks.depthwise(x, "\(name).branch2.3", norm: "\(name).branch2.4", kernel: 3, stride: stride, nil)
        return try blocks.convolution(x, "\(name).branch2.5", norm: "\(name).branch2.6", to: features, .relu)
    }
}
