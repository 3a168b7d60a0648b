// From levels to what a network takes: value = (level - mean) · scale, in the order of axes and channels the network was trained with.
import SwiftletTensor

/// The order of the axes of a batch of pictures.
public enum ImageLayout: String, Sendable, Hashable, CaseIterable, Codable {
    /// `[batch, channels, height, width]`, as PyTorch and most ONNX files have it.
    case nchw
    /// `[batch, height, width, channels]`, as TensorFlow has it.
    case nhwc
}

/// The channels a network takes, in their order.
public enum ChannelOrder: String, Sendable, Hashable, CaseIterable, Codable {
    case rgb, bgr, gray

    public var count: Int { self == .gray ? 1 : 3 }
}

/// How levels 0...255 become values: value = (level - mean) · scale, one mean and scale for each channel or one for all.
public struct PixelNormalization: Sendable, Hashable, Codable {
    /// In levels, in the network's channel order.
    public var mean: [Float]
    public var scale: [Float]

    public init(mean: [Float], scale: [Float]) {
        self.mean = mean
        self.scale = scale
    }

    /// From the mean and standard deviation of levels divided by 255, as PyTorch's recipes give them.
    public init(unitMean: [Float], deviation: [Float]) {
        self.init(mean: unitMean.map { Float(Double($0) * 255) }, scale: deviation.map { Float(1 / (Double($0) * 255)) })
    }

    /// Levels as they are.
    public static let levels = PixelNormalization(mean: [0], scale: [1])
    /// 0...1.
    public static let unit = PixelNormalization(mean: [0], scale: [1 / 255])
    /// The mean and deviation of ImageNet's training pictures, red, green, blue.
    public static let imageNet = PixelNormalization(unitMean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])

    /// The values of all 256 levels of each channel, one channel after another.
    ///
    /// Throws `SwiftletError.invalidArgument` unless there is one mean and scale, or one for each channel, all finite.
    func table(channels: Int) throws -> [Float] {
        guard [1, channels].contains(mean.count), [1, channels].contains(scale.count), (mean + scale).allSatisfy(\.isFinite) else {
            throw SwiftletError.invalidArgument(
                name: "normalization", reason: "means \(mean) and scales \(scale) do not suit \(channels) channels",
                remedy: "Pass one finite number, or one for each channel.")
        }
        return (0..<channels).flatMap { channel in
            let (mean, scale) = (mean[channel % mean.count], scale[channel % scale.count])
            return (0..<256).map { (Float($0) - mean) * scale }
        }
    }
}

extension Image {
    /// The picture as a batch of one: f32 `[1, channels, height, width]` or `[1, height, width, channels]`.
    ///
    /// A picture of another format is converted: grey is repeated, colour becomes grey, transparency is dropped.
    public func tensor(
        layout: ImageLayout = .nchw, order: ChannelOrder = .rgb, normalization: PixelNormalization = .unit
    ) throws -> Tensor {
        let shape: Shape = layout == .nchw ? [1, order.count, height, width] : [1, height, width, order.count]
        let table = try normalization.table(channels: order.count)
        return try Tensor(.f32, shape: shape) { target in
            try write(into: target.bindMemory(to: Float.self), layout: layout, order: order, table: table)
        }
    }

    /// Writes the values of the picture, channels × height × width of them; the target has exactly that room.
    func write(into target: UnsafeMutableBufferPointer<Float>, layout: ImageLayout, order: ChannelOrder, table: [Float]) throws {
        let source = try converted(to: order == .gray ? .gray : .rgb)
        let (channels, count) = (order.count, width * height)
        source.withLevels { levels in
            table.withUnsafeBufferPointer { table in
                for channel in 0..<channels {
                    let from = order == .bgr ? 2 - channel : channel
                    let start = layout == .nchw ? channel * count : channel
                    let step = layout == .nchw ? 1 : channels
                    for index in 0..<count { target[start + index * step] = table[channel << 8 | Int(levels[index * channels + from])] }
                }
            }
        }
    }
}
