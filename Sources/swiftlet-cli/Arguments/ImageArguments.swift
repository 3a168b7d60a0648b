// How pictures become the input of a network: a model card, or flags.
import ArgumentParser
import SwiftletNetwork
import SwiftletVision

extension ImageLayout: ExpressibleByArgument {}
extension ChannelOrder: ExpressibleByArgument {}
extension ResizeFilter: ExpressibleByArgument {}

struct ImageArguments: ParsableArguments {
    @Option(help: ArgumentHelp("A model card: how pictures are prepared (JSON). The options below change it.", valueName: "file"))
    var card: String?

    @Option(help: ArgumentHelp("The size the network takes (default: what its input declares, else 224).", valueName: "224|320x240"))
    var size: String?

    @Option(help: "Resize the shorter side to this, then take the middle. 0 stretches the picture to the size (default: the size / 0.875).")
    var shorterSide: Int?

    @Option(help: "How pixels are made when resizing.")
    var filter: ResizeFilter?

    @Option(help: ArgumentHelp("Subtracted from the levels 0 to 255: one number, or one a channel (default: ImageNet's).", valueName: "127 | 124,116,104"))
    var mean: String?

    @Option(help: ArgumentHelp("The levels are divided by this after that: one number, or one a channel (default: ImageNet's).", valueName: "128 | 58,57,57"))
    var deviation: String?

    @Option(help: "The order of the axes of the input.")
    var layout: ImageLayout?

    @Option(help: "The order of the channels.")
    var channels: ChannelOrder?

    @Option(help: ArgumentHelp("A text file with the name of each class, one a line.", valueName: "file"))
    var labels: String?

    func validate() throws {
        if let shorterSide, shorterSide < 0 { throw ValidationError("--shorter-side must be 0 or more.") }
        _ = try sizes()
        _ = try mean.map { try Self.numbers($0, "--mean") }
        if let deviation, try Self.numbers(deviation, "--deviation").contains(0) { throw ValidationError("--deviation must not be 0.") }
    }

    /// The card for a model.
    func card(for model: Model) throws -> ImageModelCard {
        var card: ImageModelCard
        if let path = self.card {
            card = try ImageModelCard(path: path)
            if let size = try sizes() { card.size = size }
        } else {
            let size = try sizes() ?? ImageClassifier.declaredSize(of: model, layout: layout ?? .nchw) ?? ImageSize(width: 224, height: 224)
            card = .imageNet(side: min(size.width, size.height))
            card.size = size
        }
        if let shorterSide { card.recipe = shorterSide == 0 ? .stretch : .centerCrop(shorterSide: shorterSide) }
        if let filter { card.filter = filter }
        if let mean { card.normalization.mean = try Self.numbers(mean, "--mean") }
        if let deviation { card.normalization.scale = try Self.numbers(deviation, "--deviation").map { 1 / $0 } }
        if let layout { card.layout = layout }
        if let channels { card.order = channels }
        if let labels { card.labels = try ImageModelCard.labels(path: labels) }
        return card
    }

    private func sizes() throws -> ImageSize? {
        guard let size else { return nil }
        let sides = size.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard sides.count == 1 || sides.count == 2, sides.allSatisfy({ $0 > 0 && $0 <= 1 << 16 }) else {
            throw ValidationError("--size \(size): give a side (224) or width x height (320x240).")
        }
        return ImageSize(width: sides[0], height: sides[sides.count - 1])
    }

    private static func numbers(_ text: String, _ option: String) throws -> [Float] {
        let numbers = text.split(separator: ",").map { Float($0) }
        guard !numbers.isEmpty, numbers.allSatisfy({ $0?.isFinite ?? false }) else { throw ValidationError("\(option) \(text): give numbers with commas between.") }
        return numbers.compactMap { $0 }
    }
}
