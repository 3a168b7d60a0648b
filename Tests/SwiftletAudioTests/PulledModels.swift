import Foundation
import SwiftletFormats
import SwiftletNetwork

/// Models that `swiftlet pull` fetched.
enum PulledModels {
    private static let folder: URL = {
        let environment = ProcessInfo.processInfo.environment
        return URL(filePath: environment["SWIFTLET_CACHE"] ?? (environment["HOME"] ?? "") + "/.cache/swiftlet")
    }()

    /// The file of a model, or nil when it was not pulled.
    static func path(_ name: String) -> String? {
        let path = folder.appending(path: "\(name).onnx").path
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }

    static let hasVoiceActivity = path("silero-vad") != nil
    static let hasWakeWords = ["melspectrogram", "embedding", "alexa"].allSatisfy { path("wake-\($0)") != nil }

    /// A pulled model with one thread.
    static func load(_ name: String) throws -> Model { try Model(path: path(name) ?? name, options: NetworkOptions(threads: 1)) }
}

extension Vectors {
    static func sound(_ name: String) throws -> [Float] { try WAVFile(path: folder.appending(path: "\(name).wav").path).mono() }

    static func decoded<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(contentsOf: folder.appending(path: "\(name).json")))
    }
}

/// The signal in pieces of these sizes, again and again.
func pieces(of samples: [Float], sizes: [Int]) -> [[Float]] {
    var pieces: [[Float]] = []
    var rest = samples[...]
    while !rest.isEmpty {
        let piece = rest.prefix(sizes[pieces.count % sizes.count])
        pieces.append(Array(piece))
        rest = rest.dropFirst(piece.count)
    }
    return pieces
}
