// Finished layers on disk: a compression of hours that is interrupted goes on where it stopped.
//
// One GGUF file of one tensor a layer, in a folder a step. A metadata string says what the layer was made from (a digest of the step's
// parameters, the data and the layer before): where it differs, the file is of another compression and is made anew.
import Foundation
import SwiftletFormats
import SwiftletRuntime

/// A folder of finished layers.
package struct Checkpoint: Sendable {
    private let folder: String
    private static let digestKey = "swiftlet.checkpoint"

    package init(folder: String) { self.folder = folder }

    /// The layers of one step.
    package func part(_ name: String) -> Checkpoint { Checkpoint(folder: folder + "/" + name) }

    /// The weight `name` as it was stored for this `digest`; nil when there is none. A damaged file counts as none: it is made again.
    package func weight(_ name: String, digest: String) -> Weight? {
        guard let file = try? GGUFFile(path: path(name)), (try? file.metadata.string(Self.digestKey)) == digest, let tensor = file.tensor(named: name)
        else { return nil }
        return try? Weight(name: name, shape: tensor.shape, format: tensor.format, store: tensor.store)
    }

    /// Keeps a finished weight. Throws `SwiftletError.io`.
    package func store(_ weight: Weight, name: String, digest: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw SwiftletError.io(path: folder, reason: error.localizedDescription, remedy: "Choose a folder that can be written.")
        }
        var writer = GGUFWriter()
        writer.set(Self.digestKey, .string(digest))
        try writer.add(name: name, shape: weight.shape, format: weight.format, store: weight.store)
        try writer.write(to: path(name))
    }

    /// Names of weights may hold anything; what a file name may not becomes its code.
    private func path(_ name: String) -> String {
        let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "._-"))
        return "\(folder)/\(name.addingPercentEncoding(withAllowedCharacters: allowed) ?? "layer").gguf"
    }
}
