// Samples of what a model will see, as inputs of its graph.
import SwiftletRuntime

/// Batches of inputs. The graph asked for may be any with the inputs of the model's own: techniques change what is inside.
public protocol CalibrationData: Sendable {
    /// How many batches there are.
    var batchCount: Int { get }

    /// The sizes of states, the same for all batches.
    var stateBinding: Binding { get }

    /// One batch. Throws when the data cannot be read.
    func batch(_ index: Int) throws -> CalibrationBatch

    /// At most `limit` of the batches, asking for every output: what changes of a graph are compared on.
    func forComparison(limit: Int) -> any CalibrationData
}

/// Inputs of one run.
public struct CalibrationBatch: Sendable {
    public var binding: Binding
    /// By the name of the graph's input.
    public var inputs: [String: Tensor]

    public init(binding: Binding, inputs: [String: Tensor]) {
        self.binding = binding
        self.inputs = inputs
    }
}

/// Batches that are given as tensors: for networks with fixed shapes.
public struct TensorBatches: CalibrationData {
    public let batches: [[String: Tensor]]
    public let stateBinding = Binding()

    public init(_ batches: [[String: Tensor]]) { self.batches = batches }

    public var batchCount: Int { batches.count }
    public func batch(_ index: Int) throws -> CalibrationBatch { CalibrationBatch(binding: [:], inputs: batches[index]) }
}

extension CalibrationData {
    public func forComparison(limit: Int) -> any CalibrationData { FirstBatches(self, limit: limit) }
}

/// The beginning of some data.
package struct FirstBatches: CalibrationData {
    private let data: any CalibrationData
    package let batchCount: Int

    package init(_ data: any CalibrationData, limit: Int) {
        self.data = data
        batchCount = min(max(limit, 0), data.batchCount)
    }

    package var stateBinding: Binding { data.stateBinding }
    package func batch(_ index: Int) throws -> CalibrationBatch { try data.batch(index) }
}
