// What a step gets besides the graph: data, the machine, and someone who listens.
import SwiftletRuntime

/// The surroundings of a compression.
public struct CompressionContext: Sendable {
    /// Samples of what the model will see; techniques that need them throw without.
    public var calibration: (any CalibrationData)?
    /// What a runtime does with the graph before a backend compiles it.
    package var passes: PassPipeline
    public var threads: Int
    public var instructionSet: InstructionSet
    /// Decides everything random.
    public var seed: UInt64
    /// Called after each unit of work; what it throws ends the step.
    public var progress: @Sendable (StepProgress) throws -> Void
    /// Where finished layers are kept, so that a compression that was interrupted goes on; nil to keep nothing.
    package var checkpoint: Checkpoint?
    /// The graph that the step before this one was given, filled in by the compressor: what corrections compare with. Nil for the first step.
    package var graphBeforeLastStep: Graph?

    package init(
        passes: PassPipeline, calibration: (any CalibrationData)? = nil, threads: Int? = nil, instructionSet: InstructionSet? = nil, seed: UInt64 = 0,
        checkpoint: Checkpoint? = nil, progress: @escaping @Sendable (StepProgress) throws -> Void = { _ in }
    ) throws {
        self.passes = passes
        self.calibration = calibration
        self.threads = threads ?? Machine.current().recommendedThreads
        self.instructionSet = try instructionSet ?? InstructionSet.resolve(nil)
        self.seed = seed
        self.checkpoint = checkpoint
        self.progress = progress
    }

    /// The calibration data. Throws `SwiftletError.invalidArgument` when there are none.
    package func requiredCalibration(for technique: String) throws -> any CalibrationData {
        guard let calibration else {
            throw SwiftletError.invalidArgument(
                name: "calibration", reason: "\(technique) measures what flows through the model, and no data are given",
                remedy: "Give --calibration: a text for a language model, texts for an encoder, a folder of pictures or arrays for a network.")
        }
        return calibration
    }
}

/// How far a step is.
public struct StepProgress: Sendable {
    public var technique: String
    /// What was just done: a layer, a batch.
    public var detail: String
    public var done: Int
    public var total: Int

    package init(technique: String, detail: String, done: Int, total: Int) {
        self.technique = technique
        self.detail = detail
        self.done = done
        self.total = total
    }
}
