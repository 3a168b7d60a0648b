// What a vision network must be told about its input, which its file does not say: how a picture becomes a tensor. A small JSON file beside the
// model, or built in code:
//
//     {"width": 224, "height": 224, "recipe": "centerCrop", "shorterSide": 256, "filter": "bicubic", "antialias": true,
//      "mean": [123.675, 116.28, 103.53], "scale": [0.01712, 0.01751, 0.01743], "layout": "nchw", "channels": "rgb", "labels": ["cat", "dog"]}
//
// Only width and height must be there.
import Foundation
import SwiftletTensor

/// How a picture of any size is brought to the size a network takes.
public enum ImageRecipe: Sendable, Hashable {
    /// Resized to the size, whatever happens to its shape.
    case stretch
    /// Resized until its shorter side has so many pixels, then the middle: the usual test recipe of classifiers.
    case centerCrop(shorterSide: Int)
    /// Resized until it fits, in the middle of a canvas of one level: the usual recipe of detectors.
    case letterbox(fill: UInt8)
}

/// Everything between a picture file and the input of a network.
///
///     let card = try ImageModelCard(path: "model.json")
///     let input = try card.tensor(path: "photo.jpg")          // f32 [1, 3, 224, 224]
public struct ImageModelCard: Sendable, Hashable {
    public var size: ImageSize
    public var recipe: ImageRecipe
    public var filter: ResizeFilter
    /// Whether shrinking takes every pixel into account; see `Image.resized`.
    public var antialias: Bool
    public var normalization: PixelNormalization
    public var layout: ImageLayout
    public var order: ChannelOrder
    /// The name of each class, by its index; empty when there are none.
    public var labels: [String]

    public init(
        size: ImageSize, recipe: ImageRecipe = .stretch, filter: ResizeFilter = .bilinear, antialias: Bool = true,
        normalization: PixelNormalization = .unit, layout: ImageLayout = .nchw, order: ChannelOrder = .rgb, labels: [String] = []
    ) {
        self.size = size
        self.recipe = recipe
        self.filter = filter
        self.antialias = antialias
        self.normalization = normalization
        self.layout = layout
        self.order = order
        self.labels = labels
    }

    /// The recipe of most networks trained on ImageNet in PyTorch: shorter side at side / 0.875, centre crop, ImageNet's mean and deviation.
    public static func imageNet(side: Int = 224) -> ImageModelCard {
        ImageModelCard(
            size: ImageSize(width: side, height: side), recipe: .centerCrop(shorterSide: Int((Double(side) / 0.875).rounded())),
            normalization: .imageNet)
    }

    /// Reads a card from a JSON file. Throws `SwiftletError.io` when it cannot be read, `.malformed` when it is no card.
    public init(path: String) throws {
        let file = try MappedFile(path: path)
        self = try withExtendedLifetime(file) { try Self(json: Data(file.bytes), name: path) }
    }

    /// Reads a card from JSON text. `name` stands for the path in errors.
    public init(json: some DataProtocol, name: String) throws {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(json))
        } catch let error as DecodingError {
            throw SwiftletError.malformed(
                file: name, offset: 0, reason: "it is no model card: \(error.reason)",
                remedy: "Correct the card; ImageModelCard.swift has an example.")
        }
    }

    // MARK: From picture to tensor

    /// The shape of the input for so many pictures.
    public func shape(batch: Int) -> Shape {
        layout == .nchw ? [batch, order.count, size.height, size.width] : [batch, size.height, size.width, order.count]
    }

    /// The picture at the network's size, its levels not yet touched.
    public func prepared(_ image: Image) throws -> Image {
        let image = try image.converted(to: order == .gray ? .gray : .rgb)
        switch recipe {
        case .stretch: return try image.resized(to: size, filter: filter, antialias: antialias)
        case .centerCrop(let side):
            guard side >= max(size.width, size.height) else {
                throw SwiftletError.invalidArgument(
                    name: "shorterSide", reason: "\(size) cannot be cut out of a picture with a shorter side of \(side)",
                    remedy: "Choose at least the crop's longer side.")
            }
            return try image.resized(shorterSide: side, filter: filter, antialias: antialias).centerCropped(to: size)
        case .letterbox(let fill): return try image.letterboxed(to: size, fill: fill, filter: filter, antialias: antialias).image
        }
    }

    /// The input for pictures: f32 of `shape(batch:)`.
    public func tensor(for images: [Image]) throws -> Tensor {
        var batch = try Tensor(zeros: .f32, shape: shape(batch: images.count))
        for (index, image) in images.enumerated() { try write(image, into: &batch, at: index) }
        return batch
    }

    /// The input for one picture.
    public func tensor(for image: Image) throws -> Tensor { try tensor(for: [image]) }

    /// The input for a picture file, in one call.
    public func tensor(path: String, limits: ImageLimits = ImageLimits()) throws -> Tensor {
        try tensor(for: Image(path: path, limits: limits))
    }

    /// Writes the values of a picture as element `index` of a batch, in place when nobody else holds the tensor.
    ///
    /// Throws `SwiftletError.invalidArgument` when the tensor is not a batch of this card or has no such element.
    public func write(_ image: Image, into batch: inout Tensor, at index: Int) throws {
        guard let count = batch.shape.dimensions.first, batch.type == .f32, batch.shape == shape(batch: count), index >= 0, index < count
        else {
            throw SwiftletError.invalidArgument(
                name: "batch", reason: "\(batch) has no place \(index) for a picture of \(shape(batch: 1))",
                remedy: "Make it with shape(batch:), and count from 0.")
        }
        let small = try prepared(image)
        let table = try normalization.table(channels: order.count)
        let values = batch.elementCount / count
        try batch.withMutableElements(as: Float.self) { target in
            let part = UnsafeMutableBufferPointer(rebasing: target[index * values..<(index + 1) * values])
            try small.write(into: part, layout: layout, order: order, table: table)
        }
    }

    // MARK: Labels

    /// The lines of a text file, one class a line, in the order of their index. Empty lines at the end do not count.
    public static func labels(path: String) throws -> [String] {
        let file = try MappedFile(path: path)
        guard let text = withExtendedLifetime(file, { String(validating: file.bytes, as: UTF8.self) }) else {
            throw SwiftletError.malformed(
                file: path, offset: 0, reason: "it is not UTF-8 text", remedy: "Save the labels as text, one a line.")
        }
        var lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }.map(String.init)
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }
}

