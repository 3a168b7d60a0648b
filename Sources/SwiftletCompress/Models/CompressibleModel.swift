// A model file as something to compress: its graph before any fusion, and the way back into a file.
import SwiftletRuntime

/// A model and its container.
public protocol CompressibleModel: Sendable {
    var path: String { get }

    /// The model as its file describes it; weights keep the names they have there.
    var graph: Graph { get }

    /// What a runtime does with the graph before a backend compiles it.
    var passes: PassPipeline { get }

    /// Writes a graph that steps made of `graph` to a file of the same kind, which appears only when it is complete.
    ///
    /// Throws `SwiftletError.unsupported` naming what the format cannot hold, and `.io`.
    func write(_ graph: Graph, to path: String) throws
}
