// What a backend is: it says which nodes it wants, and compiles a run of them into a program. Two methods carry everything; whatever
// depends on hardware (packed weights, quantised activations, tile sizes) happens inside `compile`.
@_exported import SwiftletGraph

/// Something that can run parts of a graph: the CPU, the reference, a plug-in for an accelerator.
package protocol Backend: Sendable {
    /// The name shown by `inspect` and in error messages.
    var name: String { get }

    /// How much the backend wants `node`: 0 when it cannot run it, otherwise higher wins.
    func preference(for node: Node, in graph: Graph) -> Int

    /// Compiles the nodes of `partition`. May take long (packing weights); called once a model.
    func compile(_ partition: Partition) throws -> any Program
}

/// A run of consecutive nodes given to one backend.
///
/// Boundary values are named by the value that owns their bytes (`Graph.storageRoots`): a reshape of a boundary value has its address.
package struct Partition: Sendable {
    package let graph: Graph
    package let nodes: Range<Int>
    /// Values computed before the partition, or graph inputs, that it reads.
    package let inputs: [ValueID]
    /// Values computed in the partition that later partitions or the caller read.
    package let outputs: [ValueID]
    /// For each aliasing value the value that owns its bytes.
    package let roots: [ValueID: ValueID]

    package func root(of value: ValueID) -> ValueID { roots[value] ?? value }
}

/// A compiled partition: immutable, shared by every session that runs the model.
package protocol Program: Sendable {
    /// Bytes of scratch memory one run needs under `binding`, for everything that does not cross the partition's border.
    func workspaceBytes(under binding: Binding) throws -> Int

    /// Fixes shapes and addresses: everything a run needs is decided here, so that `run` neither allocates nor asks.
    func bind(_ memory: BoundMemory) throws -> any BoundProgram
}

/// A program with all sizes and addresses fixed for one binding of one session.
package protocol BoundProgram: AnyObject {
    func run() throws

    /// Runs and says what each part took.
    func profile() throws -> [NodeTiming]

    /// From now on reads the boundary value `input`, a storage root, at `address`, which is aligned as tensors are, and no longer where it was bound to.
    /// False, and nothing is changed, where the program cannot.
    func read(_ input: ValueID, at address: UnsafeRawPointer) -> Bool
}

extension BoundProgram {
    package func read(_ input: ValueID, at address: UnsafeRawPointer) -> Bool { false }
}

/// How long one node, or a few that run as one step, took.
package struct NodeTiming: Sendable, Encodable {
    /// The node's name, `→` and other names where a step does several.
    package let node: String
    /// What it computes.
    package let operation: String
    package var backend: String
    package var nanoseconds: Int
    /// Bytes of its results.
    package let outputBytes: Int

    package init(node: String, operation: String, backend: String, nanoseconds: Int, outputBytes: Int) {
        self.node = node
        self.operation = operation
        self.backend = backend
        self.nanoseconds = nanoseconds
        self.outputBytes = outputBytes
    }

    /// The median time of each node over several runs, in the order of the last run.
    ///
    /// Where a run took another way through the model than the last one (another branch, more turns of a loop), it does not count.
    package static func medians(of runs: [[NodeTiming]]) -> [NodeTiming] {
        guard var result = runs.last else { return [] }
        let same = runs.filter { run in run.count == result.count && zip(run, result).allSatisfy { $0.node == $1.node } }
        for index in result.indices {
            let times = same.map { $0[index].nanoseconds }.sorted()
            result[index].nanoseconds = times[times.count / 2]
        }
        return result
    }
}

/// The memory a program is bound to.
package struct BoundMemory {
    package let binding: Binding
    /// Addresses of boundary values and of states, by storage root. Dense, row-major, in the value's element type.
    package let addresses: [ValueID: UnsafeMutableRawPointer]
    /// `workspaceBytes(under:)` bytes, 64-byte aligned, shared with the other partitions: nothing survives a run in it.
    package let workspace: UnsafeMutableRawPointer

    package func address(of root: ValueID) throws -> UnsafeMutableRawPointer {
        guard let address = addresses[root] else {
            throw SwiftletError.invalidGraph(
                node: "\(root)", reason: "a boundary value has no memory", remedy: "Report this: the partitioner and the executor disagree.")
        }
        return address
    }
}

/// The backends a graph may run on, in order of trust: of equal preferences the first wins.
package struct BackendSet: Sendable {
    package let backends: [any Backend]

    package init(_ backends: [any Backend]) { self.backends = backends }
}