extension ImageModelCard: Codable {
    private enum Key: String, CodingKey, CaseIterable {
        case width, height, recipe, shorterSide, fill, filter, antialias, mean, scale, layout, channels, labels
    }

    private enum RecipeName: String, Codable { case stretch, centerCrop, letterbox }

    /// Any key, to find those that have no meaning here.
    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public init(from decoder: any Decoder) throws {
        // A misspelt key would silently leave a default in force, and the network would see other pictures than it was trained on.
        for key in try decoder.container(keyedBy: AnyKey.self).allKeys where Key(rawValue: key.stringValue) == nil {
            throw DecodingError.dataCorrupted(.init(codingPath: [key], debugDescription: "there is no such key"))
        }
        let card = try decoder.container(keyedBy: Key.self)
        func value<Value: Decodable>(_ key: Key, default fallback: Value) throws -> Value {
            try card.decodeIfPresent(Value.self, forKey: key) ?? fallback
        }
        let size = ImageSize(width: try card.decode(Int.self, forKey: .width), height: try card.decode(Int.self, forKey: .height))
        guard (1...Image.maximumSide).contains(size.width), (1...Image.maximumSide).contains(size.height) else {
            throw DecodingError.dataCorruptedError(forKey: .width, in: card, debugDescription: "a picture cannot be \(size)")
        }
        let recipe: ImageRecipe
        switch try value(.recipe, default: RecipeName.stretch) {
        case .stretch: recipe = .stretch
        case .centerCrop: recipe = .centerCrop(shorterSide: try card.decode(Int.self, forKey: .shorterSide))
        case .letterbox: recipe = .letterbox(fill: try value(.fill, default: 114))
        }
        let normalization = PixelNormalization(
            mean: try value(.mean, default: PixelNormalization.unit.mean), scale: try value(.scale, default: PixelNormalization.unit.scale))
        self.init(
            size: size, recipe: recipe, filter: try value(.filter, default: .bilinear), antialias: try value(.antialias, default: true),
            normalization: normalization, layout: try value(.layout, default: .nchw), order: try value(.channels, default: .rgb),
            labels: try value(.labels, default: []))
        do {
            _ = try normalization.table(channels: order.count)
        } catch let error as SwiftletError {
            throw DecodingError.dataCorruptedError(forKey: .mean, in: card, debugDescription: "\(error)")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var card = encoder.container(keyedBy: Key.self)
        try card.encode(size.width, forKey: .width)
        try card.encode(size.height, forKey: .height)
        switch recipe {
        case .stretch: try card.encode(RecipeName.stretch, forKey: .recipe)
        case .centerCrop(let side):
            try card.encode(RecipeName.centerCrop, forKey: .recipe)
            try card.encode(side, forKey: .shorterSide)
        case .letterbox(let fill):
            try card.encode(RecipeName.letterbox, forKey: .recipe)
            try card.encode(fill, forKey: .fill)
        }
        try card.encode(filter, forKey: .filter)
        try card.encode(antialias, forKey: .antialias)
        try card.encode(normalization.mean, forKey: .mean)
        try card.encode(normalization.scale, forKey: .scale)
        try card.encode(layout, forKey: .layout)
        try card.encode(order, forKey: .channels)
        if !labels.isEmpty { try card.encode(labels, forKey: .labels) }
    }
}

extension DecodingError {
    /// Where and what, in one line.
    fileprivate var reason: String {
        let (context, what): (Context, String) =
            switch self {
            case .keyNotFound(let key, let context): (context, "'\(key.stringValue)' is missing")
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
                (context, context.debugDescription)
            @unknown default: (Context(codingPath: [], debugDescription: ""), "\(self)")
            }
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        return path.isEmpty ? what : "'\(path)': \(what)"
    }
}
