// The data folder beside the checkout, `../shared/data`: there on development machines, absent elsewhere.
import Foundation

package enum SharedData {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "../shared/data").standardizedFileURL

    /// The path of a file of the folder, or nil when it is not there.
    package static func path(_ name: String) -> String? {
        let path = folder.appending(path: name).path
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }

    /// A real Llama of 260,000 parameters in f32.
    package static let storiesModel = path("models/stories260k-f32.gguf")
}
